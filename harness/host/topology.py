"""The CPUs, cores and sockets that this process may use."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.host.system_files import (
    CPUS,
    ROOT,
    control_groups,
    parse_cpu_list,
    read_text,
    to_integer,
)


@dataclass(frozen=True)
class Topology:
    """The CPUs that this process may use.

    Attributes:
        allowed_cpus: numbers of the logical CPUs, ascending.
        cores: one entry per physical core: its allowed logical CPUs; ordered by the first.
        sockets: how many sockets these cores are on.
        cpu_quota: CPU seconds per second that the control groups grant, or None without a limit.
        cpuset_size: how many CPUs the smallest of their cpusets has, or None where there is none.
        unassigned_cpus: allowed CPUs whose core is unknown: each counts as a core of its own.
    """

    allowed_cpus: tuple[int, ...]
    cores: tuple[tuple[int, ...], ...]
    sockets: int
    cpu_quota: float | None
    cpuset_size: int | None = None
    unassigned_cpus: tuple[int, ...] = ()

    @property
    def physical_cores(self) -> int:
        return len(self.cores)

    @property
    def usable_cores(self) -> int:
        """How many threads can run at full speed at once: the cores, up to the limits; at least 1."""
        quota = math.inf if self.cpu_quota is None else math.floor(self.cpu_quota)
        cpuset = math.inf if self.cpuset_size is None else self.cpuset_size
        return int(max(1, min(self.physical_cores, quota, cpuset)))


def read_topology(root: Path = ROOT, affinity: Iterable[int] | None = None) -> Topology:
    """Return the topology of the CPUs that this process may use.

    Call it in the parent: in a process whose OpenMP library binds threads, the scheduler allows the
    main thread one CPU only. The affinity is the truth: the kernel keeps it within cpusets and online
    CPUs, in the machine's numbers. The list ``online`` and /proc/cpuinfo may be renumbered (lxcfs).

    Args:
        affinity: the CPUs that the scheduler allows; None asks the kernel.
    """
    allowed = allowed_cpus(root=root) if affinity is None else set(affinity)
    siblings = _siblings(root, allowed)
    return Topology(
        allowed_cpus=tuple(sorted(allowed)),
        cores=group_cores(root, allowed),
        sockets=count_sockets(root, allowed),
        cpu_quota=_cpu_quota(root),
        cpuset_size=min(map(len, _cpusets(root)), default=None),
        unassigned_cpus=tuple(sorted(cpu for cpu in allowed if not siblings[cpu])),
    )


def allowed_cpus(task: int | str = 0, root: Path = ROOT) -> set[int]:
    """Return the CPUs that the scheduler allows a thread.

    A container may refuse the system call; then they come from /proc.

    Args:
        task: the thread's id; 0 is the calling thread.

    Raises:
        ProcessLookupError: the thread has ended.
    """
    try:
        return os.sched_getaffinity(int(task))
    except ProcessLookupError:
        raise
    except OSError:
        status = read_text(root / f"proc/{task or 'self'}/status") or ""
        listed = re.search(r"^Cpus_allowed_list:\s*(\S+)", status, re.MULTILINE)
        cpus = parse_cpu_list(listed[1]) if listed else online_cpus(root)
        if not cpus:
            raise
        return cpus


def is_renumbered(root: Path, cpus: Iterable[int], listed: Container[int]) -> bool:
    """Return whether a file of /proc numbers the CPUs otherwise than the machine, as lxcfs does.

    Such a file leaves out a CPU that exists. A CPU that was unplugged has no topology in /sys.

    Args:
        cpus: the CPUs that this process may use.
        listed: the numbers in the file.
    """
    return any(cpu not in listed and (root / CPUS / f"cpu{cpu}/topology").is_dir() for cpu in cpus)


def online_cpus(root: Path) -> set[int]:
    """Return the CPUs that the kernel lists as online."""
    return parse_cpu_list(read_text(root / CPUS / "online") or "")


def cpuinfo_blocks(root: Path) -> list[dict[str, str]]:
    """Return the fields of /proc/cpuinfo, one dict a logical CPU."""
    blocks = []
    for block in (read_text(root / "proc/cpuinfo") or "").split("\n\n"):
        fields = (line.partition(":") for line in block.splitlines())
        values = {name.strip(): value.strip() for name, _, value in fields}
        if "processor" in values:
            blocks.append(values)
    return blocks


def _cpuinfo_by_cpu(root: Path, cpus: set[int]) -> dict[int, dict[str, str]]:
    """Return the block of each CPU in /proc/cpuinfo; none if the file is renumbered."""
    blocks = {int(block["processor"]): block for block in cpuinfo_blocks(root)}
    return blocks if cpus <= blocks.keys() else {}


def group_cores(root: Path, cpus: set[int]) -> tuple[tuple[int, ...], ...]:
    """Group CPUs by physical core; a CPU whose core is unknown is a core of its own."""
    core_of = {cpu: {cpu} for cpu in cpus}
    for cpu, siblings in _siblings(root, cpus).items():
        for other in siblings:  # one listing is enough to merge them: no CPU is in two cores
            merged = core_of[cpu] | core_of[other]
            core_of.update(dict.fromkeys(merged, merged))
    return tuple(sorted({tuple(sorted(core)) for core in core_of.values()}))


def _siblings(root: Path, cpus: set[int]) -> dict[int, set[int]]:
    """Return for each CPU those that share its core, itself included; none if the core is unknown."""
    cores: dict[str, set[int]] = {}  # for where /sys is hidden and /proc/cpuinfo is not
    for number, block in _cpuinfo_by_cpu(root, cpus).items():
        if "core id" in block:
            key = f"{block.get('physical id')}/{block['core id']}"
            cores.setdefault(key, set()).add(number)
    of_cpu = {cpu: siblings for siblings in cores.values() for cpu in siblings}
    siblings_of = {}
    for cpu in cpus:
        folder = root / CPUS / f"cpu{cpu}/topology"
        listed = read_text(folder / "thread_siblings_list") or read_text(folder / "core_cpus_list")
        siblings = parse_cpu_list(listed) if listed else of_cpu.get(cpu, set())
        siblings_of[cpu] = (siblings | {cpu}) & cpus if siblings else set()
    return siblings_of


def count_sockets(root: Path, cpus: set[int]) -> int:
    """Return how many sockets the CPUs are on; at least 1."""
    listed = {cpu: block.get("physical id") for cpu, block in _cpuinfo_by_cpu(root, cpus).items()}
    sockets = {
        read_text(root / CPUS / f"cpu{cpu}/topology/physical_package_id") or listed.get(cpu)
        for cpu in cpus
    }
    return max(1, len(sockets - {None, "-1"}))


def _cpusets(root: Path) -> list[set[int]]:
    names = ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus")
    texts = (read_text(group / name) for group in control_groups(root, "cpuset") for name in names)
    return [parse_cpu_list(text) for text in texts if text]


def _cpu_quota(root: Path) -> float | None:
    """Return the tightest limit, in CPUs."""
    limits = []
    for group in control_groups(root, "cpu"):
        pair = (read_text(group / "cpu.max") or "").split() or [
            read_text(group / "cpu.cfs_quota_us") or "",
            read_text(group / "cpu.cfs_period_us") or "",
        ]
        quota, period = (to_integer(text) for text in pair)  # v2 says "max", v1 -1, for no limit
        if quota and period and quota > 0:
            limits.append(quota / period)
    return min(limits, default=None)
