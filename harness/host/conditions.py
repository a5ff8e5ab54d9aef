"""Under which conditions a stretch of measuring ran: what disturbed it, and which threads did it.

For the measuring process itself: ``Watch`` looks before and after a stretch and, where it is told to,
between two batches; never in one. It starts a thread only for what has no batches.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import re
import resource
import statistics
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.host.gaps import LEAST_S, Gaps, Heartbeat
from harness.host.system_files import (
    CPUS,
    ROOT,
    control_groups,
    parse_cpu_list,
    read_text,
    to_integer,
)
from harness.host.threads import _cpus, differences, listed_places, loaded_openmp
from harness.host.topology import allowed_cpus, is_renumbered, read_topology

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
KINDS = 8  # of a CPU's ticks; guests' time, after them, is in user's
IDLE, IOWAIT, STEAL = 3, 4, 7
TELLING_TICKS = 10  # of the busiest thread; less does not tell which threads worked
KNOWN_SHARE = 0.9  # of the process's CPU time in threads that are still there
WORKER_SHARE = 0.05  # who does less than this part of the busiest thread's work is no worker
ADVICE = {
    "steal_share": "the hypervisor gave CPU time to other guests: use a machine of your own, or "
    "measure again when its host is quieter",
    "core_load": "something else used the measured cores: close what else runs (top shows it), or "
    "keep it off them with taskset or a cpuset",
    "waited_share": "a measured thread had to share its CPU: close what else runs, or give each "
    "thread a CPU of its own with threads.count and threads.places",
    "pushed_off_per_s": "the measured threads were pushed off their CPUs: close what else "
    "runs, or keep it off them with taskset or a cpuset",
    "major_faults": "the process waited for the disk: measure again now that the files are cached, "
    "and free memory if the machine swaps",
    "frequency_drop": "the CPUs became slower: set the frequency governor to performance, turn turbo "
    "off, and let the machine warm up before measuring",
    "thermal_throttles": "heat slowed the CPUs down: cool the machine better, or turn turbo off",
    "frozen_s": "the process stood still and did not wait for a CPU: it was stopped (Ctrl-Z, SIGSTOP, a "
    "debugger), its container was paused, or the machine was suspended; measure again without that",
    "quota_throttles": "a control group's CPU quota stopped the process: raise it (docker --cpus, "
    "Kubernetes limits), or use fewer threads with threads.count",
}


@dataclass(frozen=True)
class Snapshot:
    """Readings at one moment; what the system does not tell is missing.

    Attributes:
        at: seconds of the monotonic clock.
        ticks: each watched CPU's user, nice, system, idle, iowait, irq, softirq and steal.
        mhz: each watched CPU's present frequency.
        load_1min: the machine's load average.
        counters: what only grows. Of this process: cpu_s, involuntary (a thread was pushed off its
            CPU), minor_faults and major_faults (it waited for the disk). Of its control groups:
            quota_throttles, quota_throttled_s, frozen_s. Of the watched CPUs: thermal_throttles, as
            each of them counts. Of the machine: pressure_s, how long some thread had to wait for a
            CPU, and suspended_s, how long it was suspended since it started.
    """

    at: float
    ticks: dict[int, tuple[int, ...]]
    mhz: dict[int, float]
    load_1min: float | None
    counters: dict[str, float]


@dataclass(frozen=True)
class ThreadPlace:
    """A thread of this process.

    Attributes:
        allowed: the CPUs that it may use.
        cpu: the CPU that it used last.
        ticks: its CPU time, in clock ticks or parts of them.
        waited_s: how long it was ready to run and had no CPU; None where the kernel does not tell.
    """

    tid: int
    name: str
    allowed: tuple[int, ...]
    cpu: int
    ticks: float
    waited_s: float | None


@dataclass(frozen=True)
class Busy(ThreadPlace):
    """A thread that worked in a stretch; ``ticks`` and ``waited_s`` are those of the stretch.

    Attributes:
        main: whether it is the process's first thread, which runs Python.
        share: its part of the CPU time of all threads.
        worker: whether it worked at least 5 % as much as the busiest thread.
    """

    main: bool
    share: float
    worker: bool


@dataclass(frozen=True)
class Conditions:
    """How a stretch ran. Shares are from 0 to 1; what the system does not tell is None.

    Attributes:
        cpus: the watched CPUs.
        steal_share: part of the CPUs' time that the hypervisor gave to others.
        other_load: part of the CPUs' time that other processes and the kernel took.
        core_load: the same of the core worst off, SMT siblings included, among those that threads
            were bound to, as a part of one CPU: OpenMP waits for the slowest. Where threads were not
            bound it is other_load.
        waited_share: part of the stretch that the worker worst off was ready to run and had no CPU.
        pushed_off_per_s: involuntary switches of one worker, less the voluntary ones: where two
            threads of this process take turns on a CPU, each such turn makes one of both.
        mhz_min, mhz_max: of all watched CPUs, before and after.
        frequency_drop: by which part the median CPU was slower after than before.
        cpu_pressure: part of the stretch that some thread of the machine waited for a CPU.
        load_1min: the load average after the stretch.
        frozen_s: for how long nothing of the process was even ready to run (``gaps``), its container
            was frozen or the machine was suspended.
        busy: the threads that worked, the busiest first.
    """

    seconds: float
    cpus: tuple[int, ...]
    cpu_s: float
    steal_share: float | None
    other_load: float | None
    core_load: float | None
    waited_share: float | None
    involuntary_switches_per_s: float
    pushed_off_per_s: float
    minor_faults_per_s: float
    major_faults: float
    mhz_min: float | None
    mhz_max: float | None
    frequency_drop: float | None
    thermal_throttles: float | None
    quota_throttles: float | None
    quota_throttled_s: float | None
    cpu_pressure: float | None
    load_1min: float | None
    frozen_s: float
    busy: tuple[Busy, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Limits:
    """Above which a stretch counts as disturbed; the names are those of Conditions.

    Measured over 0.3 to 0.7 s of convolutions, in batches of 20 to 40 ms, on a virtual machine with
    2 CPUs; nearly alone, other work being outweighed but not stopped, and with a rival that never
    sleeps on one CPU or on each:

    ================  ============  ============
    ..                nearly alone  with a rival
    ================  ============  ============
    core_load         0.00 .. 0.10  0.78 .. 1.00
    waited_share      0.00 .. 0.07  0.43 .. 0.70
    pushed_off_per_s  8 .. 173      49 .. 152
    steal_share       0.00 .. 0.01  0.00 .. 0.01
    ================  ============  ============

    So being pushed off often is no proof of a rival: its limit only finds storms of switches. What
    is left was not seen there: a slow disk, heat, a quota, or a frequency that changed.

    frozen_s was 0.00 in 472 batches of 0.2 to 18 s beside a load of 8: up to 0.02 s of a batch were
    spent neither running nor waiting for a CPU, and less than ``gaps.LEAST_S`` is no gap.
    """

    steal_share: float = 0.02
    core_load: float = 0.1
    waited_share: float = 0.05
    pushed_off_per_s: float = 250
    major_faults: float = 10
    frequency_drop: float = 0.1
    thermal_throttles: float = 0
    quota_throttles: float = 0
    frozen_s: float = LEAST_S


LIMITS = Limits()


@dataclass(frozen=True)
class Contamination:
    """What disturbed a stretch: a field of Limits, its value, the limit, and what to do."""

    kind: str
    value: float
    limit: float
    advice: str


class Watch:
    """Watches the block that it is the context of, in this process.

    Args:
        cpus: the CPUs to watch, best the allowed ones as the parent process sees them.
        has_batches: whether the block calls ``beat`` once a batch; if not, a thread does regularly.

    Attributes:
        facts: ready for JSON once the block has ended: ``conditions``; ``disturbed``, what
            ``judge`` found in them; ``misplaced``, what ``verify_threads`` did. After a stretch too
            short to tell which threads worked, or in which threads came and went, OpenMP's own word is
        all that the latter goes by.
    """

    def __init__(self, cpus: Collection[int], has_batches: bool = True) -> None:
        self._cpus = cpus
        self._has_batches = has_batches
        self._cores = read_topology(affinity=cpus).cores
        self.facts: dict[str, Any] = {}

    def __enter__(self) -> Watch:
        self._threads, self._before = threads_now(), snapshot(cpus=self._cpus, starting=True)
        self._gaps = Gaps()
        self._heartbeat = None if self._has_batches else Heartbeat(self._gaps)
        if self._heartbeat:
            self._heartbeat.start()
        return self

    def beat(self) -> None:
        """Look, between two batches, whether the process stood still."""
        self._gaps.beat()

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if self._heartbeat:
            self._heartbeat.stop()
        else:
            self._gaps.look()
        self._gaps.close()
        after, busy = snapshot(cpus=self._cpus), placement(self._threads, threads_now())
        conditions = compare(self._before, after, busy, self._cores, self._gaps.seconds)
        loaded = loaded_openmp()
        self.facts = {
            "conditions": conditions.as_dict(),
            "disturbed": [dataclasses.asdict(found) for found in judge(conditions)],
            "misplaced": (
                verify_threads(os.environ, loaded, busy, self._cores)
                if is_telling(conditions)
                else differences(os.environ, loaded)
            ),
        }


def is_telling(conditions: Conditions) -> bool:
    """Say whether the threads of a stretch tell who worked in it.

    Not where it was short, nor where much of the work was done by threads that are gone: libgomp
    ends and starts threads when primitives ask for teams of different sizes.
    """
    ticks = [thread.ticks for thread in conditions.busy]
    known = sum(ticks) / TICKS_PER_S
    return bool(ticks) and ticks[0] >= TELLING_TICKS and known >= KNOWN_SHARE * conditions.cpu_s


def snapshot(
    root: Path = ROOT, cpus: Collection[int] | None = None, starting: bool = False
) -> Snapshot:
    """Return the readings of this moment.

    Args:
        cpus: the CPUs to watch, best the allowed ones as the parent process sees them; None: those
            that some thread of this process may use, too few before OpenMP's threads exist.
        starting: a stretch begins. What takes long to read (on older kernels each CPU's frequency
            takes 10 ms) is read outside the stretch: before the clock then, after it otherwise.
    """
    watched = sorted(_usable() if cpus is None else cpus)
    slow = _slow(root, watched) if starting else None
    at = time.monotonic()
    ticks = _ticks(root)
    own = resource.getrusage(resource.RUSAGE_SELF)
    mhz, load, counters = slow or _slow(root, watched)
    counters |= {
        "suspended_s": suspended(),
        "cpu_s": own.ru_utime + own.ru_stime,
        "voluntary": own.ru_nvcsw,
        "involuntary": own.ru_nivcsw,
        "minor_faults": own.ru_minflt,
        "major_faults": own.ru_majflt,
    }
    ticks = {} if is_renumbered(root, watched, ticks) else ticks
    seen = {cpu: ticks[cpu] for cpu in watched if cpu in ticks}
    return Snapshot(at, seen, mhz, load, counters)


def _slow(
    root: Path, cpus: Sequence[int]
) -> tuple[dict[int, float], float | None, dict[str, float]]:
    """Return frequencies, the load average and the machine's counters."""
    load = (read_text(root / "proc/loadavg") or "").split()
    pressure = re.search(r"^some .*total=(\d+)", read_text(root / "proc/pressure/cpu") or "")
    counters = {
        **_thermal(root, cpus),
        **_quota(root),
        **_frozen(root),
        **({"pressure_s": int(pressure[1]) / 1e6} if pressure else {}),
    }
    return _mhz(root, cpus), float(load[0]) if load else None, counters


