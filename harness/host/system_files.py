"""Files under /proc, /sys and the control groups, and the values in them.

Functions take the root of the file system, so that a copied tree can stand for a machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
CPUS = "sys/devices/system/cpu"


def read_text(path: Path) -> str | None:
    """Return a file's text without blanks around it; None if it is empty or cannot be read."""
    try:
        return path.read_text(errors="replace").strip() or None
    except OSError:
        return None


def to_integer(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"-?\d+", text) else None


def to_decimal(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\d+(\.\d+)?", text) else None


def parse_cpu_list(text: str) -> set[int]:
    """Return the numbers of a kernel CPU list such as ``0-3,8``."""
    cpus: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        cpus.update(range(int(first), int(last or first) + 1))
    return cpus


def control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups and of their ancestors, v1 and v2.

    Args:
        controller: cpu, cpuset or memory.
    """
    member: dict[str, str] = {}  # controller -> path; the controller of v2 is ""
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        _, names, path = line.split(":", 2)
        member.update(dict.fromkeys(names.split(","), path))
    for line in (read_text(root / "proc/self/mountinfo") or "").splitlines():
        left, _, right = line.partition(" - ")
        kind, options = right.split()[0], right.split()[-1].split(",")
        if kind == "cgroup2":
            name = ""
        elif kind == "cgroup" and controller in options:
            name = controller
        else:
            continue
        mounted, point = left.split()[3:5]
        path = member.get(name, "/")
        inside = path == mounted or path.startswith(mounted.rstrip("/") + "/")
        top = root / point.lstrip("/")
        # a group outside the mounted part is a container's own, which sees itself as the top
        group = top / path[len(mounted.rstrip("/")) :].lstrip("/") if inside else top
        yield group
        while group != top:
            group = group.parent
            yield group
