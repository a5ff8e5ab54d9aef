"""A comparison as grids of text, for a page and for Markdown alike; nothing is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from harness.compare.columns.method_values import MethodInRun
from harness.compare.columns.rankings import in_words
from harness.compare.comparison import Comparison, Disagreement
from harness.compare.grid import DASH, NOTHING, Cell, Grid, titles
from harness.compare.winners import Winner
from harness.stats.intervals import Interval
from harness.storage.outcomes import OK
from harness.table.metrics import (
    INFERENCE_SPEEDUP,
    QUERIES,
    SPEEDUP,
    THROUGHPUT,
    TOP1,
    VS_FUSED,
    Metric,
)
from harness.table.served.rates import NO_RATE

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
        ("queries", "Queries a second", _served_caption(comparison), _queries),
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


def _served_caption(comparison: Comparison) -> str:
    servers = [run.plan.config.protocol.server for run in comparison.runs]
    targets = " or ".join(dict.fromkeys(f"{one.latency_ms:g}" for one in servers if one))
    return (
        f"The highest rate of queries that arrive at random with p99 of their latency at most {targets} "
        "ms, by the best split. Intervals are between machines; one machine is searched once."
    )


def _queries(entry: MethodInRun) -> Cell:
    served = entry.served
    if served is None:
        return NOTHING
    if served.queries_per_s is None:
        return Cell(NO_RATE, bad=True)
    cell = _value(QUERIES, served.queries_per_s, entry.intervals.get(QUERIES.name))
    return replace(cell, text=f"{cell.text} ({served.split})")


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
