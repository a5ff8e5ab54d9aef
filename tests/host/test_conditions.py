"""What disturbs a measurement: made machines, and real processes that run MXNet."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness import PROJECT
from harness.facts.machine_facts import OpenMP
from harness.facts.typed import plain
from harness.host.conditions import Conditions, conditions_between, shows_workers
from harness.host.disturbances import ADVICE, LIMITS, Limits, find_disturbances
from harness.host.snapshot import TICKS_PER_S, Snapshot, take_snapshot
from harness.host.thread_activity import (
    BusyThread,
    Thread,
    bound_mismatches,
    busy_threads,
    list_threads,
    thread_mismatches,
)
from harness.host.threads import find_kmp_library, resolve
from harness.host.topology import read_topology
from harness.process.executor import worker_environment

CPU = "sys/devices/system/cpu"
MACHINE_COUNTERS = ("thermal_throttles", "quota_throttles", "quota_throttled_s", "pressure_s")
V1 = "31 25 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
V2 = "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def stat(*cpus: str) -> str:
    """Return /proc/stat of CPUs 0, 1, ... with the 8 columns given, and two of guests' time."""
    lines = [f"cpu{number} {ticks} 7 7" for number, ticks in enumerate(cpus)]
    return "\n".join(["cpu  9 9 9 9 9 9 9 9 9 9", *lines, "intr 12 0 3", "ctxt 5"]) + "\n"


def reading(
    at: float = 0.0,
    ticks: Mapping[int, tuple[int, ...]] | None = None,
    mhz: Mapping[int, float] | None = None,
    **counters: float,
) -> Snapshot:
    always = {"cpu_s": 0.0, "voluntary": 0, "involuntary": 0, "minor_faults": 0, "major_faults": 0}
    return Snapshot(at, dict(ticks or {}), dict(mhz or {}), None, {**always, **counters})


def quiet(seconds: float) -> Conditions:
    """Return conditions of a stretch that this process had the one CPU for."""
    ticks = (int(seconds * TICKS_PER_S), *[0] * 7)
    return conditions_between(
        reading(ticks={0: (0,) * 8}), reading(seconds, {0: ticks}, cpu_s=seconds), []
    )


