"""A process that stands still is noticed, whatever stopped it; one that waits for a CPU is not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from harness import PROJECT
from harness.host import snapshot as snapshots
from harness.host.conditions import conditions_between
from harness.host.disturbances import LIMITS, find_disturbances
from harness.host.snapshot import take_snapshot

FREEZERS = (Path("/sys/fs/cgroup/freezer"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
STOPPED_S = 0.6
WORKS = """
import dataclasses, hashlib, json, os, sys, threading
from concurrent.futures import ThreadPoolExecutor
from harness.host.conditions import conditions_between
from harness.host.disturbances import find_disturbances
from harness.host.snapshot import take_snapshot
from harness.host.gaps import Gaps, Heartbeat
how = sys.argv[1]
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
team = 4 if how == "team" else 1
pool, data = ThreadPoolExecutor(team), bytes(1 << 26)
hashed = lambda number: hashlib.sha256(data)  # without Python's lock
list(pool.map(hashed, range(team)))
before, gaps = take_snapshot(), Gaps(team)
heartbeat = None if how in ("batches", "team") else Heartbeat(gaps)
heartbeat.start() if heartbeat else None
print("works", flush=True)
while not ended.is_set():
    if how == "asleep":
        ended.wait(1)
    list(pool.map(hashed, range(team))) if how == "team" else sum(range(100_000))
    gaps.beat() if heartbeat is None else None
heartbeat.stop() if heartbeat else gaps.look()
found = conditions_between(before, take_snapshot(), [], gaps_s=gaps.seconds)
print(json.dumps([found.frozen_s, [each.kind for each in find_disturbances(found)]]))
"""
WRAPPED = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"


class Working:
    """A process that works under a ``Watch`` until it is told to end."""

    def __init__(self, how: str, *through: str) -> None:
        self.process = subprocess.Popen(
            [*through, sys.executable, "-c", WORKS, how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "works\n"

    def facts(self) -> tuple[float, set[str]]:
        """End it; return for how long it stood still, and what disturbed it."""
        out, _ = self.process.communicate("")
        seconds, kinds = json.loads(out)
        return seconds, set(kinds)


@pytest.fixture
def working() -> Iterator[Callable[..., Working]]:
    made: list[Working] = []

    def make(how: str, *through: str) -> Working:
        made.append(Working(how, *through))
        return made[-1]

    yield make
    for each in made:
        if each.process.poll() is None:
            os.killpg(each.process.pid, signal.SIGKILL)
            each.process.communicate()


@pytest.mark.parametrize("how", ["batches", "team", "heartbeat", "asleep"])
def test_a_stopped_worker(working: Callable[..., Working], how: str) -> None:
    worker = working(how)
    worker.process.send_signal(signal.SIGSTOP)
    time.sleep(STOPPED_S)
    worker.process.send_signal(signal.SIGCONT)
    seconds, kinds = worker.facts()
    assert seconds > STOPPED_S / 2
    assert "frozen_s" in kinds


@pytest.mark.parametrize("how", ["batches", "team", "heartbeat", "asleep"])
def test_one_that_was_not_stopped(working: Callable[..., Working], how: str) -> None:
    worker = working(how)
    time.sleep(STOPPED_S)
    seconds, kinds = worker.facts()
    assert seconds == 0
    assert "frozen_s" not in kinds


def test_a_group_that_is_stopped_with_its_parent(working: Callable[..., Working]) -> None:
    worker = working("batches", sys.executable, "-c", WRAPPED)
    os.killpg(worker.process.pid, signal.SIGSTOP)
    time.sleep(STOPPED_S)
    os.killpg(worker.process.pid, signal.SIGCONT)
    assert worker.facts()[0] > STOPPED_S / 2


@pytest.mark.slow
def test_waiting_for_a_cpu_is_no_gap(working: Callable[..., Working]) -> None:
    """Three more that never sleep, on the worker's own CPU."""
    worker = working("batches")
    (cpu, *_) = os.sched_getaffinity(0)
    psutil.Process(worker.process.pid).cpu_affinity([cpu])
    rivals = [working("batches") for _ in range(3)]
    for rival in rivals:
        psutil.Process(rival.process.pid).cpu_affinity([cpu])
    time.sleep(2 * STOPPED_S)
    assert worker.facts()[0] == 0


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Freeze a process by a control group of its own, as a paused container is."""
    root = next((each for each in FREEZERS if (each / "cgroup.procs").exists()), None)
    if root is None or os.geteuid():
        pytest.skip("no control groups, or not root")
    group = root / f"frozen_{os.getpid()}"
    try:
        group.mkdir()
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        pytest.skip(f"control groups cannot be made here: {error.strerror}")
    old = group / "freezer.state"
    try:
        if old.exists():
            old.write_text("FROZEN")
        else:
            (group / "cgroup.freeze").write_text("1")
        yield
        if old.exists():
            old.write_text("THAWED")
        else:
            (group / "cgroup.freeze").write_text("0")
    finally:
        (root / "cgroup.procs").write_text(str(pid))
        group.rmdir()


@pytest.mark.parametrize("how", ["batches", "heartbeat"])
def test_a_paused_container(working: Callable[..., Working], how: str) -> None:
    worker = working(how)
    with frozen(worker.process.pid):
        time.sleep(STOPPED_S)
    seconds, kinds = worker.facts()
    assert seconds > STOPPED_S / 2
    assert "frozen_s" in kinds


def test_a_suspended_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one of the two clocks goes on while a machine is suspended."""
    real = time.clock_gettime
    before = take_snapshot()
    ahead = 42.0

    def clock_gettime(clock: int) -> float:
        return real(clock) + (ahead if clock == time.CLOCK_BOOTTIME else 0.0)

    monkeypatch.setattr(snapshots.time, "clock_gettime", clock_gettime)
    found = conditions_between(before, take_snapshot(), [])
    assert found.frozen_s == pytest.approx(ahead, abs=0.01)
    assert "frozen_s" in {each.kind for each in find_disturbances(found)}


def test_what_the_kernel_counts_of_a_frozen_group(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/a\n",
        "proc/self/mountinfo": "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "sys/fs/cgroup/a/cgroup.stat.local": "frozen_usec 2500000\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    after = take_snapshot(tmp_path, [0])
    assert after.counters["frozen_s"] == 2.5
    before = replace(after, counters={**after.counters, "frozen_s": 1.0})
    assert conditions_between(before, after, []).frozen_s == pytest.approx(1.5)


def test_a_quota_is_told_apart() -> None:
    now = take_snapshot()
    before = replace(now, counters={**now.counters, "quota_throttled_s": 0.0})
    after = replace(now, counters={**now.counters, "quota_throttled_s": 3.0})
    assert conditions_between(before, after, [], gaps_s=3.05).frozen_s < LIMITS.frozen_s
