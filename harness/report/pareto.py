"""Accuracy against speedup, and which rows no other row beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.table.metrics import INFERENCE_SPEEDUP, SPEEDUP, Metric
from harness.table.rows import Row

Ends = tuple[float, float]


@dataclass(frozen=True)
class Point:
    """A row.

    Attributes:
        top1: 0 .. 1.
        speedup_ends: of its 95 % interval, None where there is none.
        top1_ends: of its 95 % interval given the baseline's accuracy, from that of the paired loss.
        on_front: no other row is at least as fast and as accurate, and better in one of them.
    """

    label: str
    speedup: float
    top1: float
    loss_pct: float
    speedup_ends: Ends | None
    top1_ends: Ends | None
    on_front: bool


@dataclass(frozen=True)
class Front:
    """The points, and the metric of the table that their speedup is."""

    metric: Metric
    points: tuple[Point, ...]


def pareto(rows: Sequence[Row]) -> Front:
    """Return the rows with an accuracy and a speedup, in their order.

    The speedup is that of inference where rounds timed it, else that of the validation pass, as
    published.
    """
    metric = INFERENCE_SPEEDUP if any(row.rounds for row in rows) else SPEEDUP
    whole = [row for row in rows if _position(row, metric) is not None]
    found = [_position(row, metric) for row in whole]
    points = []
    for row, mine in zip(whole, found):
        assert mine is not None and row.top1_rel_loss_pct is not None
        beaten = any(other is not None and _beats(other, mine) for other in found)
        ends = row.intervals.get(metric.name)
        points.append(
            Point(
                label=row.label,
                speedup=mine[0],
                top1=mine[1],
                loss_pct=row.top1_rel_loss_pct,
                speedup_ends=(ends.low, ends.high) if ends else None,
                top1_ends=_top1_ends(row),
                on_front=not beaten,
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