def threads_now() -> list[ThreadPlace]:
    """Return all threads of this process."""
    threads = []
    for tid in map(int, os.listdir("/proc/self/task")):
        task = Path(f"/proc/self/task/{tid}")
        stat, waits = read_text(task / "stat"), read_text(task / "schedstat")
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            allowed = tuple(sorted(allowed_cpus(tid)))
            head, _, tail = (stat or "").rpartition(")")
            if fields := tail.split():  # from the third on
                ticks, cpu = float(int(fields[11]) + int(fields[12])), int(fields[36])
                waited = None
                if waits:  # to the nanosecond, where the kernel tells
                    ran, waiting = (int(text) / 1e9 for text in waits.split()[:2])
                    ticks, waited = ran * TICKS_PER_S, waiting
                name = head.partition("(")[2]
                threads.append(ThreadPlace(tid, name, allowed, cpu, ticks, waited))
    return threads


def placement(before: Iterable[ThreadPlace], after: Iterable[ThreadPlace]) -> list[Busy]:
    """Return the threads whose CPU time grew between two moments, the busiest first."""
    started = {thread.tid: thread for thread in before}
    spent = []
    for thread in after:
        if start := started.get(thread.tid):
            waited = thread.waited_s
            if waited is not None and start.waited_s is not None:
                waited -= start.waited_s
            ticks = thread.ticks - start.ticks
            thread = dataclasses.replace(thread, ticks=ticks, waited_s=waited)
        if thread.ticks > 0:
            spent.append(thread)
    spent.sort(key=lambda thread: -thread.ticks)
    total = sum(thread.ticks for thread in spent)
    return [
        Busy(
            **vars(thread),
            main=thread.tid == os.getpid(),
            share=thread.ticks / total,
            worker=thread.ticks >= WORKER_SHARE * spent[0].ticks,
        )
        for thread in spent
    ]


