"""Accuracy against speedup, and which rows no other row beats in both: the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.render.drawing import (
    BLUE,
    INK,
    MUTED,
    PAGE,
    Drawing,
    Words,
    is_narrow,
    missing,
    render_figure,
)
from harness.render.label_placement import Mark, place
from harness.storage.method_options import Tuning
from harness.table.loaded_run import LoadedRun
from harness.table.metrics import Metric
from harness.table.rows import Row, main_speedup
from harness.table.searches import is_accurate

NAME, TITLE = "accuracy_speedup", "Accuracy against speedup"
CROWD = 3  # rows that meet the criterion, from which on they get a panel of their own
ROOM = 0.3  # for labels, as a share of the width
Ends = tuple[float, float]


@dataclass(frozen=True)
class Point:
    """A row with an accuracy and a speedup.

    Attributes:
        top1: 0 .. 1.
        speedup_ends: of its 95 % interval, None where there is none.
        top1_ends: of its 95 % interval given the baseline's accuracy, from that of the paired loss.
        on_front: no other row is at least as fast and as accurate, and better in one of them.
        accurate: its top-1 meets the tuning's criterion.
    """

    method: str
    label: str
    speedup: float
    top1: float
    speedup_ends: Ends | None
    top1_ends: Ends | None
    on_front: bool
    accurate: bool


@dataclass(frozen=True)
class Front:
    """The points, and the metric of the table that their speedup is."""

    metric: Metric
    points: tuple[Point, ...]


def figure(run: LoadedRun) -> Drawing:
    """Return the figure of a run."""
    return draw(pareto(run.rows, run.plan.config.tuning))


def pareto(rows: Sequence[Row], tuning: Tuning) -> Front:
    """Return the rows with an accuracy and a speedup, in their order."""
    metric = main_speedup(rows)
    positions = [(row, _position(row, metric)) for row in rows]
    known = [(row, position) for row, position in positions if position is not None]
    points = []
    for row, mine in known:
        beaten = any(_beats(other, mine) for _, other in known)
        ends = row.intervals.get(metric.name)
        points.append(
            Point(
                method=row.method,
                label=row.label,
                speedup=mine[0],
                top1=mine[1],
                speedup_ends=(ends.low, ends.high) if ends else None,
                top1_ends=_top1_ends(row),
                on_front=not beaten,
                accurate=is_accurate(row, tuning) is True,
            )
        )
    return Front(metric, tuple(points))


def _position(row: Row, metric: Metric) -> Ends | None:
    speedup = getattr(row, metric.name)
    if speedup is None or row.top1 is None or row.top1_rel_loss_pct is None:
        return None
    return speedup, row.top1


def _beats(one: Ends, other: Ends) -> bool:
    return one[0] >= other[0] and one[1] >= other[1] and one != other


def _top1_ends(row: Row) -> Ends | None:
    ends = row.intervals.get("top1_rel_loss_pct")
    if ends is None or row.top1 is None or row.top1_rel_loss_pct is None:
        return None
    kept = 1 - row.top1_rel_loss_pct / 100
    if not kept:
        return None
    baseline = row.top1 / kept
    return baseline * (1 - ends.high / 100), baseline * (1 - ends.low / 100)


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
                point.label,
                f"{point.speedup:.2f}",
                _ends(point.speedup_ends, 2),
                f"{point.top1:.4f}",
                _ends(point.top1_ends, 4),
                "yes" if point.on_front else "no",
            )
            for point in front.points
        ],
    )
    narrow_in = 5.6 if _split(front) else 3.0
    return render_figure(words, 3.4, lambda figure: _fill(figure, front), narrow_in)


def _described(front: Front) -> str:
    best = sorted((p for p in front.points if p.on_front), key=lambda point: point.speedup)
    named = ", ".join(f"{p.label} ({p.speedup:.1f} times, {p.top1:.4f})" for p in best)
    return f"{len(front.points)} rows; on the Pareto front, from slow to fast: {named}."


def _ends(ends: tuple[float, float] | None, digits: int) -> str:
    return f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}" if ends else "-"


def _near(front: Front) -> list[Point]:
    return [point for point in front.points if point.accurate]


def _split(front: Front) -> bool:
    """Say whether the rows that meet the criterion get a panel of their own."""
    return CROWD <= len(_near(front)) < len(front.points)


def _fill(figure: Figure, front: Front) -> None:
    near, split, stacked = _near(front), _split(front), is_narrow(figure)
    rows, columns = (2, 1) if stacked else (1, 2)
    axes = list(figure.subplots(*((rows, columns) if split else (1, 1)), squeeze=False).flat)
    _points(axes[0], front.points)
    axes[0].set_ylabel("Top-1 accuracy")
    if split:
        axes[0].set_title("all rows")
        _refer(axes[0], near, "below" if stacked else "right")
        _points(axes[1], near)
        axes[1].set_ylabel("Top-1 accuracy" if stacked else "")
        axes[1].set_title("those that meet the tuning's criterion")
    for one in axes:
        one.set_xlabel(f"{front.metric.title} (times)")
    far = [point for point in front.points if not (split and point in near)]
    for one, shown, named in zip(axes, (front.points, near), (far, near)):
        marks = [
            Mark(p.label if p in named else "", p.speedup, p.top1, p.speedup_ends, p.top1_ends)
            for p in shown
        ]
        place(figure, one, marks, _joined(shown))


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
    joined = _joined(shown)
    axes.plot([x for x, _ in joined], [y for _, y in joined], color=BLUE, zorder=1)
    axes.margins(0.1, 0.18)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + ROOM * (high - low))


def _joined(shown: Sequence[Point]) -> list[Ends]:
    """Return where the line of the front goes, from slow to fast."""
    return sorted((p.speedup, p.top1) for p in shown if p.on_front)


def _refer(axes: Axes, near: Sequence[Point], where: str) -> None:
    middle = sum(point.speedup for point in near) / len(near)
    axes.annotate(
        f"{len(near)} rows: see {where}",
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
