"""Thread policies, and what MXNet really gets from them in real processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness import PROJECT
from harness.errors import InputError
from harness.facts.machine_facts import OpenMP, ThreadOptions, ThreadSettings
from harness.facts.typed import decode
from harness.host.threads import (
    engine_cpus,
    find_kmp_library,
    openmp_mismatches,
    resolve,
)
from harness.host.topology import Topology, read_topology
from harness.process.executor import worker_environment

CONF = PROJECT / "conf" / "threads"
LIBRARY = Path("/opt/lib/libiomp5.so")
PLAIN = Topology((0, 1, 2, 3), ((0,), (1,), (2,), (3,)), 1, None)
SMT = Topology(tuple(range(8)), tuple((core, core + 4) for core in range(4)), 1, None)
ODD = Topology((1, 3, 5), ((1,), (3,), (5,)), 1, None)


def options(policy: str, **changes: Any) -> dict[str, Any]:
    return {**yaml.safe_load((CONF / f"{policy}.yaml").read_text()), **changes}


def run(program: str, environment: Mapping[str, str]) -> Any:
    """Run a program in a process with this thread environment alone; return the JSON it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=worker_environment({**environment, "PYTHONPATH": str(PROJECT)}),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def cpus_in(places: str) -> list[int]:
    """Expand an OMP_PLACES list independently of the code under test."""
    compact = re.fullmatch(r"\{(\d+)\}:(\d+):1", places)
    if compact:
        return list(range(int(compact[1]), int(compact[1]) + int(compact[2])))
    return [int(place.strip("{}")) for place in places.split(",")]


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    order = draw(st.permutations(range(24)))
    sizes = draw(st.lists(st.integers(1, 2), min_size=1, max_size=12))
    cores, taken = [], 0
    for size in sizes:
        cores.append(tuple(sorted(order[taken : taken + size])))
        taken += size
    allowed = tuple(sorted(cpu for core in cores for cpu in core))
    return Topology(allowed, tuple(sorted(cores)), 1, draw(st.floats(0.5, 30) | st.none()))


@given(topologies(), st.integers(1, 40) | st.none())
def test_one_place_per_thread_and_core(topology: Topology, count: int | None) -> None:
    settings = resolve(options("omp", count=count), topology, None)
    places = cpus_in(settings.environment["OMP_PLACES"])
    assert len(places) == settings.count == (count or topology.usable_cores)
    assert set(places) <= set(topology.allowed_cpus)
    core_of = {cpu: core for core in topology.cores for cpu in core}
    used = {core_of[cpu] for cpu in places}
    assert len(used) == min(len(places), topology.physical_cores)
    assert engine_cpus(settings, topology) == places
    assert len(set(places)) == min(len(places), len(topology.allowed_cpus))
    assert bool(settings.warnings) == (len(places) > topology.usable_cores)
    kmp = resolve(options("kmp", count=count), topology, LIBRARY)
    listed = ",".join(map(str, places))
    affinity = f"granularity=fine,proclist=[{listed}],explicit"
    assert kmp.environment["KMP_AFFINITY"] == affinity


def test_as_published() -> None:
    cores = tuple((cpu, cpu + 32) for cpu in range(32))
    settings = resolve(options("omp"), Topology(tuple(range(64)), cores, 1, None), None)
    assert settings.environment == {
        "OMP_NUM_THREADS": "32",
        "OMP_DYNAMIC": "false",
        "OMP_PROC_BIND": "TRUE",
        "OMP_PLACES": "{0}:32:1",
        "OPENBLAS_NUM_THREADS": "32",
    }
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("topology", "count", "places"),
    [
        (PLAIN, None, "{0}:4:1"),
        (PLAIN, 1, "{0}:1:1"),
        (PLAIN, 6, "{0},{1},{2},{3},{0},{1}"),
        (SMT, None, "{0}:4:1"),
        (SMT, 6, "{0}:6:1"),
        (ODD, None, "{1},{3},{5}"),
        (Topology((0, 1, 2, 3), ((0, 1), (2, 3)), 1, None), None, "{0},{2}"),
        (Topology((0, 1, 2, 3), ((0,), (1,), (2,), (3,)), 1, 1.5), None, "{0}:1:1"),
    ],
)
def test_places(topology: Topology, count: int | None, places: str) -> None:
    settings = resolve(options("omp", count=count), topology, None)
    assert settings.environment["OMP_PLACES"] == places


