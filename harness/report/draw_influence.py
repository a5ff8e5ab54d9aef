"""The error of every operator before and after the harmful ones were left in fp32."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report.drawing import (
    BLUE,
    INK,
    MUTED,
    VERMILION,
    Drawing,
    Words,
    drawn,
    missing,
    short,
    shortened,
)
from harness.report.influence import Influence, Step

NAME, TITLE = "operator_influence", "Operator influence"
MOST = 3  # exclusions drawn; more are in the table
MARKS = (("s", BLUE), ("^", "#009e73"), ("D", "#cc79a7"))


def draw(found: Sequence[Influence]) -> Drawing:
    """Return the figure: one panel a row that kept its operators' errors."""
    if not found:
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
        " ".join(_described(each) for each in found),
        ("Method", "Operator", "Before", *(f"After {n + 1}" for n in range(_most(found)))),
        [
            (
                each.label,
                operator,
                f"{each.before[n]:.6f}",
                *(f"{step.after[n]:.6f}" for step in each.shown[:MOST]),
                *("-" for _ in range(_most(found) - len(each.shown[:MOST]))),
            )
            for each in found
            for n, operator in enumerate(each.operators)
        ],
    )
    return drawn(words, 0.5 + 2.6 * len(found), lambda figure: _fill(figure, found))


def _most(found: Sequence[Influence]) -> int:
    return max(len(each.shown[:MOST]) for each in found)


def _described(each: Influence) -> str:
    kept = [step.excluded for step in each.steps if step.kept]
    first = each.shown[0]
    worst, worst_after = max(each.before), max(first.after)
    return (
        f"{each.label}: {len(each.operators)} operators, {len(each.steps)} tried in fp32, kept there: "
        f"{', '.join(kept) or 'none'}. The largest error is {worst:.3g} before and "
        f"{worst_after:.3g} after {first.excluded} was left in fp32."
    )


def _fill(figure: Figure, found: Sequence[Influence]) -> None:
    titles = shortened([each.label for each in found])
    for axes, each, title in zip(figure.subplots(len(found), 1, squeeze=False).flat, found, titles):
        _panel(axes, each)
        axes.set_title(title, color=INK)
        axes.set_xlabel("Operator, in the order in which they run")


def _panel(axes: Axes, each: Influence) -> None:
    order = range(1, len(each.operators) + 1)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, position: f"{value:g}")
    axes.plot(
        order,
        _positive(each.before),
        marker="o",
        markersize=3.6,
        color=VERMILION,
        linewidth=0.8,
        label="before: all quantised",
    )
    for step, (marker, color) in zip(each.shown[:MOST], MARKS):
        axes.plot(
            order,
            _positive(step.after),
            marker=marker,
            markersize=3.6,
            markerfacecolor="none",
            color=color,
            linewidth=0.8,
            linestyle=(0, (3, 1.5)),
            label=_named(step),
        )
        if step.excluded in each.operators:
            axes.axvline(
                each.operators.index(step.excluded) + 1, color=color, linewidth=0.8, alpha=0.6
            )
    if each.threshold is not None:
        axes.axhline(each.threshold, color=MUTED, linewidth=0.9)
    axes.set_xlim(0, len(each.operators) + 1)
    axes.set_ylabel("Relative error")
    axes.legend(loc="best", labelcolor=INK)


def _named(step: Step) -> str:
    return f"after: {short(step.excluded)} in fp32" + ("" if step.kept else " (not kept)")


def _positive(errors: Sequence[float]) -> list[float]:
    return [each if each > 0 and math.isfinite(each) else math.nan for each in errors]
