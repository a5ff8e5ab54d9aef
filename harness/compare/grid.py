"""Tables of text cells, for a page and for Markdown alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.compare.comparison import Comparison

DASH = "–"


@dataclass(frozen=True)
class Cell:
    """A value, its interval if it has one, and whether it tells of a failure."""

    text: str
    ends: str = ""
    bad: bool = False

    def __str__(self) -> str:
        return f"{self.text} {self.ends}" if self.ends else self.text


@dataclass(frozen=True)
class Grid:
    """A table: methods or facts by runs."""

    anchor: str
    title: str
    caption: str
    corner: str
    headers: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]


def titles(comparison: Comparison) -> list[str]:
    """Return the headers of the runs: the machine, and the run where that is not enough."""
    names = [run.title for run in comparison.runs]
    return [
        name if names.count(name) == 1 else f"{name} {run.plan.run}"
        for name, run in zip(names, comparison.runs)
    ]