def plus(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def changed(target: Any, name: str, value: Any) -> Any:
    return replace(target, **{name: value})


# Made machines


def test_a_made_machine(tmp_path: Path) -> None:
    files = {
        "proc/stat": stat("1 2 3 4 5 6 7 8", "10 0 0 20 0 0 0 0", "1 1 1 1 1 1 1 1"),
        "proc/loadavg": "1.50 0.30 0.20 1/200 999\n",
        "proc/pressure/cpu": "some avg10=1.00 avg60=0.00 avg300=0.00 total=2500000\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=9\n",
        "proc/self/cgroup": "0::/a/b\n",
        "proc/self/mountinfo": V2,
        "sys/fs/cgroup/a/b/cpu.stat": "nr_periods 9\nnr_throttled 4\nthrottled_usec 1500000\n",
        "sys/fs/cgroup/a/cpu.stat": "nr_periods 9\nnr_throttled 1\nthrottled_usec 500000\n",
        "sys/fs/cgroup/cpu.stat": "usage_usec 1\n",
        **{f"{CPU}/cpu{cpu}/thermal_throttle/core_throttle_count": "3\n" for cpu in range(3)},
        f"{CPU}/cpu1/thermal_throttle/package_throttle_count": "2\n",
        f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "2900000\n",
        f"{CPU}/cpu1/cpufreq/scaling_cur_freq": "<unknown>\n",
    }
    write(tmp_path, files)
    before = take_snapshot(tmp_path, [0, 1, 9])
    assert before.ticks == {0: (1, 2, 3, 4, 5, 6, 7, 8), 1: (10, 0, 0, 20, 0, 0, 0, 0)}
    assert (before.load_1min, before.mhz) == (1.5, {0: 2900.0})
    told = {name: before.counters[name] for name in MACHINE_COUNTERS}
    assert told == dict(zip(MACHINE_COUNTERS, (8, 5, 2.0, 2.5), strict=True))
    write(
        tmp_path,
        {
            "proc/stat": stat("61 2 13 14 5 6 7 28", "20 0 0 100 0 0 0 0", "9 9 9 9 9 9 9 999"),
            "proc/pressure/cpu": "some avg10=1.00 avg60=0.00 avg300=0.00 total=3000000\n",
            "sys/fs/cgroup/a/b/cpu.stat": "nr_throttled 6\nthrottled_usec 1750000\n",
            f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "10\n",
            f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "1450000\n",
        },
    )
    after = take_snapshot(tmp_path, [0, 1])
    own = {
        "cpu_s": 0.62,
        "voluntary": 100,
        "involuntary": 700,
        "minor_faults": 20,
        "major_faults": 60,
    }
    counters = {**after.counters, **{name: before.counters[name] + own[name] for name in own}}
    after = replace(after, at=before.at + 2, counters=counters)
    found = conditions_between(before, after, [])
    assert found.cpus == (0, 1)
    # of 4 seconds of 2 CPUs 0.9 were idle, 0.2 stolen, 0.62 this process's own
    assert found.steal_share == pytest.approx(0.2 / 4)
    assert found.other_load == pytest.approx((4 - 0.9 - 0.2 - 0.62) / 4)
    assert found.cpu_pressure == pytest.approx(0.25)
    assert found.involuntary_switches_per_s == pytest.approx(350)
    assert found.pushed_off_per_s == pytest.approx(300)
    assert found.minor_faults_per_s == pytest.approx(10)
    assert found.major_faults == 60
    assert (found.mhz_min, found.mhz_max, found.frequency_drop) == (1450, 2900, 0.5)
    assert (found.thermal_throttles, found.quota_throttles) == (7, 2)
    assert found.quota_throttled_s == pytest.approx(0.25)
    found = replace(found, waited_share=0.5, frozen_s=0.5)
    assert {each.kind for each in find_disturbances(found)} == set(ADVICE)


def test_control_groups_of_the_first_version(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "3:cpu,cpuacct:/\n0::/\n",
            "proc/self/mountinfo": V1,
            "sys/fs/cgroup/cpu/cpu.stat": "nr_throttled 3\nthrottled_time 2500000000\n",
        },
    )
    counters = take_snapshot(tmp_path, [0]).counters
    assert (counters["quota_throttles"], counters["quota_throttled_s"]) == (3, 2.5)


def test_frequencies_of_cpuinfo(tmp_path: Path) -> None:
    block = "vendor_id\t: AuthenticAMD\ncpu MHz\t\t: {}\nflags\t\t: fpu\n"
    texts = [
        f"processor\t: {cpu}\n{block.format(mhz)}"
        for cpu, mhz in ((0, 2596.122), (1, 0), (2, 3100))
    ]
    write(tmp_path, {"proc/cpuinfo": "\n".join(texts), "proc/stat": stat(*["0 " * 8] * 3)})
    assert take_snapshot(tmp_path, [0, 1]).mhz == {0: 2596.122}


def test_readings_under_other_numbers_are_nobodys(tmp_path: Path) -> None:
    """lxcfs numbers the CPUs of /proc from 0: what it says of 1 is of another than the machine's 1."""
    block = "processor\t: {}\ncpu MHz\t\t: 2500.0\n"
    write(
        tmp_path,
        {
            "proc/stat": stat(*["1 2 3 4 5 6 7 8"] * 2),
            "proc/cpuinfo": "\n".join(block.format(cpu) for cpu in range(2)),
            f"{CPU}/cpu1/topology/thread_siblings_list": "1\n",
            f"{CPU}/cpu5/topology/thread_siblings_list": "5\n",
        },
    )
    before = take_snapshot(tmp_path, [1, 5])
    assert (before.ticks, before.mhz) == ({}, {})
    assert set(take_snapshot(tmp_path, [0, 1]).ticks) == {0, 1}
    assert set(take_snapshot(tmp_path, [1, 7]).ticks) == {1}  # 7 was unplugged


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    before, after = take_snapshot(tmp_path), take_snapshot(tmp_path)
    assert (before.ticks, before.mhz, before.load_1min) == ({}, {}, None)
    assert not set(MACHINE_COUNTERS) & set(before.counters)
    found = conditions_between(before, replace(after, at=before.at), [])  # not even time has passed
    unknown = (found.steal_share, found.other_load, found.waited_share, found.frequency_drop)
    assert unknown == (None,) * 4
    assert "steal_share" not in {each.kind for each in find_disturbances(found)}
    assert json.loads(json.dumps(plain(found)))["quota_throttled_s"] is None


