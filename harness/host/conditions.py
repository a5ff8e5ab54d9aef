"""The conditions of a stretch of measuring: what other processes and the machine did meanwhile."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.host.kernel.energy import joules_between
from harness.host.snapshot import TICKS_PER_S, Snapshot
from harness.host.thread_activity import BusyThread

IDLE, IOWAIT, STEAL = 3, 4, 7  # positions in a CPU's ticks
TELLING_TICKS = 10  # of the busiest thread; fewer do not show which threads worked
SOURCES = ("APERF/MPERF", "cycles", "cpufreq")  # of the effective frequency, best first
KNOWN_SHARE = 0.9  # of the process's CPU time, in threads that still exist


@dataclass(frozen=True)
class Conditions:
    """How a stretch ran. Shares are from 0 to 1; values that the system does not tell are None.

    Attributes:
        cpus: the watched CPUs.
        steal_share: part of the CPUs' time that the hypervisor gave to others.
        other_load: part of the CPUs' time that other processes and the kernel took.
        core_load: the same for the most loaded core, SMT siblings included, among those that
            threads were bound to, as a part of one CPU: OpenMP waits for the slowest thread. It is
            other_load where threads were not bound.
        waited_share: part of the stretch that a worker was ready to run without a CPU; the largest.
        pushed_off_per_s: involuntary switches of one worker, less the voluntary ones: two threads
            of this process that take turns on a CPU make one of both at each turn.
        mhz_min, mhz_max: of all watched CPUs, before and after.
        frequency_drop: part of its frequency that the median CPU lost from before to after.
        cpu_pressure: part of the stretch that some thread of the machine waited for a CPU.
        load_1min: the load average after the stretch.
        frozen_s: for how long no thread of the process was even ready to run (``gaps``), its
            container was frozen or the machine was suspended.
        busy: the threads that worked, the busiest first.
        effective_mhz: of the CPUs while they worked for this process; ``frequency_source`` says by
            which of SOURCES.
        instructions_per_cycle: of this process in user space.
        energy_j: of the whole CPUs and their memory, whoever used them.
        temperature_c: of the hottest sensor of the CPUs, before or after.
        allocator: the library whose ``malloc`` the process called.
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
    busy: tuple[BusyThread, ...]
    effective_mhz: float | None = None
    frequency_source: str | None = None
    instructions_per_cycle: float | None = None
    energy_j: float | None = None
    temperature_c: float | None = None
    allocator: str | None = None


def conditions_between(
    before: Snapshot,
    after: Snapshot,
    busy: Sequence[BusyThread],
    cores: Iterable[tuple[int, ...]] = (),
    gaps_s: float = 0.0,
    allocator: str | None = None,
    main_works: bool = False,
) -> Conditions:
    """Return the conditions of the stretch between two snapshots.

    Args:
        busy: from ``busy_threads``.
        cores: the CPUs of each core; a CPU that is in none is a core of its own.
        gaps_s: seconds of ``Gaps``; the stops of a CPU quota are part of them and are subtracted.
        allocator: from ``serving_allocator``.
        main_works: the main thread is one of the team that computes; else it waits for that.
    """
    seconds = max(after.at - before.at, 1e-9)
    names = before.counters.keys() & after.counters.keys()
    growth = {name: after.counters[name] - before.counters[name] for name in names}
    cpus = sorted(before.ticks.keys() & after.ticks.keys())
    total = seconds * len(cpus)
    steal = sum(_tick_seconds(before, after, cpu, STEAL) for cpu in cpus)
    # the clock and the idle time are exact; the ticks of busy time are only samples
    used = {
        cpu: seconds
        - sum(_tick_seconds(before, after, cpu, kind) for kind in (IDLE, IOWAIT, STEAL))
        for cpu in cpus
    }
    other_load = max(0.0, (sum(used.values()) - growth["cpu_s"]) / total) if cpus else None
    team = [thread for thread in busy if thread.worker and (main_works or not thread.main)]
    core_load = _core_load(used, busy, team, cores, growth["cpu_s"], seconds)
    workers = max(1, sum(thread.worker for thread in busy))
    mhz = [*before.mhz.values(), *after.mhz.values()]
    drop = None
    if before.mhz and after.mhz:
        kept = [mhz / before.mhz[cpu] for cpu, mhz in after.mhz.items() if cpu in before.mhz]
        drop = max(0.0, 1 - statistics.median(kept)) if kept else None
    effective, source = _effective_mhz(growth, after)
    temperatures = [one.temperature_c for one in (before, after) if one.temperature_c is not None]
    return Conditions(
        seconds=seconds,
        cpus=tuple(cpus),
        cpu_s=growth["cpu_s"],
        steal_share=min(1.0, steal / total) if cpus else None,
        other_load=other_load,
        core_load=other_load if core_load is None else core_load,
        waited_share=_waited(busy, team, seconds),
        involuntary_switches_per_s=growth["involuntary"] / seconds,
        pushed_off_per_s=max(0, growth["involuntary"] - growth["voluntary"]) / seconds / workers,
        minor_faults_per_s=growth["minor_faults"] / seconds,
        major_faults=growth["major_faults"],
        mhz_min=min(mhz, default=None),
        mhz_max=max(mhz, default=None),
        frequency_drop=drop,
        thermal_throttles=growth.get("thermal_throttles"),
        quota_throttles=growth.get("quota_throttles"),
        quota_throttled_s=growth.get("quota_throttled_s"),
        cpu_pressure=min(1.0, growth["pressure_s"] / seconds) if "pressure_s" in growth else None,
        load_1min=after.load_1min,
        frozen_s=max(
            gaps_s - growth.get("quota_throttled_s", 0.0), growth.get("frozen_s", 0.0), 0.0
        )
        + max(0.0, growth.get("suspended_s", 0.0)),
        busy=tuple(busy),
        effective_mhz=effective,
        frequency_source=source,
        instructions_per_cycle=_ratio(growth, "instructions", "cycles"),
        energy_j=joules_between(before.energy, after.energy, seconds),
        temperature_c=max(temperatures, default=None),
        allocator=allocator,
    )


