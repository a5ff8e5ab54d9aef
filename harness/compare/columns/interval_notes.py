"""What the intervals of a comparison are of, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.compare.columns.column import Column
from harness.compare.columns.method_values import MethodInRun, is_of_rounds


def interval_notes(
    columns: Sequence[Column], lines: Sequence[Sequence[MethodInRun]]
) -> Iterator[str]:
    """Yield what the intervals are of, and how those between columns are computed.

    Args:
        lines: the entries of each method, in the order of the columns.
    """
    yield (
        "Intervals are 95 %. Those of a run are its own table's: of the typical round, or of one pass "
        "without rounds."
    )
    if any(entry.split for entries in lines for entry in entries):
        yield "Images/s of a split are from the run's table by instances."
    of_rounds = {
        is_of_rounds(column, entry, columns[0], entries[0])
        for entries in lines
        for column, entry in zip(columns, entries)
        if "ratio" in entry.intervals
    }
    if True in of_rounds:
        yield (
            "Those between two runs are Welch's t over both runs' rounds, since nothing pairs the "
            "rounds of two machines."
        )
    if False in of_rounds:
        yield (
            "Those between columns of which one has a split or several machines are Student's t from "
            "the intervals of both, with the degrees of freedom of the side with fewer."
        )
    yield (
        "Another day is in none of them."
        if any(column.is_pooled for column in columns)
        else "Another machine of the same type, or another day, is in none of them."
    )