def test_this_machine() -> None:
    before = take_snapshot()
    assert set(before.ticks) == os.sched_getaffinity(0)
    assert all(len(ticks) == 8 for ticks in before.ticks.values())
    (main,) = [thread for thread in list_threads() if thread.tid == os.getpid()]
    assert main.allowed == tuple(sorted(os.sched_getaffinity(0)))
    assert main.cpu in main.allowed


@st.composite
def spans(draw: st.DrawFn, cpus: int | None = None) -> tuple[list[tuple[int, ...]], float]:
    """Draw the ticks of some CPUs in one stretch, all with the same sum, and this process's part."""
    length = draw(st.integers(1, 10**5))
    grown = []
    for _ in range(cpus or draw(st.integers(1, 4))):
        cuts = sorted(draw(st.lists(st.integers(0, length), min_size=7, max_size=7)))
        grown.append(tuple(b - a for a, b in itertools.pairwise([0, *cuts, length])))
    busy = sum(length - ticks[3] - ticks[4] - ticks[7] for ticks in grown)
    return grown, draw(st.floats(0, 1)) * busy / TICKS_PER_S


def later(start: Snapshot, span: tuple[list[tuple[int, ...]], float]) -> Snapshot:
    grown, own = span
    ticks = {cpu: plus(start.ticks[cpu], each) for cpu, each in enumerate(grown)}
    cpu_s = start.counters["cpu_s"] + own
    return reading(start.at + sum(grown[0]) / TICKS_PER_S, ticks, cpu_s=cpu_s)


@given(spans(), st.integers(0, 10**9))
def test_all_time_is_accounted_for(span: tuple[list[tuple[int, ...]], float], uptime: int) -> None:
    grown, own = span
    start = reading(float(uptime % 10**6), {cpu: (uptime,) * 8 for cpu in range(len(grown))})
    found = conditions_between(start, later(start, span), [])
    total = sum(map(sum, grown)) / TICKS_PER_S
    idle = sum(ticks[3] + ticks[4] for ticks in grown) / TICKS_PER_S
    stolen = sum(ticks[7] for ticks in grown) / TICKS_PER_S
    assert found.steal_share is not None and found.other_load is not None
    assert found.steal_share == pytest.approx(stolen / total, abs=1e-6)
    assert 0 <= found.other_load <= 1
    shares = found.steal_share + found.other_load + (own + idle) / total
    assert shares == pytest.approx(1, abs=1e-6)


@given(spans(2), spans(2))
def test_a_stretch_is_the_mean_of_its_parts(
    first: tuple[list[tuple[int, ...]], float], second: tuple[list[tuple[int, ...]], float]
) -> None:
    start = reading(ticks={0: (0,) * 8, 1: (5,) * 8})
    middle = later(start, first)
    end = later(middle, second)
    whole, *parts = (
        conditions_between(*ends, []) for ends in ((start, end), (start, middle), (middle, end))
    )
    for name in ("steal_share", "other_load"):
        mean = sum(getattr(part, name) * part.seconds for part in parts) / whole.seconds
        assert getattr(whole, name) == pytest.approx(mean, abs=1e-6)


