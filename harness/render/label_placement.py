"""Place labels beside their points where they cover neither a point, a bar, a line nor one another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.render.drawing import MUTED, shortened

PLACES = [  # offsets in points, the preferred first
    (x * far, y * far)
    for far in (1.0, 1.7, 2.6, 3.8, 5.2, 7.0, 9.5, 12.5)
    for x, y in (
        *((7, 0), (-7, 0), (5, 5), (5, -5), (-5, 5), (-5, -5), (0, 7), (0, -7)),
        *((6.5, 2.7), (6.5, -2.7), (-6.5, 2.7), (-6.5, -2.7)),
    )
]
SIDES = {  # by an offset's sign
    -1: ("right", "top"),
    0: ("center", "center"),
    1: ("left", "bottom"),
}
SIZE_PT = 7.5
GAP_PX = 1.0  # around a label
FAR_PT = 10.0  # from here on a thin line leads to the point
MARKER_PX, BAR_PX = 5.0, 1.0  # half of their widths
NEAR_PX = 14.0  # around a point: the label of another one would seem to be this one's
OUTSIDE, ON_LABEL, ON_POINT, ON_LINE = 1000.0, 20.0, 10.0, 4.0  # costs of what a place covers
BY_OTHER = 6.0  # and of standing near another point
FARTHER = 0.01  # cost of each place before it in the list
PASSES = 4  # in which each label may move, given all the others
Ends = tuple[float, float]
Box = tuple[float, float, float, float]  # left, low, right, high, in pixels
Segment = tuple[float, float, float, float]  # from x, y to x, y, in pixels


@dataclass(frozen=True)
class Mark:
    """A point with its bars, in data units; ``label`` is empty where none is wanted."""

    label: str
    x: float
    y: float
    x_ends: Ends | None = None
    y_ends: Ends | None = None


@dataclass(frozen=True)
class Placed:
    """A label at a place: its box, and the line that leads to its point where that is far."""

    offset: tuple[float, float]
    box: Box
    leader: Segment | None


def place(
    figure: Figure, axes: Axes, marks: Sequence[Mark], line: Sequence[tuple[float, float]] = ()
) -> list[Placed]:
    """Label points, each where label and leader cover least; return the places.

    It ends the figure's automatic layout: all else must have been drawn.

    Args:
        line: points of a drawn line, in data units, which labels should not cover.
    """
    figure.draw_without_rendering()  # the layout fixes where the axes are
    figure.set_layout_engine("none")
    wanted = [mark for mark in marks if mark.label]
    labels = shortened([mark.label for mark in wanted])
    places = [_places(axes, mark, label) for mark, label in zip(wanted, labels)]
    drawn = _Drawn(axes, marks, line)
    chosen: list[Placed] = []
    for mark, candidates in zip(wanted, places):  # one after the other, then all anew
        chosen.append(drawn.best(mark, candidates, chosen))
    for _ in range(PASSES):
        before = list(chosen)
        for at, (mark, candidates) in enumerate(zip(wanted, places)):
            chosen[at] = drawn.best(mark, candidates, chosen[:at] + chosen[at + 1 :])
        if chosen == before:
            break
    for mark, label, placed in zip(wanted, labels, chosen):
        _write(axes, mark, label, placed)
    return chosen


class _Drawn:
    """What is drawn in the axes already, in pixels."""

    def __init__(
        self, axes: Axes, marks: Sequence[Mark], line: Sequence[tuple[float, float]]
    ) -> None:
        self.within = _box(*axes.get_window_extent().extents)
        self.points = {mark: _marker(axes, mark) for mark in marks}
        self.bars = [bar for mark in marks for bar in _bars(axes, mark)]
        pixels = [_pixels(axes, *point) for point in line]
        self.line = [(*start, *end) for start, end in zip(pixels, pixels[1:])]

    def best(self, mark: Mark, candidates: Sequence[Placed], others: Sequence[Placed]) -> Placed:
        """Return the candidate that covers least beside the others' places."""
        best, least = candidates[0], math.inf
        for at, candidate in enumerate(candidates):
            if FARTHER * at >= least:
                break  # the farther ones cost more, even if they cover nothing
            cost = self._cost(mark, candidate, others) + FARTHER * at
            if cost < least:
                best, least = candidate, cost
        return best

    def _cost(self, mark: Mark, placed: Placed, others: Sequence[Placed]) -> float:
        box, leader = placed.box, placed.leader
        cost = ON_POINT * sum(overlap(box, point) for point in self.points.values())
        cost += BY_OTHER * sum(
            overlap(box, _grown(point)) for one, point in self.points.items() if one != mark
        )
        cost += ON_POINT * sum(overlap(box, bar) for bar in self.bars)
        cost += ON_LINE * sum(crosses(segment, box) for segment in self.line)
        cost += ON_LABEL * sum(overlap(box, other.box) for other in others)
        cost += ON_LABEL * sum(bool(o.leader and crosses(o.leader, box)) for o in others)
        if not _inside(box, self.within):
            cost += OUTSIDE
        if leader is not None:
            own = self.points[mark]
            far = [point for point in self.points.values() if not overlap(point, own)]
            cost += ON_POINT * sum(crosses(leader, point) for point in far)
            cost += ON_LABEL * sum(crosses(leader, other.box) for other in others)
            cost += ON_LINE * sum(bool(o.leader and meet(leader, o.leader)) for o in others)
        return cost


