"""Readings of CPUs, process and control groups at one moment."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from harness.host.kernel.energy import read_energy
from harness.host.kernel.perf_events import own_counts
from harness.host.kernel.temperature import cpu_temperature
from harness.host.system_files import CPUS, ROOT, control_groups, read_text, to_integer
from harness.host.topology import allowed_cpus, is_renumbered

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
KINDS = 8  # of ticks; the time of guests, after them, is part of user


@dataclass(frozen=True)
class Snapshot:
    """Readings at one moment, without those that the system does not tell.

    Attributes:
        at: seconds of the monotonic clock.
        ticks: each watched CPU's user, nice, system, idle, iowait, irq, softirq and steal.
        mhz: each watched CPU's present frequency.
        load_1min: the machine's load average.
        counters: values that only grow. Of this process: cpu_s, involuntary (a thread was pushed off its
            CPU), minor_faults and major_faults (it waited for the disk), user_s, and the counts of
            ``perf_events``. Of its control groups: quota_throttles, quota_throttled_s, frozen_s. Of the
            watched CPUs: thermal_throttles, their sum. Of the machine: pressure_s, how long some thread
            had to wait for a CPU, and suspended_s, how long it was suspended since boot.
        mhz_measured: whether the frequencies are cpufreq's; those of /proc/cpuinfo may be nominal.
        energy: the counters of ``read_energy``.
        temperature_c: of the hottest sensor of the CPUs.
    """

    at: float
    ticks: dict[int, tuple[int, ...]]
    mhz: dict[int, float]
    load_1min: float | None
    counters: dict[str, float]
    mhz_measured: bool = False
    energy: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    temperature_c: float | None = None


def take_snapshot(
    root: Path = ROOT, cpus: Collection[int] | None = None, starting: bool = False
) -> Snapshot:
    """Return the readings of this moment.

    Args:
        cpus: the CPUs to watch, best the allowed ones as the parent process sees them; None
            watches those that some thread of this process may use, too few before OpenMP's threads exist.
        starting: whether a stretch begins. Slow readings (on older kernels the frequency of a CPU
            takes 10 ms) are made outside of the stretch: before the clock then, else after it.
    """
    watched = sorted(_usable_cpus() if cpus is None else cpus)
    slow = _slow_readings(root, watched) if starting else None
    counts = own_counts()
    energy = read_energy(root)
    at = time.monotonic()
    ticks = _ticks(root)
    own = resource.getrusage(resource.RUSAGE_SELF)
    slow = slow or _slow_readings(root, watched)
    counters = {
        **slow.counters,
        **counts,
        "suspended_s": suspended_seconds(),
        "cpu_s": own.ru_utime + own.ru_stime,
        "user_s": own.ru_utime,
        "voluntary": own.ru_nvcsw,
        "involuntary": own.ru_nivcsw,
        "minor_faults": own.ru_minflt,
        "major_faults": own.ru_majflt,
    }
    ticks = {} if is_renumbered(root, watched, ticks) else ticks
    watched_ticks = {cpu: ticks[cpu] for cpu in watched if cpu in ticks}
    return Snapshot(
        at,
        watched_ticks,
        slow.mhz,
        slow.load_1min,
        counters,
        slow.mhz_measured,
        energy,
        slow.temperature_c,
    )


@dataclass(frozen=True)
class _Slow:
    """The readings of a snapshot that take long, and the machine's counters; as of ``Snapshot``."""

    mhz: dict[int, float]
    mhz_measured: bool
    load_1min: float | None
    temperature_c: float | None
    counters: dict[str, float]


def _slow_readings(root: Path, cpus: Sequence[int]) -> _Slow:
    load = (read_text(root / "proc/loadavg") or "").split()
    pressure = re.search(r"^some .*total=(\d+)", read_text(root / "proc/pressure/cpu") or "")
    counters = {
        **_thermal(root, cpus),
        **_quota(root),
        **_frozen(root),
        **({"pressure_s": int(pressure[1]) / 1e6} if pressure else {}),
    }
    mhz, is_measured = _mhz(root, cpus)
    load_1min = float(load[0]) if load else None
    return _Slow(mhz, is_measured, load_1min, cpu_temperature(root), counters)


