"""A run as exports have it: every value of its tables, with its metric, unit and interval."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from harness.storage.outcomes import OK
from harness.storage.plan import RunPlan
from harness.table.loaded_run import LoadedRun
from harness.table.metrics import ADDED, BY_SIZE, PUBLISHED, QUERIES, THROUGHPUT, Metric
from harness.table.rows import Row, SizeRow
from harness.table.served.rates import best_served


@dataclass(frozen=True)
class Value:
    """One value of a table.

    Attributes:
        method: the row, by its name in the configuration.
        label: the row's name for people.
        value, low, high: in the metric's unit; the ends of the 95 % interval are None without one.
        batch_size: of values that depend on it; None of the others.
    """

    method: str
    label: str
    metric: Metric
    value: float
    low: float | None = None
    high: float | None = None
    batch_size: int | None = None

    @property
    def name(self) -> str:
        """The metric's name, followed by the batch size where the value depends on it."""
        name = self.metric.name
        return name if self.batch_size is None else f"{name}_batch_{self.batch_size}"


@dataclass(frozen=True)
class ExportedRun:
    """A run as exports have it.

    Attributes:
        machine: its folder's name under results/.
        is_night: whether ``./run.sh nightly`` measured it.
        outcomes: how each row ended, by method.
        labels: names of rows for people, by method.
        values: in the order of the table, then by batch size, then rates of queries; only finite
            numbers.
        commit: of the code that was measured; None where it is not known, or the code was changed.
    """

    plan: RunPlan
    machine: str
    is_night: bool
    outcomes: dict[str, str]
    labels: dict[str, str]
    values: tuple[Value, ...]
    commit: str | None = None

    @property
    def id(self) -> str:
        return self.plan.run

    @property
    def workload(self) -> str:
        return self.plan.workload.name


def export_values(run: LoadedRun, commit: str | None = None) -> ExportedRun:
    """Return what is exported of a run.

    Args:
        commit: of its code, in place of the one that its plan has.
    """
    checkout = run.plan.checkout
    if commit is None and checkout is not None and checkout.clean:
        commit = checkout.commit
    size = run.plan.workload.batch_size
    measured = {record.method for record in run.records if record.outcome.kind == OK}
    values = [
        *(value for row in run.rows for value in _of_row(row, size)),
        *(value for row in run.sizes for value in _of_size(row, size)),
        *(
            Value(row.method, row.label, QUERIES, row.highest)
            for row in best_served(run.served, measured).values()
            if row.highest is not None
        ),
    ]
    return ExportedRun(
        plan=run.plan,
        machine=run.folder.path.parent.name,
        is_night=run.folder.is_night,
        outcomes={row.method: row.outcome for row in run.rows},
        labels={row.method: row.label for row in run.rows},
        values=tuple(values),
        commit=commit,
    )


def _of_row(row: Row, batch_size: int) -> Iterator[Value]:
    for metric in (*PUBLISHED, *ADDED):
        yield from _value(row, metric, batch_size if metric is THROUGHPUT else None)


def _of_size(row: SizeRow, of_table: int) -> Iterator[Value]:
    for metric in BY_SIZE:
        if metric is not THROUGHPUT or row.batch_size != of_table:  # the table has that one
            yield from _value(row, metric, row.batch_size)


def _value(row: Row | SizeRow, metric: Metric, batch_size: int | None) -> Iterator[Value]:
    value = getattr(row, metric.name)
    if value is None or not math.isfinite(value):
        return
    interval = row.intervals.get(metric.name)
    has_ends = interval is not None and math.isfinite(interval.low + interval.high)
    low, high = (interval.low, interval.high) if interval and has_ends else (None, None)
    yield Value(row.method, row.label, metric, float(value), low, high, batch_size)
