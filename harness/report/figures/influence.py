"""The error of every operator before and after the harmful ones were left in fp32."""

from __future__ import annotations

import csv
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.errors import HarnessError
from harness.render.drawing import (
    BLUE,
    INK,
    MUTED,
    VERMILION,
    Drawing,
    Words,
    is_narrow,
    missing,
    render_figure,
    short,
    shortened,
)
from harness.storage.stage_facts import OperatorPlace
from harness.table.loaded_run import LoadedRun

NAME, TITLE = "operator_influence", "Operator influence"
FILE = "operator_influence.csv"  # in the folder of a row whose method excludes operators
MOST = 3  # exclusions drawn; more are in the table
LEGEND_WIDTH, NARROW_LEGEND_WIDTH = 80, 30  # characters in a line of a legend
LEGEND_LINE_IN = 0.15  # of a legend's font, with the space between lines
NARROW_LINES = 3  # of a legend's entry in a narrow figure, at most
PANEL_IN = 2.5  # the height of a panel without its legend
POINTS = 72  # in an inch
MARKS = (("s", BLUE), ("^", "#009e73"), ("D", "#cc79a7"))


@dataclass(frozen=True)
class Step:
    """One operator tried in fp32.

    Attributes:
        after: every operator's error with it in fp32, in the operators' order.
        reduction: by how much the errors fell, summed over those that are finite.
        kept: it stayed in fp32.
    """

    excluded: str
    after: tuple[float, ...]
    reduction: float
    kept: bool


@dataclass(frozen=True)
class Influence:
    """The operators of a row, and those that were tried in fp32.

    Attributes:
        before: the error of every operator with all of them quantised.
        threshold: the error from which on an operator is tried in fp32, None if not known.
        places: what the operators are; empty in files of before it was kept.
    """

    method: str
    label: str
    operators: tuple[str, ...]
    before: tuple[float, ...]
    steps: tuple[Step, ...]
    threshold: float | None
    places: Mapping[str, OperatorPlace] = field(default_factory=dict)

    @property
    def shown(self) -> list[Step]:
        """The exclusions that were kept, or the one that helped most where none was."""
        kept = [step for step in self.steps if step.kept]
        return kept or [max(self.steps, key=lambda step: step.reduction)]

    def described(self, operator: str) -> str:
        """Return an operator's name, with what it is if that is known."""
        place = self.places.get(operator)
        return f"{operator}: {place}" if place else operator


def figure(run: LoadedRun) -> Drawing:
    """Return the figure of a run."""
    return draw(influences(run))


def influences(run: LoadedRun) -> list[Influence]:
    """Return the rows that kept the errors of their operators, in the table's order.

    Raises:
        HarnessError: a file of them is damaged.
    """
    tried = []
    for record in run.records:
        path = run.folder.method(record.method) / FILE
        if path.is_file():
            threshold = run.plan.error_threshold(record.method)
            try:
                with path.open(encoding="utf-8", newline="") as handle:
                    rows = list(csv.DictReader(handle))
                tried.append(influence(record.method, record.label, rows, threshold))
            except (csv.Error, KeyError, OSError, TypeError, ValueError) as error:
                raise HarnessError(
                    f"{path} is damaged ({type(error).__name__}: {error}): restore or delete it"
                ) from None
    return [row for row in tried if row is not None]


def influence(
    method: str, label: str, rows: Sequence[Mapping[str, str]], threshold: float | None
) -> Influence | None:
    """Return the content of an ``operator_influence.csv``; None where nothing was tried.

    Args:
        rows: excluded, operator, error_before, error_after, kept, and the fields of ``OperatorPlace``
            if the file has them; those of one exclusion together.

    Raises:
        KeyError, ValueError: a column is missing or holds no number, or a line is cut off.
    """
    tried: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        if None in row.values():
            raise ValueError("a line is cut off")
        tried.setdefault(row["excluded"], []).append(row)
    if not tried:
        return None
    first = next(iter(tried.values()))
    operators = tuple(row["operator"] for row in first)
    before = tuple(float(row["error_before"]) for row in first)
    steps = []
    for excluded, changed in tried.items():
        errors = {row["operator"]: float(row["error_after"]) for row in changed}
        falls = (float(row["error_before"]) - float(row["error_after"]) for row in changed)
        steps.append(
            Step(
                excluded,
                tuple(errors.get(name, math.nan) for name in operators),
                math.fsum(fall for fall in falls if math.isfinite(fall)),
                changed[0]["kept"] == "True",
            )
        )
    places = {row["operator"]: _place(row) for row in first if row.get("kind")}
    return Influence(method, label, operators, before, tuple(steps), threshold, places)


def _place(row: Mapping[str, str]) -> OperatorPlace:
    behind, feeds = ([name for name in row[key].split("; ") if name] for key in ("behind", "feeds"))
    return OperatorPlace(kind=row["kind"], layer=row["layer"], behind=behind, feeds=feeds)


