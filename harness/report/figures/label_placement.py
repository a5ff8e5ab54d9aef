"""Place labels beside their points where they cover neither a point, a bar nor one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from harness.report.figures.drawing import MUTED, shortened

PLACES = [  # offsets in points, the preferred first
    (x * far, y * far)
    for far in (1.0, 1.7, 2.6, 3.8, 5.2, 7.0)
    for x, y in ((7, 0), (-7, 0), (5, 5), (5, -5), (-5, 5), (-5, -5), (0, 7), (0, -7))
]
SIDES = {
    -1: ("right", "top"),
    0: ("center", "center"),
    1: ("left", "bottom"),
}  # by an offset's sign
SIZE_PT = 7.5
OUTSIDE = 100  # worse than covering anything
FAR_PT = 10.0  # from here on a thin line leads to the point
MARKER_PX, BAR_PX = 5.0, 1.0  # half of their widths
Ends = tuple[float, float]


@dataclass(frozen=True)
class Mark:
    """A point with its bars, in data units; ``label`` is empty where none is wanted."""

    label: str
    x: float
    y: float
    x_ends: Ends | None = None
    y_ends: Ends | None = None


def place(figure: Figure, axes: Axes, marks: Sequence[Mark]) -> None:
    """Label points; each label takes the place that covers least, the first of several.

    It ends the figure's automatic layout: all else must have been drawn.
    """
    figure.draw_without_rendering()  # the layout fixes where the axes are
    figure.set_layout_engine("none")
    taken = [box for mark in marks for box in _boxes(axes, mark)]
    wanted = [mark for mark in marks if mark.label]
    for mark, label in zip(wanted, shortened([mark.label for mark in wanted])):
        text = axes.text(mark.x, mark.y, label, fontsize=SIZE_PT)
        size = text.get_window_extent()
        text.remove()
        boxes = [_box_at(axes, mark, place, size) for place in PLACES]
        costs = [_covered(axes, box, taken) for box in boxes]
        best = costs.index(min(costs))
        taken.append(boxes[best])
        _write(axes, mark, label, *PLACES[best])


def _box_at(axes: Axes, mark: Mark, place: tuple[float, float], size: Bbox) -> Bbox:
    """Return the box of a label of this size at a place, in pixels."""
    x, y = axes.transData.transform((mark.x, mark.y))
    pixels = axes.get_figure().dpi / 72  # type: ignore[union-attr]
    left, low = x + place[0] * pixels, y + place[1] * pixels
    left -= size.width * (1 - _sign(place[0])) / 2
    low -= size.height * (1 - _sign(place[1])) / 2
    return Bbox.from_bounds(left, low, size.width, size.height)


def _covered(axes: Axes, box: Bbox, taken: Sequence[Bbox]) -> int:
    within = axes.get_window_extent()
    outside = not (within.x0 <= box.x0 and box.x1 <= within.x1)
    outside = outside or not (within.y0 <= box.y0 and box.y1 <= within.y1)
    return OUTSIDE * outside + sum(box.overlaps(other) for other in taken)


def _write(axes: Axes, mark: Mark, label: str, dx: float, dy: float) -> None:
    leader = {
        "arrowstyle": "-",
        "color": MUTED,
        "linewidth": 0.4,
        "shrinkA": 0,
        "shrinkB": 3,
    }
    axes.annotate(
        label,
        (mark.x, mark.y),
        xytext=(dx, dy),
        textcoords="offset points",
        ha=SIDES[_sign(dx)][0],
        va=SIDES[_sign(dy)][1],
        fontsize=SIZE_PT,
        arrowprops=leader if abs(dx) + abs(dy) > FAR_PT else None,
    )


def _sign(offset: float) -> int:
    return (offset > 0) - (offset < 0)


def _boxes(axes: Axes, mark: Mark) -> list[Bbox]:
    """Return the boxes that a mark covers, in pixels."""
    spans = [((mark.x, mark.x), (mark.y, mark.y), MARKER_PX)]
    if mark.x_ends:
        spans.append((mark.x_ends, (mark.y, mark.y), BAR_PX))
    if mark.y_ends:
        spans.append(((mark.x, mark.x), mark.y_ends, BAR_PX))
    boxes = []
    for (x0, x1), (y0, y1), half in spans:
        left, low = axes.transData.transform((x0, y0))
        right, high = axes.transData.transform((x1, y1))
        boxes.append(Bbox.from_extents(left - half, low - half, right + half, high + half))
    return boxes
