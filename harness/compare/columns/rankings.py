"""Which differences between types of machines hold, for each method, and which do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.compare.columns.column import Column
from harness.compare.columns.method_values import MethodInRun, side_of
from harness.stats.intervals import Interval
from harness.stats.machines import Difference, Side, differences


@dataclass(frozen=True)
class Ranked:
    """The types that a method was measured on several machines of, and their differences.

    Attributes:
        columns: indices of the types' columns, which ``Difference`` counts in.
        speed: of images/s, the second type's over the first's.
        cost: of the cost of a million images; empty where a price is not known.
    """

    method: str
    label: str
    columns: tuple[int, ...]
    speed: tuple[Difference, ...]
    cost: tuple[Difference, ...]


def rank(
    method: str, label: str, entries: Sequence[MethodInRun], columns: Sequence[Column]
) -> Ranked | None:
    """Return the differences of a method between types; None for fewer than two types.

    All pairs of types of one method are adjusted together, for speed and for cost.
    """
    sides: dict[int, Side] = {}
    for at, entry in enumerate(entries):
        side = side_of(entry)
        if side is not None:
            sides[at] = side
    if len(sides) < 2:
        return None
    speed = differences(list(sides.values()))
    prices = [columns[at].price for at in sides]
    hours = [price.per_hour for price in prices if price.per_hour is not None]
    cost: Sequence[Difference] = ()
    if len(hours) == len(prices) and len({price.currency for price in prices}) == 1:
        per_image = [
            replace(side, log=float(np.log(hour)) - side.log)
            for side, hour in zip(sides.values(), hours)
        ]
        cost = differences(per_image)
    return Ranked(method, label, tuple(sides), tuple(speed), tuple(cost))


def in_words(one: Difference, better: str) -> tuple[str, str]:
    """Return whether a difference holds, with its ratio, and the ends of the ratio's interval.

    Args:
        better: what a ratio above 1 is, such as ``faster``.
    """
    ends = f"[{_shown(one.ratio, one.ratio.low)}, {_shown(one.ratio, one.ratio.high)}]"
    verdict = f"{better}, p {one.p_value:.2g}" if one.holds else f"not shown, p {one.p_value:.2g}"
    return f"{_shown(one.ratio, one.ratio.estimate)} {verdict}", ends


def _shown(ratio: Interval, value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.3g}"