@given(*[st.tuples(*[st.integers(0, 500)] * 8)] * 2)
def test_counters_that_go_back_do_no_harm(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    found = conditions_between(reading(0.0, {0: first}), reading(1.0, {0: second, 1: first}), [])
    assert found.cpus == (0,)
    assert 0 <= (found.steal_share or 0) <= 1
    assert 0 <= (found.other_load or 0) <= 1


# What is judged


@pytest.mark.parametrize("kind", list(ADVICE))
def test_each_limit(kind: str) -> None:
    limit = getattr(LIMITS, kind)
    calm = quiet(10**6)  # so long that a tick is nothing
    assert find_disturbances(changed(calm, kind, limit)) == []
    assert find_disturbances(changed(calm, kind, None)) == []
    (found,) = find_disturbances(changed(calm, kind, limit + 1))
    assert (found.kind, found.value, found.advice) == (kind, limit + 1, ADVICE[kind])
    assert found.limit == pytest.approx(limit, abs=1e-6)
    assert find_disturbances(changed(calm, kind, limit + 1), changed(LIMITS, kind, limit + 2)) == []


def test_every_limit_is_measured_and_advised() -> None:
    names = set(Limits.__dataclass_fields__)
    assert names == set(ADVICE) and names <= set(Conditions.__dataclass_fields__)


def test_one_tick_is_no_load() -> None:
    """A stretch of 5 ticks in which the counting is off by one."""
    short = replace(quiet(5 / TICKS_PER_S), core_load=0.2, steal_share=0.2)
    assert find_disturbances(short) == []
    assert len(find_disturbances(replace(short, seconds=10.0))) == 2


# Which threads worked, and where


def thread(tid: int, ticks: int, allowed: Sequence[int] = (0,), waited: float = 0.0) -> Thread:
    return Thread(tid, "python", tuple(allowed), allowed[0], ticks, waited)


def test_placement() -> None:
    before = [thread(1, 50), thread(2, 100, waited=1.0), thread(3, 7), thread(9, 5)]
    after = [thread(1, 53), thread(2, 160), thread(3, 7), thread(4, 37, [1], 0.25)]
    found = busy_threads(before, [after[0], replace(after[1], waited_s=1.5), *after[2:]])
    assert [(each.tid, each.share, each.waited_s) for each in found] == [
        (2, 0.6, 0.5),
        (4, 0.37, 0.25),
        (1, 0.03, 0.0),
    ]
    assert [each.worker for each in found] == [True, True, True]  # 5 % of 60 are 3
    assert busy_threads(after, after) == busy_threads(before, []) == []
    told = conditions_between(reading(), reading(1.0), found)
    assert told.waited_share == 0.5
    assert json.loads(json.dumps(plain(told)))["busy"][1]["allowed"] == [1]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=8))
def test_shares_are_of_all_work(spans: list[tuple[int, int]]) -> None:
    before = [thread(tid, start) for tid, (start, _) in enumerate(spans)]
    after = [thread(tid, start + grown) for tid, (start, grown) in enumerate(spans)]
    found = busy_threads(before, after)
    assert sum(each.share for each in found) == pytest.approx(1 if found else 0)
    assert {each.tid for each in found} == {tid for tid, span in enumerate(spans) if span[1]}
    assert [each.share for each in found] == sorted((each.share for each in found), reverse=True)


@pytest.mark.parametrize(
    ("main_cpu", "engine", "helper", "expected"),
    [
        (0, 0.0, 0.0, 0.0),
        (0, 0.3, 0.1, 0.1),  # the main thread had the engine's CPU for 0.3 s
        (0, 0.9, 0.1, 0.6),
        (0, 0.1, 0.8, 0.8),
        (5, 0.3, 0.1, 0.3),
    ],
)
def test_taking_turns_with_the_main_thread_is_no_waiting(
    main_cpu: int, engine: float, helper: float, expected: float
) -> None:
    main = thread(os.getpid(), round(0.3 * TICKS_PER_S), [main_cpu], 0.95)
    after = [main, thread(1, 60, [0], engine), thread(2, 60, [1], helper)]
    found = conditions_between(reading(), reading(1.0), busy_threads([], after))
    assert found.waited_share == pytest.approx(expected)
    alone = conditions_between(reading(), reading(1.0), busy_threads([], [main]))
    assert alone.waited_share == pytest.approx(0.95)


CORES = [(0, 8), (1, 9)]


