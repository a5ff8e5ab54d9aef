"""Memory of the machine and of this process's control groups, and the NUMA nodes that it is on."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from harness.host.system_files import ROOT, control_groups, read_text, to_integer

NO_LIMIT = 1 << 60  # control groups v1 say "no limit" with a number near 2**63
MEMORY_FILES = (  # of a control group: limit, usage, and the prefix of the names in memory.stat
    ("memory.max", "memory.current", ""),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
)
CACHED = ("active_file", "inactive_file")


def total_memory(root: Path = ROOT) -> int | None:
    """Return the bytes of memory of the machine, or of this process's control group if that has less.

    None if the system does not tell.
    """
    sizes = (memory_field(root, "MemTotal"), group_memory_limit(root))
    return min(filter(None, sizes), default=None)


def free_memory(root: Path = ROOT) -> int | None:
    """Return how many bytes this process can still get, or None if the system does not tell.

    That is the least of the machine's available memory and, for each control group of the process,
    its limit less its usage. Cached files of a group count as free: the kernel drops them when
    memory is needed.
    """
    available = [memory_field(root, "MemAvailable")]
    for group in control_groups(root, "memory"):
        for limit_file, usage_file, prefix in MEMORY_FILES:
            limit, usage = (
                to_integer(read_text(group / name)) for name in (limit_file, usage_file)
            )
            if limit is not None and limit < NO_LIMIT:
                stat = dict(
                    re.findall(r"^(\w+) (\d+)$", read_text(group / "memory.stat") or "", re.M)
                )
                cached = sum(int(stat.get(prefix + name, 0)) for name in CACHED)
                available.append(max(0, limit - max(0, (usage or 0) - cached)))
    return min((size for size in available if size is not None), default=None)


def group_memory_limit(root: Path) -> int | None:
    """Return the tightest limit of the control groups, in bytes; None without one."""
    limits = []
    for group in control_groups(root, "memory"):
        for name, _, _ in MEMORY_FILES:
            limit = to_integer(read_text(group / name))
            if limit is not None and limit < NO_LIMIT:
                limits.append(limit)
    return min(limits, default=None)


def memory_field(root: Path, field: str) -> int | None:
    """Return a field of /proc/meminfo in bytes; None if the system does not tell it."""
    match = re.search(
        rf"^{field}:\s+(\d+) kB", read_text(root / "proc/meminfo") or "", re.MULTILINE
    )
    return int(match[1]) * 1024 if match else None


def memory_by_node(root: Path = ROOT) -> dict[str, int] | None:
    """Return how many bytes of this process are on each NUMA node, by its number, as the kernel says.

    None if the kernel does not tell. Files that other processes map, too, are part of it.
    """
    text = read_text(root / "proc/self/numa_maps")
    if text is None:
        return None
    bytes_on: Counter[str] = Counter()
    for line in text.splitlines():
        page = re.search(r"kernelpagesize_kB=(\d+)", line)
        for node, pages in re.findall(r" N(\d+)=(\d+)", line):
            bytes_on[node] += int(pages) * int(page[1] if page else 4) * 1024
    return dict(sorted(bytes_on.items()))
