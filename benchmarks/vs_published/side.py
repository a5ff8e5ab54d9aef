"""What a side of the comparison is: the facts that both give alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError

LOG_LINES = 20  # shown of a process that failed


@dataclass(frozen=True)
class Row:
    """One method on one side; what was not measured is None.

    Attributes:
        outcome: ok, no solution, or what failed.
        trials: the accuracies of INC's trials in their order.
        told: what INC was told, as ``published.inc_options`` writes it.
    """

    outcome: str
    top1: float | None = None
    top5: float | None = None
    cost_s: float | None = None
    validation_s: float | None = None
    trials: tuple[float, ...] | None = None
    told: dict[str, Any] | None = None


@dataclass(frozen=True)
class Side:
    """What one side took for the whole table.

    Attributes:
        seconds: wall clock from starting its (first) process to the end of its last.
        peak_bytes, together_bytes: as ``Measured`` says, the larger of its commands.
        preparation_s: of each pass that made images ready.
        phases: seconds by phase; their sum is ``seconds``.
        peaks: the largest resident set in bytes of each kind of process.
        rows: by method, in the table's order.
    """

    name: str
    seconds: float
    peak_bytes: int
    together_bytes: int
    preparation_s: tuple[float, ...]
    phases: dict[str, float]
    peaks: dict[str, int]
    rows: dict[str, Row]


def failed(what: str, code: int, log: Path) -> HarnessError:
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return HarnessError("\n".join([f"{what} ended with exit code {code}:", *lines]))


def plain(told: Any) -> Any:
    """Return what INC was told without its folder and the version that INC adds to its file.

    A list of one and its one element are alike.
    """
    if isinstance(told, Mapping):
        return {k: plain(v) for k, v in told.items() if k not in ("workspace", "version")}
    if isinstance(told, list) and len(told) == 1:
        return told[0]
    return told
