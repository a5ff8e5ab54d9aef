"""What comes from elsewhere does no harm, and what a worker could do if it were taken."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import PROJECT
from harness.facts.typed import decode
from harness.process import executor
from harness.process.confinement import FILE_BYTES, NO_NETWORK
from harness.process.executor import Ended as WorkerEnded
from harness.process.executor import Worker, worker_environment
from harness.process.jobs import Job
from helpers.command_line import TINY, CommandLine

TESTS = PROJECT / "tests"
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI-made-up-for-this-test",
    "GITHUB_TOKEN": "ghp-made-up-for-this-test",
    "MY_PASSWORD": "correct-horse-made-up-for-this-test",
}


# --- workers


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., WorkerEnded]:
    def do(act: str, **fields: Any) -> WorkerEnded:
        environment = worker_environment({"PYTHONPATH": f"{PROJECT}:{TESTS}"})
        job = decode({"stage": "misbehaving.stage", "act": act, **fields}, Job)
        return Worker(job, environment, tmp_path / "log", tmp_path).wait(lambda *_: None)

    return do


def test_worker_is_confined_and_keeps_its_cores(
    run: Callable[..., WorkerEnded], listening: int
) -> None:
    ended = run("reach_out", port=listening)
    seen, confined = ended.value, ended.confined
    assert confined is not None
    assert seen["core"] == [0, 0]
    assert seen["file"] == [FILE_BYTES, FILE_BYTES] == [confined["file_bytes"]] * 2
    assert seen["no_new_privileges"] == "1" and confined["no_new_privileges"] is True
    assert seen["user"] == os.geteuid()
    assert seen["cpus"] == sorted(os.sched_getaffinity(0))
    unreachable = "Network is unreachable"
    assert seen["reached"] == (unreachable if confined["network"] == NO_NETWORK else "connected")
    assert confined["network"] == NO_NETWORK or confined["network"].startswith("shared: ")


def test_a_download_keeps_the_network(run: Callable[..., WorkerEnded], listening: int) -> None:
    ended = run("reach_out", port=listening, confine={"network": True})
    assert ended.value["reached"] == "connected"
    assert ended.confined is not None and ended.confined["network"] == "asked for a download"


def test_memory_is_bounded_where_a_job_says_so(run: Callable[..., WorkerEnded]) -> None:
    few = 256 << 20
    assert run("eat", bytes=1 << 20, confine={"memory_bytes": few}).value == 1 << 20
    ended = run("eat", bytes=1 << 30, confine={"memory_bytes": few})
    assert (ended.kind, ended.message) == (
        executor.ERROR,
        "MemoryError: memory is short (this process may hold 0.3 GB); if the model is one to trust, "
        "raise run.memory_gb",
    )
    assert resource.getrlimit(resource.RLIMIT_DATA)[1] == resource.RLIM_INFINITY


def test_where_the_kernel_allows_nothing_the_record_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = (
        "from harness.process import confinement as c; import json\n"
        "c.CLONE_NEWNET = c.CLONE_NEWUSER = 1 << 20\n"  # no such flag
        "c.landlock.CREATE = c.seccomp.SECCOMP = 1 << 20\n"  # no such call
        "print(json.dumps(c.confine()))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    confined = json.loads(told.stdout)
    assert confined["network"] == "shared: Invalid argument"
    assert confined["no_new_privileges"] is True
    assert confined["files"] == "missing: Function not implemented"
    assert confined["system_calls"] == "missing: Function not implemented"


# --- a whole run


def sockets_of(process: psutil.Process) -> list[str]:
    """Return the listening sockets of a process, in whichever network namespace it is."""
    inodes = set()
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = []
    for name, state, listening, inode in (
        ("tcp", 3, "0A", 9),
        ("tcp6", 3, "0A", 9),
        ("udp", 3, "07", 9),  # unconnected: whoever knows the port may send
        ("udp6", 3, "07", 9),
        ("unix", 3, "00010000", 6),
    ):
        for line in Path(f"/proc/{process.pid}/net/{name}").read_text().splitlines()[1:]:
            parts = line.split()
            if parts[state] == listening and parts[inode] in inodes:
                found.append(f"{name} {line.strip()}")
    return found


def test_the_look_at_sockets_sees_one(listening: int) -> None:
    assert any(line.startswith("tcp ") for line in sockets_of(psutil.Process()))


@pytest.mark.slow
def test_nothing_listens_and_no_secret_is_kept(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    started = cli.start("method=[fp32]", *TINY)
    parent = psutil.Process(started.process.pid)
    looks, workers, listening = 0, set(), []
    while started.process.poll() is None:
        try:
            for process in (parent, *parent.children(recursive=True)):
                listening += sockets_of(process)
                workers.add(process.pid)
                looks += 1
        except (psutil.Error, OSError):
            continue  # one that has just ended
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.process.wait(0.1)
    ended = started.end()
    assert ended.code == 0, ended.err
    assert listening == []
    assert looks > 10 and len(workers) >= 4  # the parent, inspect, prepare, optimize, validate
    kept = [path for root in (cli.results, cli.cache) for path in root.rglob("*") if path.is_file()]
    assert len(kept) > 10
    for path in kept:
        content = path.read_bytes()
        assert not [name for name, value in SECRETS.items() if value.encode() in content], path
        assert not [name for name in SECRETS if name.encode() in content], path
    for record in ended.records.values():
        for facts in (record.optimize, record.validate):
            assert facts is not None
            confined = facts.stored["confined"]
            assert confined["core_bytes"] == 0
            assert confined["no_new_privileges"] is True


def test_what_a_terminal_would_obey_is_replaced() -> None:
    from harness.render.escape import plain

    assert (
        plain("a\x1b]0;taken\x07b\x9b2J\rc\u202ed\ud800")
        == "a\ufffd]0;taken\ufffdb\ufffd2J\ufffdc\ufffdd\ufffd"
    )
    assert plain("ü 漢\n\t| 1.5 |") == "ü 漢\n\t| 1.5 |"
