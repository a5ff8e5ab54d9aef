"""What changed between two nights beside the measured values, in words and by kind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.nightly.entry import NightEntry, list_changes, unlike

KINDS = {  # by the beginning of a change's key; the first that fits counts
    "machine.kernel": "kernel",
    "machine.microcode": "microcode",
    "machine.os": "system",
    "packages": "lock",
    "versions": "lock",
    "checkout": "code",
    "code": "code",
    "harness": "code",
}
SETTINGS = "settings"  # of methods
TASK = "task"  # what must be alike for nights to be compared
LISTED = 12
LONGEST = 160
_DIGEST = re.compile(r"\b[0-9a-f]{40,64}\b")


@dataclass(frozen=True)
class SoftwareChange:
    """Something that changed since the night before.

    Attributes:
        night: the place of the first night that has it.
        kind: ``kernel``, ``microcode``, ``system``, ``lock``, ``code``, ``settings`` or ``task``.
        lines: a line a key; digests are shortened.
    """

    night: int
    kind: str
    lines: tuple[str, ...]


def software_changes(nights: Sequence[NightEntry]) -> list[SoftwareChange]:
    """Return what changed from each night to the next, the code's commit included.

    Args:
        nights: oldest first.
    """
    changes = []
    for at, (before, now) in enumerate(zip(nights, nights[1:]), 1):
        lines: dict[str, list[str]] = {}
        if before.environment != now.environment:
            for line in list_changes(before, now):
                lines.setdefault(_kind(line), []).append(_shortened(line))
        task = unlike(before, now.alike)
        if task:
            lines[TASK] = [_shortened(line) for line in task]
        changes += [
            SoftwareChange(at, kind, _some(listed)) for kind, listed in sorted(lines.items())
        ]
    return changes


def _kind(line: str) -> str:
    return next((kind for key, kind in KINDS.items() if line.startswith(key)), SETTINGS)


def _shortened(line: str) -> str:
    short = _DIGEST.sub(lambda digest: digest[0][:12], line)
    return short if len(short) <= LONGEST else f"{short[: LONGEST - 3]}..."


def _some(lines: list[str]) -> tuple[str, ...]:
    more = len(lines) - LISTED
    return (*lines[:LISTED], *([f"and {more} more"] if more > 0 else []))