def spread(
    cpus: int, idle: Mapping[int, float], seconds: float = 10.0
) -> tuple[Snapshot, Snapshot]:
    """Return the readings around a stretch in which CPUs were idle for so many seconds each."""
    start = {cpu: (0,) * 8 for cpu in range(cpus)}
    ticks = {cpu: (0, 0, 0, round(idle[cpu] * TICKS_PER_S), 0, 0, 0, 0) for cpu in range(cpus)}
    return reading(ticks=start), reading(seconds, ticks)


def bound(cpu: int, seconds: float) -> BusyThread:
    return replace(worker([cpu]), tid=cpu + 2, ticks=seconds * TICKS_PER_S)


def test_neighbours_on_cores_that_are_not_measured_are_no_load() -> None:
    """64 CPUs, 8 of them measured, and a neighbour on ten others."""
    idle = {cpu: 0.0 if cpu < 8 or 20 <= cpu < 30 else 10.0 for cpu in range(64)}
    before, after = spread(64, idle)
    after.counters["cpu_s"] = 80.0
    found = conditions_between(before, after, [bound(cpu, 10.0) for cpu in range(8)])
    assert found.other_load == pytest.approx(100 / 640)
    assert found.core_load == 0.0
    assert find_disturbances(found) == []


def test_a_rival_on_the_sibling_of_one_measured_cpu_is_load() -> None:
    """32 cores of two CPUs, threads on the first of each, and one rival on one second."""
    idle = {cpu: 0.0 if cpu < 32 or cpu == 40 else 10.0 for cpu in range(64)}
    before, after = spread(64, idle)
    after.counters["cpu_s"] = 320.0
    team = [bound(cpu, 10.0) for cpu in range(32)]
    found = conditions_between(before, after, team, [(cpu, cpu + 32) for cpu in range(32)])
    assert found.other_load == pytest.approx(10 / 640)  # lost in the mean
    assert found.core_load == pytest.approx(1.0)
    assert [each.kind for each in find_disturbances(found)] == ["core_load"]


@pytest.mark.parametrize("loaded", [0, 1])
def test_a_rival_of_a_team_that_the_main_thread_is_in_is_load(loaded: int) -> None:
    """Of an engine whose caller computes, too."""
    before, after = spread(2, {0: 0.0, 1: 0.0})
    after.counters["cpu_s"] = 15.0
    took = {cpu: 5.0 if cpu == loaded else 10.0 for cpu in (0, 1)}
    team = [
        replace(bound(cpu, took[cpu]), main=cpu == 0, waited_s=10 - took[cpu]) for cpu in (0, 1)
    ]
    found = conditions_between(before, after, team, main_works=True)
    assert found.core_load == pytest.approx(0.5)
    assert found.waited_share == pytest.approx(0.5)
    quiet, later = spread(2, {0: 0.0, 1: 0.0})
    later.counters["cpu_s"] = 20.0
    alone = [replace(bound(cpu, 10.0), main=cpu == 0) for cpu in (0, 1)]
    assert find_disturbances(conditions_between(quiet, later, alone, main_works=True)) == []


def test_own_work_that_is_bound_to_no_core_is_no_rival() -> None:
    before, after = spread(2, {0: 0.0, 1: 1.0})
    after.counters["cpu_s"] = 19.0
    main = replace(worker([0, 1], main=True), ticks=4.0 * TICKS_PER_S)
    found = conditions_between(before, after, [bound(0, 8.0), bound(1, 7.0), main])
    assert found.core_load == 0.0


def test_threads_that_came_and_went_tell_nothing() -> None:
    kept = [bound(0, 1.0), bound(1, 1.0)]
    start, end = spread(2, {0: 0.0, 1: 0.0}, 2.0)
    assert shows_workers(
        conditions_between(start, replace(end, counters={**end.counters, "cpu_s": 2.1}), kept)
    )
    assert not shows_workers(
        conditions_between(start, replace(end, counters={**end.counters, "cpu_s": 3}), kept)
    )
    brief = [bound(0, 0.05)]
    assert not shows_workers(conditions_between(start, end, brief)) and not shows_workers(
        conditions_between(start, end, [])
    )