def compare(
    before: Snapshot,
    after: Snapshot,
    busy: Sequence[Busy],
    cores: Iterable[tuple[int, ...]] = (),
    gaps_s: float = 0.0,
) -> Conditions:
    """Return how the stretch between two snapshots ran.

    Args:
        busy: what ``placement`` returned.
        cores: the CPUs of each core; a CPU that is in none is a core of its own.
        gaps_s: what ``Gaps`` found in it; a quota's stops are in it and are told apart here.
    """
    seconds = max(after.at - before.at, 1e-9)
    names = before.counters.keys() & after.counters.keys()
    grown = {name: after.counters[name] - before.counters[name] for name in names}
    cpus = sorted(before.ticks.keys() & after.ticks.keys())
    total = seconds * len(cpus)
    steal = sum(_grown(before, after, cpu, STEAL) for cpu in cpus)
    # the clock is exact, and so is idle time; the ticks of who was busy are only samples
    used = {
        cpu: seconds - sum(_grown(before, after, cpu, kind) for kind in (IDLE, IOWAIT, STEAL))
        for cpu in cpus
    }
    other_load = max(0.0, (sum(used.values()) - grown["cpu_s"]) / total) if cpus else None
    core_load = _core_load(used, busy, cores, grown["cpu_s"], seconds)
    workers = max(1, sum(thread.worker for thread in busy))
    mhz = [*before.mhz.values(), *after.mhz.values()]
    drop = None
    if before.mhz and after.mhz:
        kept = [mhz / before.mhz[cpu] for cpu, mhz in after.mhz.items() if cpu in before.mhz]
        drop = max(0.0, 1 - statistics.median(kept)) if kept else None
    return Conditions(
        seconds=seconds,
        cpus=tuple(cpus),
        cpu_s=grown["cpu_s"],
        steal_share=min(1.0, steal / total) if cpus else None,
        other_load=other_load,
        core_load=other_load if core_load is None else core_load,
        waited_share=_waited(busy, seconds),
        involuntary_switches_per_s=grown["involuntary"] / seconds,
        pushed_off_per_s=max(0, grown["involuntary"] - grown["voluntary"]) / seconds / workers,
        minor_faults_per_s=grown["minor_faults"] / seconds,
        major_faults=grown["major_faults"],
        mhz_min=min(mhz, default=None),
        mhz_max=max(mhz, default=None),
        frequency_drop=drop,
        thermal_throttles=grown.get("thermal_throttles"),
        quota_throttles=grown.get("quota_throttles"),
        quota_throttled_s=grown.get("quota_throttled_s"),
        cpu_pressure=min(1.0, grown["pressure_s"] / seconds) if "pressure_s" in grown else None,
        load_1min=after.load_1min,
        frozen_s=max(gaps_s - grown.get("quota_throttled_s", 0.0), grown.get("frozen_s", 0.0), 0.0)
        + max(0.0, grown.get("suspended_s", 0.0)),
        busy=tuple(busy),
    )