def _usable_cpus() -> set[int]:
    """Return the CPUs that some thread may use: OpenMP may have bound the main one to one CPU."""
    cpus: set[int] = set()
    for tid in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):  # the thread has just ended
            cpus |= allowed_cpus(tid)
    return cpus


def _ticks(root: Path) -> dict[int, tuple[int, ...]]:
    lines = re.findall(r"^cpu(\d+) (.*)$", read_text(root / "proc/stat") or "", re.MULTILINE)
    return {int(cpu): tuple(map(int, ticks.split()[:KINDS])) for cpu, ticks in lines}


def _mhz(root: Path, cpus: Iterable[int]) -> tuple[dict[int, float], bool]:
    """Return the frequency of each CPU, and whether cpufreq told them."""
    files = {cpu: root / CPUS / f"cpu{cpu}/cpufreq/scaling_cur_freq" for cpu in cpus}
    khz = {cpu: to_integer(read_text(file)) for cpu, file in files.items()}
    frequencies = {cpu: value / 1000 for cpu, value in khz.items() if value}
    is_measured = bool(frequencies)
    if not frequencies:
        blocks = re.findall(
            r"^processor\s*: (\d+)$.*?^cpu MHz\s*: ([\d.]+)$",
            read_text(root / "proc/cpuinfo") or "",
            re.MULTILINE | re.DOTALL,
        )
        listed = {int(cpu): float(mhz) for cpu, mhz in blocks}
        if not is_renumbered(root, files, listed):
            frequencies = {cpu: mhz for cpu, mhz in listed.items() if mhz}
    return {cpu: mhz for cpu, mhz in frequencies.items() if cpu in files}, is_measured


def suspended_seconds() -> float:
    """Return how many seconds the machine was suspended since boot.

    Only one of the two clocks runs on while suspended. They are read one after the other, so the
    smallest of several differences is the most exact.
    """
    running = (time.clock_gettime(time.CLOCK_MONOTONIC) for _ in range(3))
    return round(min(time.clock_gettime(time.CLOCK_BOOTTIME) - seconds for seconds in running), 3)


def _thermal(root: Path, cpus: Iterable[int]) -> dict[str, float]:
    folders = [root / CPUS / f"cpu{cpu}/thermal_throttle" for cpu in cpus]
    names = ("core_throttle_count", "package_throttle_count")
    texts = [to_integer(read_text(folder / name)) for folder in folders for name in names]
    counts = [count for count in texts if count is not None]
    return {"thermal_throttles": sum(counts)} if counts else {}


@lru_cache
def _cpu_groups(root: Path) -> tuple[Path, ...]:
    return tuple(control_groups(root, "cpu"))


def _quota(root: Path) -> dict[str, float]:
    """Return how often and for how long CPU quotas stopped this process's groups."""
    text = "\n".join(read_text(group / "cpu.stat") or "" for group in _cpu_groups(root))
    counts = re.findall(r"^nr_throttled (\d+)$", text, re.MULTILINE)
    times = re.findall(r"^throttled_(usec|time) (\d+)$", text, re.MULTILINE)  # v2; v1 in ns
    seconds = sum(int(time) / (1e6 if unit == "usec" else 1e9) for unit, time in times)
    counters = {"quota_throttles": sum(map(int, counts)), "quota_throttled_s": seconds}
    return counters if counts else {}


def _frozen(root: Path) -> dict[str, float]:
    """Return how long this process's control groups were frozen, if the kernel counts that."""
    texts = (read_text(group / "cgroup.stat.local") or "" for group in _cpu_groups(root))
    matches = [re.search(r"^frozen_usec (\d+)$", text, re.MULTILINE) for text in texts]
    seconds = [int(match[1]) / 1e6 for match in matches if match]
    return {"frozen_s": sum(seconds)} if seconds else {}