@pytest.mark.parametrize(
    ("cpus", "busy", "words"),
    [
        ([0, 1], [[0], [1]], []),
        ([0, 1], [[0, 1], [0, 1]], []),
        ([], [[0], [5], [6]], []),
        ([0, 1], [[0]], ["2 thread(s) were asked for and 1 did the work"]),
        ([0, 1], [[0], [7]], ["CPU 7, and not only on CPU 0,1"]),
        ([0, 1], [[0, 1, 2], [0]], ["CPU 0,1,2, and not only on CPU 0,1"]),
        ([0, 1], [[0], [0]], ["2 working thread(s) may run on CPU 0 alone: they take turns"]),
        ([0, 1, 0, 1], [[0], [1], [0], [1]], []),
        ([0, 1, 0], [[0], [1], [1]], ["2 working thread(s) may run on CPU 1 alone"]),
    ],
)
def test_an_engines_threads_are_held_to_their_cpus(
    cpus: list[int], busy: list[list[int]], words: list[str]
) -> None:
    said = bound_mismatches(cpus, [worker([9], works=False), *map(worker, busy)])
    assert len(said) == len(words)
    assert all(word in sentence for word, sentence in zip(words, said, strict=True))


OMP = {"OMP_NUM_THREADS": "2", "OMP_PROC_BIND": "TRUE"}


def worker(allowed: Sequence[int], main: bool = False, works: bool = True) -> BusyThread:
    return BusyThread(1, "python", tuple(allowed), allowed[0], 100, 0.0, main, 0.5, works)


@pytest.mark.parametrize(
    ("environment", "busy", "words"),
    [
        ({"OMP_PLACES": "{0}:2:1"}, [worker([0]), worker([1])], []),
        ({"OMP_PLACES": "{0},{1}"}, [worker([0]), worker([1]), worker([0], main=True)], []),
        ({}, [worker([0, 1]), worker([0, 1])], []),
        ({}, [worker([0]), worker([1]), worker([2], works=False)], []),
        ({}, [worker([0])], ["is 2 and 1 thread"]),
        ({}, [], ["is 2 and 0 thread"]),
        ({}, [worker([0]), worker([0], main=True)], ["is 2 and 1 thread"]),
        ({"MXNET_ENGINE_TYPE": "NaiveEngine"}, [worker([0], main=True), worker([1])], []),
        ({"OMP_PLACES": "{0},{1}"}, [worker([0, 1]), worker([1])], ["CPU 0,1, outside each"]),
        ({"OMP_PLACES": "{0},{1}"}, [worker([0]), worker([3])], ["CPU 3, outside each"]),
        ({"OMP_PLACES": "{0,1}:2:4"}, [worker([0, 1]), worker([4, 5])], []),
        ({"OMP_PLACES": "{0:2},{6:2:-2}"}, [worker([0, 1]), worker([4, 6])], []),
        ({"OMP_PLACES": "{4:2}:2:-2"}, [worker([4]), worker([2, 3])], []),
        ({"OMP_PLACES": "cores"}, [worker([0]), worker([7])], []),
        (
            {"OMP_PLACES": "{0},{1}", "OMP_PROC_BIND": "FALSE"},
            [worker([0, 1, 2]), worker([0, 1, 2])],
            [],
        ),
        ({"OMP_PLACES": "{0},{0}"}, [worker([0]), worker([0])], ["2 working", "take turns"]),
        ({"KMP_AFFINITY": "proclist=[2,4],explicit"}, [worker([4]), worker([2])], []),
        (
            {"KMP_AFFINITY": "granularity=fine,proclist=[0-1],explicit"},
            [worker([0]), worker([0, 1])],
            ["CPU 0,1, outside each place of KMP_AFFINITY=granularity"],
        ),
        # cores are CPUs 0 and 8, 1 and 9 here; libiomp binds to cores unless asked otherwise
        ({"KMP_AFFINITY": "proclist=[0,1],explicit"}, [worker([0, 8]), worker([1, 9])], []),
        (
            {"KMP_AFFINITY": "granularity=fine,proclist=[0,1],explicit"},
            [worker([0, 8]), worker([1, 9])],
            ["CPU 0,8, outside each place"],
        ),
        # more threads than CPUs, as asked
        (
            {"OMP_NUM_THREADS": "4", "OMP_PLACES": "{0},{1},{0},{1}"},
            [worker([0]), worker([1]), worker([0]), worker([1])],
            [],
        ),
        (
            {"OMP_NUM_THREADS": "4", "OMP_PLACES": "{0},{1},{2},{3}"},
            [worker([0]), worker([1]), worker([0]), worker([1])],
            ["2 working thread(s) may run on CPU 0 alone: they take turns"],
        ),
        (
            {"OMP_PLACES": "{0},{1}", "OMP_PROC_BIND": "MASTER"},
            [worker([0]), worker([0])],
            [],
        ),
    ],
)
def test_threads_asked_for(
    environment: dict[str, str], busy: list[BusyThread], words: list[str]
) -> None:
    count = int({**OMP, **environment}["OMP_NUM_THREADS"])
    loaded = OpenMP(runtime="libgomp", library="/x/lib.so", max_threads=count, places=[])
    found = " | ".join(thread_mismatches({**OMP, **environment}, loaded, busy, CORES))
    assert all(word in found for word in words) if words else found == ""


