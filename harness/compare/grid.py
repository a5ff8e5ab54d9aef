"""Tables of text cells, for a page and for Markdown alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.compare.comparison import Comparison

DASH = "–"


@dataclass(frozen=True)
class Cell:
    """A value.

    Attributes:
        ends: of its interval, empty where it has none.
        bad: it tells of a failure.
    """

    text: str
    ends: str = ""
    bad: bool = False

    def __str__(self) -> str:
        return f"{self.text} {self.ends}" if self.ends else self.text


NOTHING = Cell(DASH)  # where nothing was measured


@dataclass(frozen=True)
class Grid:
    """A table: methods or facts by runs.

    Attributes:
        in_words: its cells are words, not numbers.
        best: the name of the row to mark; empty for none.
    """

    anchor: str
    title: str
    caption: str
    corner: str
    headers: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    in_words: bool = False
    best: str = ""

    @property
    def filled(self) -> Grid:
        """The table without the rows in which nothing was measured."""
        rows = [(name, cells) for name, cells in self.rows if set(cells) != {NOTHING}]
        return replace(self, rows=rows)


def titles(comparison: Comparison) -> list[str]:
    """Return the headers of the columns: the machine, and the run where that is not enough.

    Where a column stands for several machines, every column says how many it has.
    """
    names = [column.title for column in comparison.columns]
    unique = [
        name if names.count(name) == 1 else f"{name} {column.first.plan.run}"
        for name, column in zip(names, comparison.columns)
    ]
    if not comparison.is_pooled:
        return unique
    return [f"{name} ({one.counted})" for name, one in zip(unique, comparison.columns)]