def overlap(one: Box, other: Box) -> bool:
    """Say whether two boxes have a point in common."""
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def crosses(segment: Segment, box: Box) -> bool:
    """Say whether a part of a segment is in a box (Liang and Barsky's clipping)."""
    x0, y0, x1, y1 = segment
    start, end = 0.0, 1.0
    for way, room in (
        (x0 - x1, x0 - box[0]),
        (x1 - x0, box[2] - x0),
        (y0 - y1, y0 - box[1]),
        (y1 - y0, box[3] - y0),
    ):
        if way == 0:
            if room < 0:
                return False
        elif way < 0:
            start = max(start, room / way)
        else:
            end = min(end, room / way)
    return start <= end


def meet(one: Segment, other: Segment) -> bool:
    """Say whether two segments cross."""

    def side(segment: Segment, x: float, y: float) -> float:
        x0, y0, x1, y1 = segment
        return (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)

    apart = side(one, *other[:2]) * side(one, *other[2:])
    return apart < 0 and side(other, *one[:2]) * side(other, *one[2:]) < 0


def _grown(box: Box) -> Box:
    return (box[0] - NEAR_PX, box[1] - NEAR_PX, box[2] + NEAR_PX, box[3] + NEAR_PX)


def _inside(box: Box, within: Box) -> bool:
    return (
        within[0] <= box[0] and within[1] <= box[1] and box[2] <= within[2] and box[3] <= within[3]
    )


def _places(axes: Axes, mark: Mark, label: str) -> list[Placed]:
    text = axes.text(mark.x, mark.y, label, fontsize=SIZE_PT)
    size = text.get_window_extent()
    text.remove()
    return [_placed(axes, mark, offset, size.width, size.height) for offset in PLACES]


def _placed(
    axes: Axes, mark: Mark, offset: tuple[float, float], width: float, height: float
) -> Placed:
    x, y = _pixels(axes, mark.x, mark.y)
    pixels = axes.get_figure().dpi / 72  # type: ignore[union-attr]
    at_x, at_y = x + offset[0] * pixels, y + offset[1] * pixels
    left = at_x - width * (1 - _sign(offset[0])) / 2
    low = at_y - height * (1 - _sign(offset[1])) / 2
    box = (left - GAP_PX, low - GAP_PX, left + width + GAP_PX, low + height + GAP_PX)
    is_far = abs(offset[0]) + abs(offset[1]) > FAR_PT
    return Placed(offset, box, (x, y, at_x, at_y) if is_far else None)


def _write(axes: Axes, mark: Mark, label: str, placed: Placed) -> None:
    dx, dy = placed.offset
    leader = {
        "arrowstyle": "-",
        "color": MUTED,
        "linewidth": 0.4,
        "shrinkA": 0,
        "shrinkB": 3,
        "relpos": ((1 - _sign(dx)) / 2, (1 - _sign(dy)) / 2),  # of the text, where the line begins
    }
    axes.annotate(
        label,
        (mark.x, mark.y),
        xytext=(dx, dy),
        textcoords="offset points",
        ha=SIDES[_sign(dx)][0],
        va=SIDES[_sign(dy)][1],
        fontsize=SIZE_PT,
        arrowprops=leader if placed.leader else None,
    )


def _sign(offset: float) -> int:
    return (offset > 0) - (offset < 0)


def _pixels(axes: Axes, x: float, y: float) -> tuple[float, float]:
    across, up = axes.transData.transform((x, y))
    return float(across), float(up)


def _marker(axes: Axes, mark: Mark) -> Box:
    x, y = _pixels(axes, mark.x, mark.y)
    return (x - MARKER_PX, y - MARKER_PX, x + MARKER_PX, y + MARKER_PX)


def _bars(axes: Axes, mark: Mark) -> list[Box]:
    spans = []
    if mark.x_ends:
        spans.append((mark.x_ends, (mark.y, mark.y)))
    if mark.y_ends:
        spans.append(((mark.x, mark.x), mark.y_ends))
    boxes = []
    for (x0, x1), (y0, y1) in spans:
        left, low = _pixels(axes, x0, y0)
        right, high = _pixels(axes, x1, y1)
        boxes.append((left - BAR_PX, low - BAR_PX, right + BAR_PX, high + BAR_PX))
    return boxes


def _box(left: float, low: float, right: float, high: float) -> Box:
    return (float(left), float(low), float(right), float(high))