def test_nothing_asked_for_is_nothing_wrong() -> None:
    loaded = OpenMP(runtime="libgomp", library="/x/libgomp.so", max_threads=1, places=[])
    assert thread_mismatches({}, loaded, [worker([0, 1], main=True), worker([0, 1])]) == []


# From here on real processes run MXNet.

LOOP = """
import json, os, subprocess, sys, time
import mxnet as mx
from harness.facts.typed import plain
from harness.host.conditions import conditions_between
from harness.host.disturbances import find_disturbances
from harness.host.snapshot import take_snapshot
from harness.host.thread_activity import busy_threads, list_threads, thread_mismatches
from harness.host.threads import loaded_openmp
net = mx.gluon.nn.Conv2D(64, 3, in_channels=64)
net.initialize()
net.hybridize(static_alloc=True, static_shape=True)
images = mx.np.ones((8, 64, 56, 56))
CPUS = [int(cpu) for cpu in os.environ["WATCHED"].split(",")]
def stretch(cpu_s=0.6):
    for _ in range(3):
        net(images).wait_to_read()
    threads, before = list_threads(), take_snapshot(cpus=CPUS)
    while time.process_time() - before.counters["cpu_s"] < cpu_s:
        net(images).wait_to_read()
    after, busy = take_snapshot(cpus=CPUS), busy_threads(threads, list_threads())
    return conditions_between(before, after, busy)
"""
VERIFY = """
found = stretch()
told = plain(found)
told["problems"] = thread_mismatches(os.environ, loaded_openmp(), found.busy)
print(json.dumps(told))
"""
RIVALS = """
def kinds(found):
    return [each.kind for each in find_disturbances(found)]
alone, around = [], []
for _ in range(10):
    before = take_snapshot(cpus=CPUS)
    time.sleep(0.3)
    around.append(kinds(conditions_between(before, take_snapshot(cpus=CPUS), [])))
    alone.append(kinds(stretch()))
    if "core_load" not in alone[-1]:
        break
rivals = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in CPUS]
try:
    for rival, cpu in zip(rivals, CPUS):
        os.sched_setaffinity(rival.pid, [cpu])  # or all inherit the main thread's one CPU
    time.sleep(0.3)
    found = stretch()
finally:
    for rival in rivals:
        rival.kill()
told = {"alone": alone, "around": around, "disturbed": kinds(found)}
print(json.dumps({**told, "conditions": plain(found)}))
"""


def run(program: str, environment: Mapping[str, str]) -> Any:
    """Run a program in a process with this thread environment alone; return the JSON it prints."""
    watched = ",".join(map(str, read_topology().allowed_cpus))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=worker_environment({"WATCHED": watched, **environment}),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def asked(policy: str) -> tuple[dict[str, str], list[int]]:
    """Return the environment of two threads under a policy, and the CPUs that they must run on."""
    topology = read_topology()
    if topology.usable_cores < 2:
        pytest.skip("needs two cores")
    if policy == "kmp" and find_kmp_library() is None:
        pytest.skip("intel-openmp is not installed")
    options = yaml.safe_load((PROJECT / "conf" / "threads" / f"{policy}.yaml").read_text())
    settings = resolve({**options, "count": 2}, topology, find_kmp_library())
    return settings.environment, [core[0] for core in topology.cores[:2]]


