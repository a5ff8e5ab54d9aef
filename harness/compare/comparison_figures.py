"""The figures of a comparison: throughput, cost and share of the roof, methods by machines.

Importing this imports matplotlib: set MPLCONFIGDIR before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from harness.compare.comparison import Comparison
from harness.compare.grid import titles
from harness.compare.winners import QUESTIONS, Question
from harness.render.drawing import (
    BLUE,
    INK,
    LINE,
    PAGE,
    VERMILION,
    Drawing,
    Words,
    file_names,
    is_narrow,
    panels,
    render_figure,
    short,
    shortened,
    wrapped,
)
from harness.storage.outcomes import OK

MARKS = (  # a machine is told by shape and filling, not by colour alone
    ("o", BLUE, BLUE),
    ("s", VERMILION, PAGE),
    ("^", INK, INK),
    ("D", BLUE, PAGE),
    ("v", VERMILION, VERMILION),
    ("P", INK, PAGE),
)
NAMES = {
    "images_per_s": ("throughput", "Throughput", "Images/s", "The fastest"),
    "cost": ("cost", "Cost of a million images", "Cost of a million images", "The cheapest"),
    "share": ("roof", "Share of the roof", "Share of the roof, %", "The nearest to its roof"),
}
FILES = tuple(file for name, *_ in NAMES.values() for file in file_names(name))
WIDE_RANGE = 10  # of values, from which on an axis is logarithmic
ROW_IN, RUN_IN = 0.16, 0.13  # height of a method, and of each run in it


@dataclass(frozen=True)
class Dot:
    """A method's value in a run, with the ends of its 95 % interval where it has one."""

    method: int
    run: int
    value: float
    low: float | None
    high: float | None


def draw_all(comparison: Comparison) -> list[Drawing]:
    """Return the figures of the questions to which any run has a value."""
    drawings = [_draw(question, comparison) for question in QUESTIONS]
    return [drawing for drawing in drawings if drawing is not None]


def _draw(question: Question, comparison: Comparison) -> Drawing | None:
    dots = list(_dots(question, comparison))
    if not dots:
        return None
    name, title, axis, extreme = NAMES[question.key]
    labels = shortened([line.label for line in comparison.lines])
    names = titles(comparison)
    best = (max if question.highest else min)(dots, key=lambda dot: dot.value)
    words = Words(
        name,
        title,
        f"{axis} of each method on each machine; bars are 95 % intervals. "
        + ("More is better." if question.highest else "Less is better."),
        f"{extreme}, whatever its accuracy, is {labels[best.method]} on {names[best.run]}: "
        f"{best.value:.4g}.",
        ("Method", "Machine", axis, "95 % interval"),
        [
            (
                labels[dot.method],
                names[dot.run],
                f"{dot.value:.4g}",
                "-" if dot.low is None else f"{dot.low:.4g} to {dot.high:.4g}",
            )
            for dot in dots
        ],
    )
    runs = len(comparison.columns)
    height = 0.75 + len(labels) * (ROW_IN + RUN_IN * runs)
    legend = 0.19 * runs
    return render_figure(
        words,
        height + 0.19 * -(-runs // 2),
        lambda figure: _fill(figure, dots, labels, names, axis),
        height + legend,
    )


def _dots(question: Question, comparison: Comparison) -> Sequence[Dot]:
    dots = []
    scale = 100 if question.key == "share" else 1
    for method, line in enumerate(comparison.lines):
        for run, entry in enumerate(line.entries):
            value = question.value(entry)
            if entry.outcome != OK or entry.row is None or value is None:
                continue
            ends = question.interval(entry)
            low, high = (scale * ends.low, scale * ends.high) if ends else (None, None)
            dots.append(Dot(method, run, scale * value, low, high))
    return dots


def _fill(
    figure: Figure, dots: Sequence[Dot], labels: Sequence[str], names: Sequence[str], axis: str
) -> None:
    (axes,) = panels(figure, 1, 1)
    step = 0.7 / len(names)
    for run, name in enumerate(names):
        marker, edge, face = MARKS[run % len(MARKS)]
        own = [dot for dot in dots if dot.run == run]
        at = [dot.method + step * (run - (len(names) - 1) / 2) for dot in own]
        low = [0.0 if dot.low is None else max(0.0, dot.value - dot.low) for dot in own]
        high = [0.0 if dot.high is None else max(0.0, dot.high - dot.value) for dot in own]
        axes.errorbar(
            [dot.value for dot in own],
            at,
            xerr=[low, high],
            fmt=marker,
            markersize=4.5,
            markerfacecolor=face,
            markeredgecolor=edge,
            ecolor=edge,
            elinewidth=0.8,
            capsize=2,
            label=short(name),
        )
    axes.set_yticks(range(len(labels)), wrapped(figure, labels))
    axes.set_ylim(len(labels) - 0.5, -0.5)
    values = [dot.value for dot in dots]
    if max(values) > WIDE_RANGE * min(values) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, position: f"{value:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(left=0)
    axes.set_xlabel(axis)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    for boundary in range(1, len(labels)):
        axes.axhline(boundary - 0.5, color=LINE, linewidth=0.5)
    columns = 1 if is_narrow(figure) else 2
    figure.legend(loc="outside lower center", ncols=columns, labelcolor=INK)
