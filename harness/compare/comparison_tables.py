"""A comparison as grids of text, for a page and for Markdown alike; nothing is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from harness.compare.columns.column import ComparedRun
from harness.compare.columns.interval_notes import interval_notes
from harness.compare.columns.machine_types import unpooled
from harness.compare.columns.method_values import MethodInRun
from harness.compare.columns.rankings import in_words
from harness.compare.comparison import Comparison, Disagreement
from harness.compare.grid import DASH, NOTHING, Cell, Grid, titles
from harness.compare.prices import OWN
from harness.compare.winners import Winner
from harness.stats.intervals import Interval
from harness.storage.outcomes import OK
from harness.table.metrics import INFERENCE_SPEEDUP, SPEEDUP, THROUGHPUT, TOP1, VS_FUSED, Metric

FORCED = "These runs were not measured alike; what follows compares them all the same (--force)."
SHOWN = 20  # of a pair's differing images; the CSV has all
OPPOSITE = {"faster": "slower", "dearer": "cheaper"}
RANKING = (
    "The ratio with its 95 % interval, and whether the difference between the types holds. Machines are "
    "the units. p is adjusted for the number of pairs in a row: of rows without any difference, fewer "
    "than 5 % show one."
)
RATIO = Metric("ratio", "Images/s over the first run's", 2, True)


def settings_grid(comparison: Comparison) -> Grid:
    """Return the settings that differ, by run."""
    return Grid(
        "differences",
        "What differs",
        "Settings that differ between the runs, and each run's value.",
        "Setting",
        [run.name for run in comparison.runs] if comparison.is_pooled else titles(comparison),
        [(one.key, [Cell(value) for value in one.values]) for one in comparison.unlike],
        in_words=True,
    )


def winners_grid(answers: Sequence[Winner]) -> Grid:
    """Return the answer to each question, its value, and the best of the other machines."""
    return Grid(
        "winners",
        "Winners",
        "Among the rows whose top-1 meets the criterion of the tuning; 95 % intervals in brackets.",
        "Question",
        ["Winner", "Value", "Best of the other machines"],
        [
            (one.question.title, [Cell(one.answer), Cell(one.value), Cell(one.next)])
            for one in answers
        ],
        in_words=True,
    )


def methods(comparison: Comparison) -> list[Grid]:
    """Return one grid a value, methods by machines; a value that no run has gets none."""
    first = comparison.columns[0].first
    baseline, fused = first.plan.config.baseline, first.plan.config.fused
    of_row = _of_row
    grids = [
        (
            "throughput",
            "Throughput",
            "Images/s of the forward passes, and how each row ended.",
            _rate,
        ),
        (
            "ratio",
            f"Throughput over {titles(comparison)[0]}'s",
            "How many times as many images a second as the first run does.",
            lambda entry: _value(RATIO, entry.ratio, entry.intervals.get("ratio")),
        ),
        (
            "speedup",
            f"Speedup over {baseline}",
            "Forward passes, each run against its own baseline.",
            of_row(INFERENCE_SPEEDUP),
        ),
        ("fused", f"Speedup over {fused}", "The same against the fused network.", of_row(VS_FUSED)),
        (
            "published",
            "Speedup as published",
            "Ratio of the wall clocks of one whole validation pass.",
            of_row(SPEEDUP),
        ),
        ("roof", "Share of the roof", "Of the machine's measured peak.", _share),
        ("cost", "Cost of a million images", "On a machine that does nothing else.", _cost),
        ("top1", "Top-1", "Accuracy on the validated images.", of_row(TOP1)),
    ]
    tables = [
        Grid(
            anchor,
            title,
            caption,
            "Method",
            titles(comparison),
            [(line.label, [shown(entry) for entry in line.entries]) for line in comparison.lines],
        ).filled
        for anchor, title, caption, shown in grids
    ]
    return [grid for grid in tables if grid.rows]


def rankings(comparison: Comparison) -> list[Grid]:
    """Return which differences between types hold, in speed and in cost, methods by pairs of types."""
    names = [column.title for column in comparison.columns]
    grids = []
    for anchor, title, better, of_cost in (
        ("ranked", "Differences between types: images/s", "faster", False),
        ("ranked-cost", "Differences between types: cost", "dearer", True),
    ):
        cells: dict[str, dict[tuple[int, int], Cell]] = {}
        for one in comparison.ranked:
            for pair in one.cost if of_cost else one.speed:
                key = (one.columns[pair.first], one.columns[pair.second])
                word = better if pair.ratio.estimate >= 1 else OPPOSITE[better]
                cells.setdefault(one.label, {})[key] = Cell(*in_words(pair, word))
        keys = sorted({key for own in cells.values() for key in own})
        rows = [(label, [own.get(key, NOTHING) for key in keys]) for label, own in cells.items()]
        headers = [f"{names[second]} over {names[first]}" for first, second in keys]
        if rows:
            grids.append(Grid(anchor, title, RANKING, "Method", headers, rows, in_words=True))
    return grids


def pairs(comparison: Comparison) -> Grid:
    """Return how many images each method predicts differently, by pair of runs that can be compared."""
    names = titles(comparison)
    rows = []
    for pair in comparison.disagreements:
        if not pair.left_out:
            test = pair.test
            numbers = [
                f"{len(pair.index)} of {pair.images}",
                f"{100 * len(pair.index) / pair.images:.3f}",
                str(test.b if test else 0),
                str(test.c if test else 0),
                str(pair.neither),
                f"{test.p_value:.3g}" if test else DASH,
                "the same" if pair.same_model else "each its own",
            ]
            cells = [Cell(number) for number in numbers]
            rows.append((f"{pair.name}: {names[pair.first]} and {names[pair.second]}", cells))
    return Grid(
        "disagreement",
        "Top-1 disagreement",
        "Images whose first prediction differs. The model is the same where the validated files are "
        "equal; else each run calibrated or tuned its own, and not only the arithmetic differs.",
        "Method and pair",
        [
            "Images that differ",
            "%",
            "First right, second wrong",
            "Second right, first wrong",
            "Both wrong",
            "McNemar's p of equal accuracy",
            "Model",
        ],
        rows,
    )


def images(pair: Disagreement, names: Sequence[str]) -> Grid:
    """Return the first of the images on which a pair differs."""
    more = len(pair.index) - SHOWN
    rest = f"The first {SHOWN} of {len(pair.index)}; disagreements.csv has all." if more > 0 else ""
    rows = [
        (str(index), [Cell(str(label)), Cell(str(ours)), Cell(str(theirs))])
        for index, label, ours, theirs in zip(
            pair.index[:SHOWN], pair.label[:SHOWN], pair.ours[:SHOWN], pair.theirs[:SHOWN]
        )
    ]
    return Grid(
        "",
        f"{pair.name}: {names[pair.first]} and {names[pair.second]}",
        rest,
        "Image",
        ["Label", f"{names[pair.first]} predicts", f"{names[pair.second]} predicts"],
        rows,
    )


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
    apart = [run for column in comparison.columns if not column.is_pooled for run in column.runs]
    return notes + [f"Not one column: {' '.join(str(one).split())}." for one in unpooled(apart)]


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


def _of_row(metric: Metric) -> Callable[[MethodInRun], Cell]:
    def shown(entry: MethodInRun) -> Cell:
        row = entry.row
        if row is None or entry.outcome != OK:
            return NOTHING
        return _value(metric, getattr(row, metric.name), row.intervals.get(metric.name))

    return shown


def _rate(entry: MethodInRun) -> Cell:
    if entry.outcome != OK:
        return Cell(entry.outcome, bad=entry.row is not None)
    cell = _of_row(THROUGHPUT)(entry)
    return replace(cell, text=f"{cell.text} ({entry.split})") if entry.split else cell


def _share(entry: MethodInRun) -> Cell:
    if entry.share.value is None:
        return NOTHING
    ends = entry.intervals.get("share")
    shown = f"[{100 * ends.low:.1f}, {100 * ends.high:.1f}]" if ends else ""
    return Cell(f"{100 * entry.share.value:.1f} %", shown)


def _cost(entry: MethodInRun) -> Cell:
    if entry.cost is None:
        return NOTHING
    ends = entry.intervals.get("cost")
    return Cell(f"{entry.cost:.3g}", f"[{ends.low:.3g}, {ends.high:.3g}]" if ends else "")


def _value(metric: Metric, value: float | None, ends: Interval | None) -> Cell:
    shown = metric.shown(value, DASH)
    if ends is None or value is None:
        return Cell(shown)
    return Cell(shown, f"[{metric.shown(ends.low, '')}, {metric.shown(ends.high, '')}]")
