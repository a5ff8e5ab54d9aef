"""Nights as lines: the value of each method and metric by night, its interval and its baseline."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from harness.nightly.entry import NightEntry, NightRow
from harness.nightly.judge import typical_s
from harness.nightly.verdict import BATCH, OPTIMIZE_MEMORY, VALIDATE_MEMORY, Key
from harness.stats.accuracy import share_interval
from harness.stats.intervals import LEVEL, Interval
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
            points = [None if row is None else measured(row, metric.name) for row in rows]
            if any(points):
                bases = _baselines(nights, rows, _values(points), (method, metric.name), tasks)
                lines.append(_trend(method, metric, points, bases))
    return lines


def measured(row: NightRow, metric: str) -> Interval | None:
    """Return a metric of a row as it was stored, with its interval; None if it was not measured.

    The ends are NaN where the night alone knows no interval: of what is measured once, and of too few
    rounds.
    """
    if metric in row.once:
        figure = row.once[metric]
        return None if figure is None else Interval(figure, math.nan, math.nan, LEVEL)
    if metric == BATCH.name:
        if row.times is None or not row.times.size:
            return None
        if row.timing is None:
            return Interval(typical_s(row.times), math.nan, math.nan, LEVEL)
        return row.timing.seconds()
    if row.correct is None:
        return None
    right = row.correct[(TOP1.name, TOP5.name).index(metric)]
    return share_interval(int(right.sum()), right.size)


def _trend(
    method: str,
    metric: ShownMetric,
    points: Sequence[Interval | None],
    bases: tuple[Floats, Floats],
) -> Trend:
    low = np.array([math.nan if point is None else point.low for point in points])
    high = np.array([math.nan if point is None else point.high for point in points])
    parts = [_values(points), low, high, *bases]
    return Trend(method, metric, *(metric.factor * part for part in parts))


def _values(points: Sequence[Interval | None]) -> Floats:
    return np.array([math.nan if point is None else point.estimate for point in points])


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
    counting: dict[str, list[int]] = {}  # places of the nights that count, by their task
    places = {night.run: at for at, night in enumerate(nights)}
    acknowledged: dict[str, int] = {}  # place of the latest acknowledgement, by the task
    known = values.tolist()  # for one at a time, numbers of Python are faster than NumPy's
    disturbed = [_is_disturbed(night, row, key) for night, row in zip(nights, rows)]
    for at, night in enumerate(nights):
        if not night.is_judged:
            continue
        good = counting.setdefault(tasks[at], [])
        counts = (n for n in reversed(good) if night.trusts_disturbed or not disturbed[n])
        before = [known[n] for n in islice(counts, night.compared_with)]
        if before:
            low[at], high[at] = min(before), max(before)
        starts = [places.get(one.since, at) for one in night.open if one.key == key]
        starts = starts or ([at] if key in night.regressions else [])
        starts = [start for start in starts if start > acknowledged.get(tasks[at], -1)]
        if night.acknowledges(*key):
            acknowledged[tasks[at]] = at
            good[:] = [] if math.isnan(known[at]) else [at]
        elif starts:
            good[:] = [n for n in good if n < min(starts)]
        elif not math.isnan(known[at]):
            good.append(at)
    return low, high


def _is_disturbed(night: NightEntry, row: NightRow | None, key: Key) -> bool:
    """Return whether the time of a row is no baseline unless disturbed times are trusted."""
    if key[1] != BATCH.name or row is None or night.acknowledges(*key):
        return False
    return row.has_disturbed_times