def _grown(before: Snapshot, after: Snapshot, cpu: int, kind: int) -> float:
    """Return the seconds of a kind that a CPU had; the kernel may correct them downwards."""
    return max(0, after.ticks[cpu][kind] - before.ticks[cpu][kind]) / TICKS_PER_S


def _core_load(
    used: Mapping[int, float],
    busy: Sequence[Busy],
    cores: Iterable[tuple[int, ...]],
    cpu_s: float,
    seconds: float,
) -> float | None:
    """Return the worst core's load by others; None where a worker was not bound to one CPU.

    What threads of this process spent that are bound to no core counts for none of the others: it
    may have been on any.
    """
    workers = [thread for thread in busy if thread.worker and not thread.main]
    bound = {thread.allowed[0] for thread in workers}
    if not workers or any(len(thread.allowed) > 1 for thread in workers) or not bound <= set(used):
        return None
    groups = {cpu: frozenset(core) for core in cores for cpu in core}
    measured = {groups.get(cpu, frozenset({cpu})) for cpu in bound}
    rest, loads = cpu_s, []
    for core in measured:
        own = sum(t.ticks for t in busy if core.issuperset(t.allowed)) / TICKS_PER_S
        rest -= own
        loads.append(sum(used.get(cpu, 0.0) for cpu in core) - own)
    return max(0.0, max(loads) - max(0.0, rest)) / seconds