def team_of(told: Mapping[str, Any], naive: bool = False) -> list[list[int]]:
    """Return the CPUs allowed to each thread that computed; the main one computes when naive."""
    workers = [thread for thread in told["busy"] if thread["worker"]]
    return sorted(thread["allowed"] for thread in workers if naive or not thread["main"])


@pytest.mark.quiet
@pytest.mark.parametrize("policy", ["omp", "kmp"])
@pytest.mark.parametrize("naive", [False, True])
def test_a_policy_that_took_effect(policy: str, naive: bool) -> None:
    environment, cpus = asked(policy)
    engine = {"MXNET_ENGINE_TYPE": "NaiveEngine"} if naive else {}
    told = run(LOOP + VERIFY, {**environment, **engine})
    assert told["problems"] == []
    assert team_of(told, naive) == [[cpu] for cpu in cpus]
    main_works = any(thread["main"] and thread["share"] > 0.2 for thread in told["busy"])
    assert main_works == naive  # else the engine's thread is the first of the team


@pytest.mark.quiet
def test_no_policy_asks_for_nothing() -> None:
    told = run(LOOP + VERIFY, {})
    assert told["problems"] == []
    assert all(len(cpus) == len(told["cpus"]) for cpus in team_of(told))


@pytest.mark.quiet
@pytest.mark.parametrize("places", ["{CPU},{CPU}", "{CPU}:1"])
def test_two_threads_on_one_cpu_are_noticed(places: str) -> None:
    environment, (cpu, _) = asked("omp")
    told = run(LOOP + VERIFY, {**environment, "OMP_PLACES": places.replace("CPU", str(cpu))})
    assert team_of(told) == [[cpu], [cpu]]
    (problem,) = told["problems"]
    assert f"2 working thread(s) may run on CPU {cpu} alone" in problem


@pytest.mark.quiet
@pytest.mark.parametrize(
    ("changes", "many"),
    [
        ({"OMP_THREAD_LIMIT": "1"}, False),  # max_threads still says 2
        ({"MXNET_ENGINE_TYPE": "ThreadedEngine"}, True),  # each of its threads has its own team
    ],
)
def test_another_number_of_threads_is_noticed(changes: dict[str, str], many: bool) -> None:
    environment, _ = asked("omp")
    told = run(LOOP + VERIFY, {**environment, **changes})
    count = len(team_of(told))
    assert count > 2 if many else count == 1
    assert f"OMP_NUM_THREADS is 2 and {count} thread(s) did the work" in told["problems"]


@pytest.mark.quiet
def test_another_openmp_before_mxnet_is_noticed() -> None:
    """scikit-learn brings a libgomp of its own, which binds the process to its first place."""
    environment, (cpu, _) = asked("omp")
    told = run(f"import sklearn.utils\n{LOOP}{VERIFY}", environment)
    if told["problems"] == []:
        pytest.skip("MXNet runs on scikit-learn's libgomp here: there is no other one")
    assert team_of(told) == [[cpu], [cpu]]
    first, second = told["problems"]
    assert "before MXNet was imported" in first
    assert f"may run on CPU {cpu} alone: they take turns" in second


@pytest.mark.quiet
def test_rivals_are_noticed_and_own_work_is_not_taken_for_one() -> None:
    environment, _ = asked("omp")
    told = run(LOOP + RIVALS, environment)
    assert {"core_load", "waited_share"} <= set(told["disturbed"]), told["conditions"]
    if all("core_load" in kinds for kinds in told["alone"]):
        if all("core_load" in kinds for kinds in told["around"]):
            pytest.skip("the machine was never quiet: others used it all the time")
        pytest.fail(f"own work was taken for a rival's: {told['alone']} beside {told['around']}")
