"""Nights as lines: the value of each method and metric by night, its interval and its baseline."""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.nightly.entry import NightEntry, NightRow
from harness.nightly.judge import typical_s
from harness.nightly.verdict import BATCH, OPTIMIZE_MEMORY, VALIDATE_MEMORY, Key
from harness.stats.accuracy import share_interval
from harness.stats.intervals import Interval
from harness.table.metrics import COST, TOP1, TOP5

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ShownMetric:
    """A metric as the page shows it.

    Attributes:
        unit: of what is shown, which is ``factor`` times the stored value.
    """

    name: str
    title: str
    unit: str
    factor: float


SHOWN = (
    ShownMetric(BATCH.name, "Time of a batch", "ms", 1e3),
    ShownMetric(COST.name, "Cost of optimising", "s", 1.0),
    ShownMetric(OPTIMIZE_MEMORY.name, "Memory of optimising", "MB", 1.0),
    ShownMetric(VALIDATE_MEMORY.name, "Memory of validation", "MB", 1.0),
    ShownMetric(TOP1.name, "Top-1 accuracy", "%", 100.0),
    ShownMetric(TOP5.name, "Top-5 accuracy", "%", 100.0),
)


class Point(NamedTuple):
    """A value and the ends of its interval, NaN where they are not known."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Trend:
    """A metric of a method over the nights, in the unit that is shown; NaN where nothing is known.

    Attributes:
        value: (nights,)
        low, high: the ends of the 95 % interval of the night alone.
        base_low, base_high: the range of the good nights that the night counts as compared with.
    """

    method: str
    metric: ShownMetric
    value: Floats
    low: Floats
    high: Floats
    base_low: Floats
    base_high: Floats


def trends(nights: Sequence[NightEntry]) -> list[Trend]:
    """Return the lines of a machine: by metric, then by method, without those that were never measured.

    Args:
        nights: oldest first.
    """
    methods = list(dict.fromkeys(row.method for night in nights for row in night.rows))
    tasks = [json.dumps(night.alike, sort_keys=True) for night in nights]
    lines = []
    for metric in SHOWN:
        for method in methods:
            rows = [night.row(method) for night in nights]
            found = [None if row is None else measured(row, metric.name) for row in rows]
            if any(found):
                points = [point or Point() for point in found]
                value, *ends = (np.array(part) for part in zip(*points))
                bases = _baselines(nights, rows, value, (method, metric.name), tasks)
                parts = (metric.factor * part for part in (value, *ends, *bases))
                lines.append(Trend(method, metric, *parts))
    return lines


def measured(row: NightRow, metric: str) -> Point | None:
    """Return a metric of a row as it was stored; None if it was not measured.

    The night alone knows no interval of what is measured once, and of too few rounds.
    """
    if metric in row.once:
        figure = row.once[metric]
        return None if figure is None else Point(figure)
    if metric == BATCH.name:
        if row.times is None or not row.times.size:
            return None
        if row.timing is None:
            return Point(typical_s(row.times))
        return _point(row.timing.seconds())
    if row.correct is None:
        return None
    right = row.correct[(TOP1.name, TOP5.name).index(metric)]
    return _share(int(np.count_nonzero(right)), right.size)


@lru_cache  # nights of an unchanged model are right alike
def _share(right: int, images: int) -> Point:
    return _point(share_interval(right, images))


def _point(interval: Interval) -> Point:
    return Point(interval.estimate, interval.low, interval.high)


class _GoodNights:
    """The nights so far that count as good, by their places, and their values."""

    def __init__(self) -> None:
        self._places: list[int] = []
        self._values: list[float] = []

    def add(self, place: int, value: float) -> None:
        self._places.append(place)
        self._values.append(value)

    def cut_from(self, place: int) -> None:
        """Leave out the nights from a place on."""
        end = bisect_left(self._places, place)
        del self._places[end:], self._values[end:]

    def ends(self, count: int) -> tuple[float, float] | None:
        """Return the least and the largest value of the latest ones; None of none."""
        latest = self._values[-count:] if count else []
        return (min(latest), max(latest)) if latest else None


def _baselines(
    nights: Sequence[NightEntry],
    rows: Sequence[NightRow | None],
    values: Floats,
    key: Key,
    tasks: Sequence[str],
) -> tuple[Floats, Floats]:
    """Return the least and the largest value of the good nights before each night.

    It is what ``baseline.last_good`` chose when each night was judged, in one pass: nights that were
    measured alike, without those of an open regression, and from an acknowledgement on.

    Args:
        tasks: what must be alike of each night, as a text.
    """
    low, high = (np.full(len(nights), math.nan) for _ in range(2))
    counting: dict[str, tuple[_GoodNights, _GoodNights]] = {}  # by task: all; undisturbed ones
    places = {night.run: at for at, night in enumerate(nights)}
    acknowledged: dict[str, int] = {}  # place of the latest acknowledgement, by the task
    known = values.tolist()  # for one at a time, numbers of Python are faster than NumPy's
    for at, (night, row, task, value) in enumerate(zip(nights, rows, tasks, known)):
        if not night.is_judged:
            continue
        if task not in counting:
            counting[task] = _GoodNights(), _GoodNights()
        good, undisturbed = counting[task]
        ends = (good if night.trusts_disturbed else undisturbed).ends(night.compared_with)
        if ends is not None:
            low[at], high[at] = ends
        starts: list[int] = []
        if night.open or night.regressions:  # few have any
            starts = [places.get(one.since, at) for one in night.open if one.key == key]
            starts = starts or ([at] if key in night.regressions else [])
            starts = [start for start in starts if start > acknowledged.get(task, -1)]
        if night.acknowledges(*key):
            acknowledged[task], starts = at, []
            counting[task] = good, undisturbed = _GoodNights(), _GoodNights()
        if starts:
            good.cut_from(min(starts))
            undisturbed.cut_from(min(starts))
        elif not math.isnan(value):
            good.add(at, value)
            if not _is_disturbed(night, row, key):
                undisturbed.add(at, value)
    return low, high


def _is_disturbed(night: NightEntry, row: NightRow | None, key: Key) -> bool:
    """Return whether the time of a row is no baseline unless disturbed times are trusted."""
    if key[1] != BATCH.name or row is None or night.acknowledges(*key):
        return False
    return row.has_disturbed_times