def _waited(busy: Sequence[Busy], seconds: float) -> float | None:
    """Return the longest wait of a worker for others than the main thread, as a share of seconds.

    The main thread and the workers that share its CPU wait for each other by turns, once a batch.
    """
    main = [thread for thread in busy if thread.main]
    waits = [
        thread.waited_s
        - sum(each.ticks for each in main if {*each.allowed} & {*thread.allowed}) / TICKS_PER_S
        for thread in busy
        if thread.worker and not thread.main and thread.waited_s is not None
    ] or [thread.waited_s for thread in main if thread.worker and thread.waited_s is not None]
    return min(1.0, max(0.0, *waits) / seconds) if waits else None


def judge(conditions: Conditions, limits: Limits = LIMITS) -> list[Contamination]:
    """Return what disturbed a stretch beyond the limits."""
    found = []
    for kind, limit in vars(limits).items():
        value = getattr(conditions, kind)
        if kind in ("steal_share", "core_load"):
            # counted in ticks: one per CPU may come from the counting alone
            limit += 1 / (TICKS_PER_S * conditions.seconds)
        if value is not None and value > limit:
            found.append(Contamination(kind, value, limit, ADVICE[kind]))
    return found


def verify_threads(
    environment: Mapping[str, str],
    loaded: Mapping[str, Any],
    busy: Sequence[Busy],
    cores: Iterable[tuple[int, ...]] = (),
) -> list[str]:
    """Say in sentences how the threads that worked are not those that the environment asked for.

    MXNet's default engine runs a network on a thread of its own, which is the first of its OpenMP
    team, while the main thread waits. With NaiveEngine the main thread is the first of the team.

    Args:
        environment: the process's environment; where it asks for nothing, nothing is wrong.
        loaded: what ``loaded_openmp`` returned in the process.
        busy: what ``placement`` returned for a stretch of forward passes.
        cores: the CPUs of each core: libiomp binds to cores unless it is asked for a finer grain.
    """
    found = differences(environment, loaded)
    naive = environment.get("MXNET_ENGINE_TYPE") == "NaiveEngine"
    team = [thread for thread in busy if thread.worker and (naive or not thread.main)]
    asked = environment.get("OMP_NUM_THREADS")
    if asked and len(team) != int(asked):
        found.append(f"OMP_NUM_THREADS is {asked} and {len(team)} thread(s) did the work")
    variable, places = _asked_places(environment, cores)
    together = environment.get("OMP_PROC_BIND", "").upper() in ("MASTER", "PRIMARY")
    distinct = len(set(map(frozenset, places)))
    turns = len(team) if together else math.ceil(len(places) / distinct) if distinct > 1 else 1
    for allowed, threads in Counter(thread.allowed for thread in team).items():
        where = f"{threads} working thread(s) may run on {_cpus(allowed)}"
        if places and not any(place.issuperset(allowed) for place in places):
            found.append(f"{where}, outside each place of {variable}={environment[variable]}")
        if len(allowed) == 1 and threads > turns:
            found.append(f"{where} alone: they take turns")
    return found