def draw(rows: Sequence[Influence]) -> Drawing:
    """Return the figure: one panel a row that kept its operators' errors."""
    if not rows:
        return missing(
            NAME,
            TITLE,
            "No row kept its operators' errors; int8_inc_mycustom does, where an operator is over its "
            "threshold.",
        )
    words = Words(
        NAME,
        TITLE,
        "Error of each operator's output against fp32, mean(abs(int8 - fp32)) / mean(abs(fp32)) on the "
        "first calibration batch, operators in the order in which they run: before, with all of them "
        "quantised, and after an operator was left in fp32 (vertical line). Horizontal line: the error "
        "from which on an operator is tried in fp32. A logarithmic axis has no place for errors of 0.",
        " ".join(_described(row) for row in rows),
        ("Method", "Operator", "Before", *(f"After {n + 1}" for n in range(_most(rows)))),
        [
            (
                row.label,
                row.described(operator),
                f"{row.before[n]:.6f}",
                *(f"{step.after[n]:.6f}" for step in row.shown[:MOST]),
                *("-" for _ in range(_most(rows) - len(row.shown[:MOST]))),
            )
            for row in rows
            for n, operator in enumerate(row.operators)
        ],
    )
    entries = sum(1 + len(row.shown[:MOST]) for row in rows)
    height, line = 0.3 + PANEL_IN * len(rows), LEGEND_LINE_IN * entries
    return render_figure(
        words, height + line, lambda figure: _fill(figure, rows), height + NARROW_LINES * line
    )


def _most(rows: Sequence[Influence]) -> int:
    return max(len(row.shown[:MOST]) for row in rows)


def _described(row: Influence) -> str:
    kept = [row.described(step.excluded) for step in row.steps if step.kept]
    first = row.shown[0]
    worst, worst_after = max(row.before), max(first.after)
    return (
        f"{row.label}: {len(row.operators)} operators, {len(row.steps)} tried in fp32, kept there: "
        f"{'; '.join(kept) or 'none'}. The largest error is {worst:.3g} before and "
        f"{worst_after:.3g} after {first.excluded} was left in fp32."
    )


def _fill(figure: Figure, rows: Sequence[Influence]) -> None:
    titles = shortened([row.label for row in rows])
    for axes, row, title in zip(figure.subplots(len(rows), 1, squeeze=False).flat, rows, titles):
        lines = _panel(figure, axes, row)
        # what is above the panel has no data behind it, and the title keeps the room for the legend
        axes.set_title(title, color=INK, pad=6 + POINTS * LEGEND_LINE_IN * lines)
        axes.set_xlabel("Operator, in the order in which they run")


def _panel(figure: Figure, axes: Axes, row: Influence) -> int:
    """Draw a row; return how many lines the legend above it has."""
    order = range(1, len(row.operators) + 1)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, position: f"{value:g}")
    axes.plot(
        order,
        _positive(row.before),
        marker="o",
        markersize=3.6,
        color=VERMILION,
        linewidth=0.8,
        label="before: all quantised",
    )
    for step, (marker, color) in zip(row.shown[:MOST], MARKS):
        axes.plot(
            order,
            _positive(step.after),
            marker=marker,
            markersize=3.6,
            markerfacecolor="none",
            color=color,
            linewidth=0.8,
            linestyle=(0, (3, 1.5)),
            label=_label(row, step),
        )
        if step.excluded in row.operators:
            axes.axvline(
                row.operators.index(step.excluded) + 1, color=color, linewidth=0.8, alpha=0.6
            )
    if row.threshold is not None:
        axes.axhline(row.threshold, color=MUTED, linewidth=0.9)
    axes.set_xlim(0, len(row.operators) + 1)
    axes.set_ylabel("Relative error")
    lines, names = axes.get_legend_handles_labels()
    width = NARROW_LEGEND_WIDTH if is_narrow(figure) else LEGEND_WIDTH
    labels = [textwrap.fill(name, width) for name in names]
    legend = axes.legend(
        lines,
        labels,
        loc="lower left",
        bbox_to_anchor=(0, 1.02),
        borderpad=0,
        borderaxespad=0,
        labelspacing=0.2,
        labelcolor=INK,
    )
    legend.set_in_layout(False)  # a long name must not take the room of the axes
    return sum(1 + label.count("\n") for label in labels)


def _label(row: Influence, step: Step) -> str:
    """Return the legend's words: the operator that was left in fp32, with its kind and its layer."""
    place = row.places.get(step.excluded)
    what = ""
    if place:
        what = f" ({short(place.kind)}{f' in {short(place.layer)}' if place.layer else ''})"
    return f"after: {short(step.excluded)}{what} in fp32" + ("" if step.kept else ", not kept")


def _positive(errors: Sequence[float]) -> list[float]:
    return [error if error > 0 and math.isfinite(error) else math.nan for error in errors]
