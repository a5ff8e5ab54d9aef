"""The tables as CSV: the published columns in the published order, then the added ones."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from harness.render.escape import csv_cell
from harness.stats.intervals import Interval
from harness.table.kernels import RowProfile
from harness.table.metrics import ADDED, BY_SIZE, PUBLISHED, Metric
from harness.table.rows import Row, SizeRow

COLUMNS = (*PUBLISHED, *ADDED)
WITH_INTERVALS = tuple(metric for metric in COLUMNS if metric.has_interval)
MORE_DIGITS = 2  # of an interval's ends than of the value


def _ends(names: Iterable[str]) -> list[str]:
    return [f"{name}_{end}" for name in names for end in ("low", "high")]


HEADER = (
    "method",
    *(metric.name for metric in COLUMNS),
    *_ends(metric.name for metric in WITH_INTERVALS),
    "mcnemar_p",
    "rounds",
    "images",
    "outcome",
    "log",
)


def to_csv(rows: Sequence[Row], exact: bool = False) -> str:
    """Return the rows; what was not measured is empty.

    Args:
        exact: write numbers to the last digit instead of with the published decimals.
    """
    return csv_text(HEADER, (_exact(row) if exact else _row(row) for row in rows))


def _exact(row: Row) -> list[Any]:
    values = [getattr(row, m.name) for m in COLUMNS]
    intervals = (row.intervals.get(m.name) for m in WITH_INTERVALS)
    ends = [end for one in intervals for end in ((one.low, one.high) if one else (None, None))]
    numbers = (*values, *ends, row.mcnemar_p, row.rounds, row.images)
    shown = ("" if number is None else number for number in numbers)  # csv writes floats by repr
    return [row.label, *shown, row.outcome, row.log or ""]


def _row(row: Row) -> list[Any]:
    values = [m.shown(getattr(row, m.name), "") for m in COLUMNS]
    ends = [end for m in WITH_INTERVALS for end in _shown(row.intervals.get(m.name), m)]
    p_value = "" if row.mcnemar_p is None else f"{row.mcnemar_p:.4g}"
    counts = ["" if count is None else count for count in (row.rounds, row.images)]
    return [row.label, *values, *ends, p_value, *counts, row.outcome, row.log or ""]


def sizes_to_csv(rows: Sequence[SizeRow]) -> str:
    """Return throughput and latency by batch size, with the ends of their intervals."""
    with_interval = [metric for metric in BY_SIZE if metric.has_interval]
    names = [metric.name for metric in BY_SIZE]
    ends = _ends(metric.name for metric in with_interval)
    header = ["method", "batch_size", "rounds", "batches", *names, *ends]
    body = []
    for row in rows:
        values = [m.shown(getattr(row, m.name), "") for m in BY_SIZE]
        shown = [end for m in with_interval for end in _shown(row.intervals.get(m.name), m)]
        body.append([row.label, row.batch_size, row.rounds, row.batches, *values, *shown])
    return csv_text(header, body)


def profiles_to_csv(profiles: Sequence[RowProfile]) -> str:
    """Return every row's primitives: kind, implementation, types, how many, and their time."""
    header = ("method", "kind", "implementation", "isa", "dtype", "count", "ms", "share")
    body = [
        [of_row.label, kernel.kind, kernel.implementation, kernel.isa, kernel.dtype, kernel.count,
         f"{kernel.ms:.3f}",
         f"{kernel.ms / of_row.profile.total_ms:.4f}" if of_row.profile.total_ms else ""]
        for of_row in profiles
        for kernel in of_row.profile.rows
    ]  # fmt: skip
    return csv_text(header, body)


def _shown(interval: Interval | None, metric: Metric) -> list[str]:
    if interval is None:
        return ["", ""]
    return [f"{end:.{metric.digits + MORE_DIGITS}f}" for end in (interval.low, interval.high)]


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a CSV file's text; no cell is a formula to a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([csv_cell(cell) for cell in row] for row in (header, *rows))
    return out.getvalue()