def shows_workers(conditions: Conditions) -> bool:
    """Return whether a stretch shows which threads worked in it.

    It does not if it was short, or if threads that are gone did much of the work: libgomp ends and
    starts threads when primitives ask for teams of different sizes.
    """
    ticks = [thread.ticks for thread in conditions.busy]
    known = sum(ticks) / TICKS_PER_S
    return bool(ticks) and ticks[0] >= TELLING_TICKS and known >= KNOWN_SHARE * conditions.cpu_s


def _ratio(growth: Mapping[str, float], part: str, whole: str) -> float | None:
    """Return how much one counter grew for each unit of another; None unless both grew."""
    grown = growth.get(part, 0.0), growth.get(whole, 0.0)
    return grown[0] / grown[1] if min(grown) > 0 else None


def _effective_mhz(growth: Mapping[str, float], after: Snapshot) -> tuple[float | None, str | None]:
    """Return the frequency at which the CPUs worked for this process, and which of SOURCES tells it.

    APERF grows with the CPU's clock and MPERF with that of the time stamp counter, both only while the
    CPU is awake (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3B, 14.2). The
    cycles of ``perf_events`` are those in user space. Cpufreq tells a moment's frequency alone.
    """
    share, stamps = _ratio(growth, "aperf", "mperf"), _ratio(growth, "tsc", "tsc_s")
    cycles = _ratio(growth, "cycles", "user_s")
    if share is not None and stamps is not None:
        return share * stamps / 1e6, SOURCES[0]
    if cycles is not None:
        return cycles / 1e6, SOURCES[1]
    if after.mhz_measured:
        return statistics.mean(after.mhz.values()), SOURCES[2]
    return None, None


def _tick_seconds(before: Snapshot, after: Snapshot, cpu: int, kind: int) -> float:
    """Return a CPU's seconds of one kind; at least 0, since the kernel may correct them downwards."""
    return max(0, after.ticks[cpu][kind] - before.ticks[cpu][kind]) / TICKS_PER_S


def _core_load(
    used: Mapping[int, float],
    busy: Sequence[BusyThread],
    team: Sequence[BusyThread],
    cores: Iterable[tuple[int, ...]],
    cpu_s: float,
    seconds: float,
) -> float | None:
    """Return the load by others of the most loaded core; None if a worker was not bound to one CPU.

    Threads of this process that are bound to no core may have run on any, so their time is subtracted
    from the load of each.
    """
    bound = {thread.allowed[0] for thread in team}
    if not team or any(len(thread.allowed) > 1 for thread in team) or not bound <= set(used):
        return None
    groups = {cpu: frozenset(core) for core in cores for cpu in core}
    measured = {groups.get(cpu, frozenset({cpu})) for cpu in bound}
    rest, loads = cpu_s, []
    for core in measured:
        own = sum(t.ticks for t in busy if core.issuperset(t.allowed)) / TICKS_PER_S
        rest -= own
        loads.append(sum(used.get(cpu, 0.0) for cpu in core) - own)
    return max(0.0, max(loads) - max(0.0, rest)) / seconds


def _waited(busy: Sequence[BusyThread], team: Sequence[BusyThread], seconds: float) -> float | None:
    """Return the longest wait of a team's thread for another than the main thread, as a share of seconds.

    A main thread outside the team takes turns with the threads that share its CPU, once a batch.
    """
    main = [thread for thread in busy if thread.main and thread not in team]
    waits = [
        thread.waited_s
        - sum(first.ticks for first in main if {*first.allowed} & {*thread.allowed}) / TICKS_PER_S
        for thread in team
        if thread.waited_s is not None
    ] or [thread.waited_s for thread in main if thread.worker and thread.waited_s is not None]
    return min(1.0, max(0.0, *waits) / seconds) if waits else None