def _asked_places(
    environment: Mapping[str, str], cores: Iterable[tuple[int, ...]]
) -> tuple[str, list[set[int]]]:
    """Return the variable that lists places by the numbers of their CPUs, and them; else none."""
    affinity = environment.get("KMP_AFFINITY", "")
    listed = re.search(r"proclist=\[([\d,-]+)\]", affinity)
    if listed:
        fine = re.search(r"granularity=(?:fine|thread)", affinity)
        whole = {} if fine else {cpu: set(core) for core in cores for cpu in core}
        numbers = re.findall(r"\d+(?:-\d+)?", listed[1])  # one by one: a CPU may be listed twice
        cpus = [cpu for each in numbers for cpu in sorted(parse_cpu_list(each))]
        return "KMP_AFFINITY", [whole.get(cpu, {cpu}) for cpu in cpus]
    if environment.get("OMP_PROC_BIND", "").lower() == "false":
        return "", []
    return "OMP_PLACES", listed_places(environment.get("OMP_PLACES", ""))


def _usable() -> set[int]:
    """Return the CPUs that any thread may use: OpenMP may have bound the main one to one CPU."""
    cpus: set[int] = set()
    for tid in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            cpus |= allowed_cpus(tid)
    return cpus


def _ticks(root: Path) -> dict[int, tuple[int, ...]]:
    lines = re.findall(r"^cpu(\d+) (.*)$", read_text(root / "proc/stat") or "", re.MULTILINE)
    return {int(cpu): tuple(map(int, ticks.split()[:KINDS])) for cpu, ticks in lines}


def _mhz(root: Path, cpus: Iterable[int]) -> dict[int, float]:
    files = {cpu: root / CPUS / f"cpu{cpu}/cpufreq/scaling_cur_freq" for cpu in cpus}
    khz = {cpu: to_integer(read_text(file)) for cpu, file in files.items()}
    told = {cpu: each / 1000 for cpu, each in khz.items() if each}
    if not told:
        blocks = re.findall(
            r"^processor\s*: (\d+)$.*?^cpu MHz\s*: ([\d.]+)$",
            read_text(root / "proc/cpuinfo") or "",
            re.MULTILINE | re.DOTALL,
        )
        listed = {int(cpu): float(mhz) for cpu, mhz in blocks}
        if not is_renumbered(root, files, listed):
            told = {cpu: mhz for cpu, mhz in listed.items() if mhz}
    return {cpu: mhz for cpu, mhz in told.items() if cpu in files}


def suspended() -> float:
    """Return for how many seconds the machine was suspended since it started.

    Of the two clocks only one goes on then. They are read one after the other, so the least of some
    differences is the truest.
    """
    behind = (time.clock_gettime(time.CLOCK_MONOTONIC) for _ in range(3))
    return round(min(time.clock_gettime(time.CLOCK_BOOTTIME) - each for each in behind), 3)


def _thermal(root: Path, cpus: Iterable[int]) -> dict[str, float]:
    folders = [root / CPUS / f"cpu{cpu}/thermal_throttle" for cpu in cpus]
    names = ("core_throttle_count", "package_throttle_count")
    counts = [to_integer(read_text(folder / name)) for folder in folders for name in names]
    told = [count for count in counts if count is not None]
    return {"thermal_throttles": sum(told)} if told else {}


@lru_cache
def _cpu_groups(root: Path) -> tuple[Path, ...]:
    return tuple(control_groups(root, "cpu"))


def _quota(root: Path) -> dict[str, float]:
    """Return how often and for how long CPU quotas stopped this process's groups."""
    text = "\n".join(read_text(group / "cpu.stat") or "" for group in _cpu_groups(root))
    counts = re.findall(r"^nr_throttled (\d+)$", text, re.MULTILINE)
    times = re.findall(r"^throttled_(usec|time) (\d+)$", text, re.MULTILINE)  # v2; v1 in ns
    seconds = sum(int(time) / (1e6 if unit == "usec" else 1e9) for unit, time in times)
    told = {"quota_throttles": sum(map(int, counts)), "quota_throttled_s": seconds}
    return told if counts else {}


def _frozen(root: Path) -> dict[str, float]:
    """Return for how long this process's control groups were frozen, where the kernel counts it."""
    texts = (read_text(group / "cgroup.stat.local") or "" for group in _cpu_groups(root))
    found = [re.search(r"^frozen_usec (\d+)$", text, re.MULTILINE) for text in texts]
    told = [int(each[1]) / 1e6 for each in found if each]
    return {"frozen_s": sum(told)} if told else {}
