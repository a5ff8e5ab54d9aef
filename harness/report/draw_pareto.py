"""Accuracy against speedup, the Pareto front marked."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report.drawing import BLUE, INK, MUTED, PAGE, Drawing, Words, drawn, missing
from harness.report.label_placement import Mark, place
from harness.report.pareto import Front, Point

NAME, TITLE = "accuracy_speedup", "Accuracy against speedup"
NEAR_PCT = 2.0  # of relative loss; what is within gets a panel of its own where other rows are far
CROWD = 3
ROOM = 0.3  # for labels, as a share of the width


def draw(front: Front) -> Drawing:
    """Return the figure: every row with its intervals, the front filled and joined."""
    if not front.points:
        return missing(NAME, TITLE, "No row has both an accuracy and a speedup.")
    words = Words(
        NAME,
        TITLE,
        f"Top-1 accuracy on all validated images against {front.metric.title.lower()} over the "
        "baseline. Filled and joined: the Pareto front, rows that no other row beats in both. Bars "
        "are 95 % intervals; that of accuracy is of the paired loss, the baseline's accuracy taken "
        "as given.",
        _described(front),
        ("Method", front.metric.title, "95 % interval", "Top-1", "95 % interval", "Pareto front"),
        [
            (
                each.label,
                f"{each.speedup:.2f}",
                _ends(each.speedup_ends, 2),
                f"{each.top1:.4f}",
                _ends(each.top1_ends, 4),
                "yes" if each.on_front else "no",
            )
            for each in front.points
        ],
    )
    return drawn(words, 3.4, lambda figure: _fill(figure, front))


def _described(front: Front) -> str:
    best = sorted((p for p in front.points if p.on_front), key=lambda point: point.speedup)
    named = ", ".join(f"{p.label} ({p.speedup:.1f} times, {p.top1:.4f})" for p in best)
    return f"{len(front.points)} rows; on the Pareto front, from slow to fast: {named}."


def _ends(ends: tuple[float, float] | None, digits: int) -> str:
    return f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}" if ends else "-"


def _fill(figure: Figure, front: Front) -> None:
    near = [point for point in front.points if abs(point.loss_pct) <= NEAR_PCT]
    split = CROWD <= len(near) < len(front.points)
    axes = list(figure.subplots(1, 2 if split else 1, squeeze=False).flat)
    _points(axes[0], front.points)
    axes[0].set_ylabel("Top-1 accuracy")
    if split:
        axes[0].set_title("all rows")
        _refer(axes[0], near)
        _points(axes[1], near)
        axes[1].set_title(f"those within {NEAR_PCT:g} % of the baseline")
    for each in axes:
        each.set_xlabel(f"{front.metric.title} (times)")
    far = [point for point in front.points if not (split and point in near)]
    for each, shown, named in zip(axes, (front.points, near), (far, near)):
        marks = [
            Mark(p.label if p in named else "", p.speedup, p.top1, p.speedup_ends, p.top1_ends)
            for p in shown
        ]
        place(figure, each, marks)


def _points(axes: Axes, shown: Sequence[Point]) -> None:
    for point in shown:
        axes.errorbar(
            point.speedup,
            point.top1,
            xerr=_bars(point.speedup, point.speedup_ends),
            yerr=_bars(point.top1, point.top1_ends),
            fmt="o",
            markersize=6 if point.on_front else 5.5,
            markerfacecolor=BLUE if point.on_front else PAGE,
            markeredgecolor=BLUE if point.on_front else INK,
            ecolor=MUTED,
            elinewidth=0.8,
            capsize=2,
        )
    best = sorted((p for p in shown if p.on_front), key=lambda point: point.speedup)
    axes.plot([p.speedup for p in best], [p.top1 for p in best], color=BLUE, zorder=1)
    axes.margins(0.1, 0.18)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + ROOM * (high - low))


def _refer(axes: Axes, near: Sequence[Point]) -> None:
    middle = sum(point.speedup for point in near) / len(near)
    axes.annotate(
        f"{len(near)} rows: see right",
        (middle, min(point.top1 for point in near)),
        xytext=(0, -16),
        textcoords="offset points",
        ha="center",
        fontsize=7.5,
        style="italic",
        color=MUTED,
    )


def _bars(value: float, ends: tuple[float, float] | None) -> list[list[float]] | None:
    """Return the lengths of a bar, never negative: a bound may lie past a rounded estimate."""
    return [[max(0.0, value - ends[0])], [max(0.0, ends[1] - value)]] if ends else None
