"""The notes that a reader needs to read a comparison rightly, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.compare.columns.column import ComparedRun
from harness.compare.columns.interval_notes import interval_notes
from harness.compare.columns.machine_types import unpooled
from harness.compare.columns.method_values import Served
from harness.compare.comparison import Comparison
from harness.compare.grid import titles
from harness.compare.pricing.prices import OWN
from harness.storage.outcomes import OK


def reading_notes(comparison: Comparison, prices: str) -> list[str]:
    """Return the notes that a reader needs to read the tables rightly.

    Args:
        prices: where the prices are from (``Prices.note``).
    """
    names = titles(comparison)
    notes = [
        *_cautions(comparison),
        " ".join(interval_notes(comparison.columns, [line.entries for line in comparison.lines])),
        *_of_types(comparison, names),
        "Share of the roof: images/s times the least time that an image's convolutions and inner "
        "products could take, each at the measured peak of the data type that it ran in (2 operations "
        "for each multiply-accumulate). An int8 row's operators that stayed in fp32 count against the "
        "fp32 peak.",
        f"Cost: {prices} The interval is that of the throughput; the price is of the whole machine, "
        "whatever part of its CPUs the run used.",
    ]
    for name, run in _named_runs(comparison):
        if run.roof_note:
            notes.append(f"Roof of {name}: {run.roof_note}.")
    for name, column in zip(names, comparison.columns):
        if column.price.per_hour is None:
            key = column.title if column.is_pooled else column.first.machine
            notes.append(f"Cost on {name}: {column.price.note}; give {OWN}{key}=N.")
    shares = {
        f"Share of the roof, {line.label} on {name}: {entry.share.reason}."
        for line in comparison.lines
        for name, column, entry in zip(names, comparison.columns, line.entries)
        if any(run.roof for run in column.runs)
        and entry.outcome == OK
        and entry.share.value is None
    }
    left_out = {
        f"Disagreement of {names[pair.first]} and {names[pair.second]}: {pair.left_out}."
        for pair in comparison.disagreements
        if pair.left_out
    }
    return [*notes, *sorted(shares), *sorted(left_out)]


def _named_runs(comparison: Comparison) -> list[tuple[str, ComparedRun]]:
    """Return each run with its column's title, and its own name where that has several."""
    return [
        (name if len(column.runs) == 1 else f"{column.title}, {run.name}", run)
        for name, column in zip(titles(comparison), comparison.columns)
        for run in column.runs
    ]


def _of_types(comparison: Comparison, names: Sequence[str]) -> list[str]:
    """Return what a reader must know of columns that stand for types of machines."""
    notes = []
    if comparison.is_pooled:
        notes.append(
            "A column of several machines has the values of the typical machine. Its intervals are "
            "between machines: a machine counts once, whatever the number of its rounds and runs. Top-1 "
            "is that of the machine with the largest loss. Predictions are those of each column's first "
            "run."
        )
    for name, column in zip(names, comparison.columns):
        if column.type and not column.is_pooled:
            notes.append(
                f"{name}: one machine. Its intervals are of that machine, and do not hold for the type."
                if not comparison.is_pooled
                else f"{name}: its intervals are of that machine, and do not hold for the type; no "
                "difference to it is ranked."
            )
        again = len(column.runs) - column.machine_count
        if column.is_pooled and again:
            notes.append(f"{name}: {len(column.runs)} runs; those of one machine count as one.")
    for line in comparison.lines:
        for name, column, entry in zip(names, comparison.columns, line.entries):
            if column.is_pooled and 0 < len(entry.machines) < column.machine_count:
                notes.append(
                    f"{name}: {line.label} has times on {len(entry.machines)} of these machines."
                )
            if column.is_pooled and entry.served is not None:
                notes += _of_served(f"{name}: {line.label}", entry.served, column.machine_count)
    apart = [run for column in comparison.columns if not column.is_pooled for run in column.runs]
    return notes + [f"Not one column: {' '.join(str(one).split())}." for one in unpooled(apart)]


def _of_served(who: str, served: Served, machine_count: int) -> Iterator[str]:
    """Yield which machines of a column have no rate of queries."""
    if served.without:
        yield (
            f"{who} kept the target at no rate of queries on {served.without} of these machines; the "
            "rate is that of the others, and does not win."
        )
    if served.machines + served.without < machine_count:
        count = served.machines + served.without
        yield f"{who} was searched for a rate of queries on {count} of these machines."


def _cautions(comparison: Comparison) -> list[str]:
    """Return which rows of which run are missing, and which were disturbed."""
    notes = []
    for name, run in _named_runs(comparison):
        if run.missing:
            labels = ", ".join(run.plan.methods[method].label for method in run.missing)
            notes.append(
                f"{len(run.missing)} of the {len(run.plan.methods)} rows of {name} are missing, since it "
                f"was interrupted or still goes on: {labels}."
            )
        if run.disturbed:
            notes.append(
                f"Timings of {name} were disturbed, so these rows may be faster than the tables say: "
                f"{', '.join(run.disturbed)}."
            )
    return notes