def test_own_values_pass_through() -> None:
    asked = options("omp", count=2, proc_bind=False, places="{4},{6}")
    omp = resolve(asked, PLAIN, None)
    assert omp.environment["OMP_PROC_BIND"] == "FALSE"  # YAML's false comes as a bool
    assert omp.environment["OMP_PLACES"] == "{4},{6}"
    del asked["sweep"]  # what is measured besides is no part of the policy
    usual = asked.pop("allocator")  # is not kept, as in plans of before there was the key
    assert usual == "system"
    assert omp.asked is not None and omp.asked.stored == asked
    compact = "granularity=fine,compact,1,0"
    kmp = resolve(options("kmp", affinity=compact, blocktime="infinite"), PLAIN, LIBRARY)
    assert kmp.environment == {
        "LD_PRELOAD": str(LIBRARY),
        "OMP_NUM_THREADS": "4",
        "KMP_AFFINITY": compact,
        "KMP_BLOCKTIME": "infinite",
        "OPENBLAS_NUM_THREADS": "4",
    }


def test_none_sets_nothing() -> None:
    assert resolve(options("none"), PLAIN, None) == ThreadSettings(
        policy="none", count=None, environment={}, asked=ThreadOptions(policy="none", count=None)
    )


def test_more_threads_than_cores_are_warned_of_with_both_numbers() -> None:
    topology = Topology(SMT.allowed_cpus, SMT.cores, 1, 2.5)
    settings = resolve(options("omp", count=7), topology, None)
    (warning,) = settings.warnings
    assert "7 threads" in warning and "2 usable" in warning and "quota 2.5" in warning
    told = json.loads(json.dumps(settings.stored))
    assert told["warnings"] == [warning]
    assert told["environment"]["OMP_NUM_THREADS"] == "7"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"policy": "tbb"}, ["threads.policy=tbb", "omp, kmp or none"]),
        ({}, ["threads.policy=null"]),
        (options("omp", count=0), ["threads.count=0", "from 1 up"]),
        (options("omp", count=-3), ["threads.count=-3"]),
        (options("omp", count=2.0), ["threads.count=2.0"]),
        (options("omp", count="4"), ["threads.count=4"]),
        (options("omp", count=True), ["threads.count=true"]),
        (options("omp", proc_bind="maybe"), ["threads.proc_bind=maybe", "SPREAD"]),
        (options("omp", places={"0": 32}), ["threads.places=", "quotes"]),
        (options("omp", places=""), ["threads.places="]),
        *(
            (options("omp", places=wrong), [f"threads.places={wrong}", "a list of CPUs such as"])
            for wrong in ("{0-3}", "{0,}", "{0:}", "{0:2:0}", "{0}:0:1", "core", "cores(0)", "0,1")
        ),
        (options("omp", blocktime=1), ["threads.blocktime=1", "proc_bind, places"]),
        ({**options("omp"), "policy": "kmp"}, ["threads.proc_bind=TRUE", "threads=NAME"]),
        (options("kmp", blocktime=-1), ["threads.blocktime=-1", "infinite"]),
        (options("kmp", affinity=None), ["threads.affinity=null"]),
        (options("none", count=2), ["threads.count=2", "sets nothing"]),
    ],
)
def test_wrong_options_are_named(asked: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        resolve(asked, PLAIN, LIBRARY)
    assert all(word in str(caught.value) for word in words), caught.value


def test_kmp_needs_its_library() -> None:
    with pytest.raises(InputError, match="intel-openmp"):
        resolve(options("kmp"), PLAIN, None)
    with pytest.raises(InputError, match="space or a colon"):
        resolve(options("kmp"), PLAIN, Path("/my projects/libiomp5.so"))


def test_openmp_of_a_process_without_mxnet() -> None:
    """In a process of its own: another test may have imported MXNet into this one."""
    script = "from harness.host.threads import loaded_openmp; loaded_openmp()"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "HarnessError: libmxnet.so is not loaded: import mxnet" in done.stderr


# From here on real processes import MXNet and run a convolution, which starts OpenMP's threads.

CONVOLVE = """
import json, os, sys
import mxnet as mx
from harness.facts.typed import plain
from harness.host.threads import openmp_mismatches, loaded_openmp
net = mx.gluon.nn.Conv2D(64, 3, in_channels=64)
net.initialize()
images = mx.np.ones((8, 64, 56, 56))
def ticks():
    used = {}
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/stat") as stat:
            used[task] = int(stat.read().rpartition(")")[2].split()[11])
    return used
net(images).wait_to_read()
loaded, before = loaded_openmp(), ticks()
while True:
    net(images).wait_to_read()
    spent = {task: time - before.get(task, 0) for task, time in ticks().items()}
    busy = [task for task, time in spent.items() if time > 15]  # hundredths of a second
    total = sum(spent.values())  # of which the main thread takes a twelfth
    # a core that others use too gives its thread less, which then takes longer to be seen
    if total > 150 or (total > 60 and len(busy) >= loaded.max_threads):
        break
print(json.dumps({
    "busy": sorted(list(os.sched_getaffinity(int(task))) for task in busy),
    "loaded": plain(loaded),
    "differences": openmp_mismatches(os.environ, loaded),
}))
"""


def bound(policy: str) -> tuple[ThreadSettings, list[list[int]]]:
    """Return a policy's settings on this machine, at most 2 threads, and where they must run."""
    topology = read_topology()
    count = min(2, topology.usable_cores)
    settings = resolve(options(policy, count=count), topology, find_kmp_library())
    return settings, [[core[0]] for core in topology.cores[:count]]


@pytest.mark.slow
def test_omp_is_served_by_libgomp_one_thread_on_each_core() -> None:
    settings, cpus = bound("omp")
    told = run(CONVOLVE, settings.environment)
    assert told["loaded"]["runtime"] == "libgomp"
    assert told["loaded"]["max_threads"] == settings.count
    assert told["loaded"]["places"] == cpus
    assert told["loaded"]["blocktime_ms"] is None
    assert told["busy"] == cpus
    assert told["differences"] == []


@pytest.mark.slow
def test_kmp_is_served_by_libiomp_though_both_are_mapped() -> None:
    if find_kmp_library() is None:
        pytest.skip("intel-openmp is not installed")
    settings, cpus = bound("kmp")
    told = run(CONVOLVE, settings.environment)
    assert told["loaded"]["runtime"] == "libiomp5"
    assert told["loaded"]["library"] == settings.environment["LD_PRELOAD"]
    assert told["loaded"]["max_threads"] == settings.count
    assert told["loaded"]["places"] == cpus
    assert told["loaded"]["blocktime_ms"] == 1
    assert told["busy"] == cpus
    mapped = " ".join(told["loaded"]["mapped"])
    assert "libgomp" in mapped and "libiomp5.so" in mapped
    assert told["differences"] == []


@pytest.mark.slow
def test_none_is_half_of_the_cpus_unbound() -> None:
    told = run(CONVOLVE, {})
    assert told["loaded"]["max_threads"] == max(1, len(os.sched_getaffinity(0)) // 2)
    assert told["loaded"]["places"] == []
    assert told["differences"] == []


@pytest.mark.slow
def test_another_openmp_before_mxnet_is_noticed() -> None:
    """scikit-learn brings a libgomp of its own, which binds the process to its first place."""
    settings, cpus = bound("omp")
    if len(cpus) < 2:
        pytest.skip("needs two cores")
    told = run(f"import sklearn.utils\n{CONVOLVE}", settings.environment)
    if len([path for path in told["loaded"]["mapped"] if "libgomp" in path]) < 2:
        pytest.skip("MXNet runs on scikit-learn's libgomp here: there is no other one")
    assert told["loaded"]["places"] == cpus[:1]
    assert told["busy"] == [cpus[0], cpus[0]]
    (difference,) = told["differences"]
    assert "before MXNet was imported" in difference


@pytest.mark.parametrize(
    ("environment", "changes", "word"),
    [
        ({"LD_PRELOAD": "/x/libiomp5.so"}, {}, "LD_PRELOAD is /x/libiomp5.so"),
        ({}, {"runtime": "libiomp5"}, "LD_PRELOAD is not set"),
        ({"OMP_NUM_THREADS": "8"}, {}, "OMP_NUM_THREADS is 8 and MXNet uses 4 threads"),
        ({"OMP_PLACES": "{0}:4:1"}, {"places": [[0]]}, "bound to CPU 0 instead of CPU 0,1,2,3"),
        ({"OMP_PLACES": "{1},{3}"}, {"places": [[1], [2]]}, "CPU 1,2 instead of CPU 1,3"),
        ({"OMP_PLACES": "{0}:4:1"}, {"places": [[0], [1], [2], [3]]}, None),
        ({"OMP_PLACES": "sockets"}, {"places": [[0, 1], [2, 3]]}, None),
        ({"OMP_PLACES": "{0}:4:1"}, {"places": []}, None),
        ({}, {}, None),
    ],
)
def test_differences(environment: dict[str, str], changes: dict[str, Any], word: str) -> None:
    loaded = {"runtime": "libgomp", "library": "/x/libgomp.so.1", "max_threads": 4, "places": []}
    found = openmp_mismatches(environment, decode({**loaded, **changes}, OpenMP))
    assert found == [] if word is None else word in found[0]


def test_an_engines_threads_go_where_mxnets_go() -> None:
    listed = resolve(options("omp", count=2, places="{3},{1}"), PLAIN, None)
    assert engine_cpus(listed, PLAIN) == [3, 1]
    for places, bind, cpus in (
        ("{2,3}", "TRUE", [2, 3]),
        ("{3,2},{1}", "TRUE", [2, 1]),
        ("{3}", "TRUE", [3, 3]),
        ("{0}:4:1", "SPREAD", [0, 2]),
        ("{1},{2}", "PRIMARY", [1, 1]),
    ):
        chosen = options("omp", count=2, places=places, proc_bind=bind)
        assert engine_cpus(resolve(chosen, PLAIN, None), PLAIN) == cpus
    assert engine_cpus(resolve(options("kmp", count=2), SMT, LIBRARY), SMT) == [0, 1]
    assert engine_cpus(resolve(options("omp", proc_bind="FALSE"), PLAIN, None), PLAIN) == []
    assert engine_cpus(resolve(options("none"), PLAIN, None), PLAIN) == []


@pytest.mark.parametrize(
    ("affinity", "cpus"),
    [
        ("granularity=fine,proclist=[3,1],explicit", [3, 1, 3]),
        ("verbose,explicit,proclist=[2]", [2, 2, 2]),
        ("DISABLED", []),
        ("norespect,none", []),
        ("granularity=fine,compact,1,0", None),
        ("scatter", None),
        ("granularity=fine,proclist=[0-3],explicit", None),
        ("proclist=[{0,1},2],explicit", None),
    ],
)
def test_an_affinity_for_libiomp_that_lists_cpus_holds_for_engines(
    affinity: str, cpus: list[int] | None
) -> None:
    settings = resolve(options("kmp", count=3, affinity=affinity), PLAIN, LIBRARY)
    assert engine_cpus(settings, PLAIN) == cpus
