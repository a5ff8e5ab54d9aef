"""Threads of this process: on which CPUs they may run, how much they worked, and how they should."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.facts.machine_facts import OpenMP, spell_cpus
from harness.host.snapshot import TICKS_PER_S
from harness.host.system_files import parse_cpu_list, read_text
from harness.host.threads import listed_places, openmp_mismatches
from harness.host.topology import allowed_cpus

WORKER_SHARE = 0.05  # of the busiest thread's work; a thread that does less is no worker


@dataclass(frozen=True)
class Thread:
    """A thread of this process.

    Attributes:
        allowed: the CPUs that it may use.
        cpu: the CPU that it used last.
        ticks: its CPU time, in clock ticks or parts of them.
        waited_s: how long it was ready to run without a CPU; None if the kernel does not tell.
    """

    tid: int
    name: str
    allowed: tuple[int, ...]
    cpu: int
    ticks: float
    waited_s: float | None


@dataclass(frozen=True)
class BusyThread(Thread):
    """A thread that worked in a stretch; ``ticks`` and ``waited_s`` are those of the stretch.

    Attributes:
        main: whether it is the process's first thread, which runs Python.
        share: its part of the CPU time of all threads.
        worker: whether it worked at least 5 % as much as the busiest thread.
    """

    main: bool
    share: float
    worker: bool


def list_threads() -> list[Thread]:
    """Return all threads of this process, with what they have done so far."""
    threads = []
    for tid in map(int, os.listdir("/proc/self/task")):
        task = Path(f"/proc/self/task/{tid}")
        stat, waits = read_text(task / "stat"), read_text(task / "schedstat")
        with contextlib.suppress(ProcessLookupError):  # the thread has just ended
            allowed = tuple(sorted(allowed_cpus(tid)))
            head, _, tail = (stat or "").rpartition(")")
            if fields := tail.split():  # from the third on
                ticks, cpu = float(int(fields[11]) + int(fields[12])), int(fields[36])
                waited = None
                if waits:  # in nanoseconds, where the kernel tells
                    ran, waiting = (int(text) / 1e9 for text in waits.split()[:2])
                    ticks, waited = ran * TICKS_PER_S, waiting
                name = head.partition("(")[2]
                threads.append(Thread(tid, name, allowed, cpu, ticks, waited))
    return threads


def busy_threads(before: Iterable[Thread], after: Iterable[Thread]) -> list[BusyThread]:
    """Return the threads whose CPU time grew between two moments, the busiest first."""
    earlier = {thread.tid: thread for thread in before}
    busy = []
    for thread in after:
        if start := earlier.get(thread.tid):
            waited = thread.waited_s
            if waited is not None and start.waited_s is not None:
                waited -= start.waited_s
            ticks = thread.ticks - start.ticks
            thread = dataclasses.replace(thread, ticks=ticks, waited_s=waited)
        if thread.ticks > 0:
            busy.append(thread)
    busy.sort(key=lambda thread: -thread.ticks)
    total = sum(thread.ticks for thread in busy)
    return [
        BusyThread(
            **vars(thread),
            main=thread.tid == os.getpid(),
            share=thread.ticks / total,
            worker=thread.ticks >= WORKER_SHARE * busy[0].ticks,
        )
        for thread in busy
    ]


def thread_mismatches(
    environment: Mapping[str, str],
    loaded: OpenMP,
    busy: Sequence[BusyThread],
    cores: Iterable[tuple[int, ...]] = (),
) -> list[str]:
    """Return how the threads that worked differ from the environment's settings, one sentence each.

    MXNet's default engine runs a network on a thread of its own, which is the first of its OpenMP
    team, while the main thread waits. With NaiveEngine the main thread is the first of the team.

    Args:
        environment: the process's environment; settings that it lacks are not checked.
        loaded: from ``loaded_openmp`` in the process.
        busy: from ``busy_threads`` for a stretch of forward passes.
        cores: the CPUs of each core: libiomp binds to cores unless granularity=fine.
    """
    mismatches = openmp_mismatches(environment, loaded)
    naive = environment.get("MXNET_ENGINE_TYPE") == "NaiveEngine"
    team = [thread for thread in busy if thread.worker and (naive or not thread.main)]
    count = environment.get("OMP_NUM_THREADS")
    if count and len(team) != int(count):
        mismatches.append(f"OMP_NUM_THREADS is {count} and {len(team)} thread(s) did the work")
    variable, places = _configured_places(environment, cores)
    together = environment.get("OMP_PROC_BIND", "").upper() in ("MASTER", "PRIMARY")
    distinct = len(set(map(frozenset, places)))
    turns = len(team) if together else math.ceil(len(places) / distinct) if distinct > 1 else 1
    for allowed, threads in Counter(thread.allowed for thread in team).items():
        where = f"{threads} working thread(s) may run on {spell_cpus(allowed)}"
        if places and not any(place.issuperset(allowed) for place in places):
            mismatches.append(f"{where}, outside each place of {variable}={environment[variable]}")
        if len(allowed) == 1 and threads > turns:
            mismatches.append(f"{where} alone: they take turns")
    return mismatches


def bound_mismatches(cpus: Sequence[int], busy: Sequence[BusyThread]) -> list[str]:
    """Return how the threads of an engine that worked differ from what it was told, one sentence each.

    Args:
        cpus: one a thread; none: the engine was told nothing, and nothing is checked.
        busy: from ``busy_threads`` for a stretch of forward passes.
    """
    if not cpus:
        return []
    team = [thread for thread in busy if thread.worker]
    mismatches = []
    if len(team) != len(cpus):
        mismatches.append(f"{len(cpus)} thread(s) were asked for and {len(team)} did the work")
    for allowed, threads in Counter(thread.allowed for thread in team).items():
        where = f"{threads} working thread(s) may run on {spell_cpus(allowed)}"
        if not set(cpus).issuperset(allowed):
            mismatches.append(f"{where}, and not only on {spell_cpus(cpus)}")
        if threads > max(len(allowed), sum(map(cpus.count, allowed))):
            mismatches.append(f"{where} alone: they take turns")
    return mismatches


def _configured_places(
    environment: Mapping[str, str], cores: Iterable[tuple[int, ...]]
) -> tuple[str, list[set[int]]]:
    """Return the variable that lists places by CPU numbers, and the places; "" and none without one."""
    affinity = environment.get("KMP_AFFINITY", "")
    listed = re.search(r"proclist=\[([\d,-]+)\]", affinity)
    if listed:
        fine = re.search(r"granularity=(?:fine|thread)", affinity)
        whole = {} if fine else {cpu: set(core) for core in cores for cpu in core}
        numbers = re.findall(r"\d+(?:-\d+)?", listed[1])  # in order: a CPU may be listed twice
        cpus = [cpu for number in numbers for cpu in sorted(parse_cpu_list(number))]
        return "KMP_AFFINITY", [whole.get(cpu, {cpu}) for cpu in cpus]
    if environment.get("OMP_PROC_BIND", "").lower() == "false":
        return "", []
    return "OMP_PLACES", listed_places(environment.get("OMP_PLACES", ""))
