"""Shifts in the history of a row: lasting changes, as opposed to single spikes.

Segments of the series minimise the sum of absolute deviations from their medians, which a single spike
does not move, plus a penalty a segment: the exact optimum of PELT's problem (Killick, Fearnhead and
Eckley, "Optimal detection of changepoints with a linear computational cost", JASA 107, 2012) by dynamic
programming (Jackson et al., "An algorithm for optimal partitioning of data on an interval", IEEE Signal
Processing Letters 12, 2005). Each boundary is then tested, as in E-divisive with t-tests (Fleming,
Kolaczkowski et al., "Hunter: using change point detection to hunt for performance regressions", ICPE
2023, the method of Apache Otava): the segments on either side must differ by Mann and Whitney's test and
by the threshold. The weakest boundary that fails is removed first, and its neighbours are tested anew
with the longer segment between them. So a drift in steps below the threshold is a shift as soon as
all steps together reach it.

The estimand of ``Shift.ratio`` is the ratio of the medians of the two segments.

The rank test of a boundary takes its place for known, yet the place was searched for. ``Shift.p_value``
says so: it is the chance that the best of all places of the two segments together shows so much, where
nothing changed. It is the smaller of two upper bounds: Bonferroni's over the places, and the normal
approximation of the largest standardised rank sum (Miller and Siegmund, "Maximally selected chi square
statistics", Biometrics 38, 1982; for ranks Lausen and Schumacher, "Maximally selected rank statistics",
Biometrics 48, 1992).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

FEWEST = 4  # runs on either side: with fewer no rank test reaches LEVEL
LEVEL = 0.03  # of the rank test at a known place; four against four that all lie apart have 0.029
PENALTY = 3.0  # times log n and the noise: a new segment must take off so much
EXACT = (
    20 * 20
)  # pairs of runs up to which the rank test is exact; its time grows with their square

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shift:
    """A change that lasts.

    Attributes:
        at: index of the first value after it.
        ratio: of the medians of the segments, after to before.
        p_value: that the series of both segments has no change at any place.
    """

    at: int
    ratio: float
    p_value: float


@dataclass(frozen=True)
class _Boundary:
    """A place between two segments.

    Attributes:
        difference: of the medians of the logarithms.
        p_value: of the rank test at this place.
        strength: how far it is from counting; it counts from 1 on.
    """

    at: int
    difference: float
    p_value: float
    strength: float


def shifts(values: Sequence[float], least: float) -> tuple[Shift, ...]:
    """Return the shifts of a series, oldest first.

    Args:
        values: positive, oldest first: one a run, such as seconds of a batch.
        least: smallest change of the ratio from 1 that counts.

    Raises:
        ValueError: a value is not positive and finite.
    """
    positive = np.asarray(values, dtype=np.float64)
    if not (np.isfinite(positive).all() and (positive > 0).all()):
        raise ValueError("a value is not positive and finite")
    series = np.log(positive)
    if len(series) < 2 * FEWEST:
        return ()
    noise = float(np.median(np.abs(np.diff(series)))) / 0.954  # of steps of normal noise, to one sd
    penalty = PENALTY * math.log(len(series)) * max(noise, least / 10, 1e-12)
    ends = [0, *segment_ends(series, penalty)]
    places = [
        _boundary(series, start, at, end, least) for start, at, end in zip(ends, ends[1:], ends[2:])
    ]
    while places and min(place.strength for place in places) < 1:
        weakest = min(range(len(places)), key=lambda number: places[number].strength)
        del ends[weakest + 1], places[weakest]
        for number in range(max(weakest - 1, 0), min(weakest + 1, len(places))):
            start, at, end = ends[number : number + 3]
            places[number] = _boundary(series, start, at, end, least)
    return tuple(
        Shift(place.at, math.exp(place.difference), searched(place.p_value, end - start))
        for place, start, end in zip(places, ends, ends[2:])
    )


def segment_ends(values: Floats, penalty: float) -> list[int]:
    """Return where the segments of the least absolute deviations end, the last at the series' end.

    Args:
        values: (n,), n at least ``FEWEST``.
        penalty: what a segment more must take off the sum of absolute deviations.
    """
    count = len(values)
    costs = np.full((count + 1, count), np.inf)  # of a segment, by its end and its start
    stored = values.astype(np.float64).tobytes()
    for end in range(FEWEST, count + 1):
        costs[end, : end - FEWEST + 1] = _deviations_to_end(stored[: end * values.itemsize])
    best = np.full(count + 1, np.inf)
    best[0] = 0.0
    starts_of = np.zeros(count + 1, dtype=np.int64)
    for end in range(FEWEST, count + 1):
        totals = best[:end] + costs[end, :end]
        starts_of[end] = totals.argmin()
        best[end] = totals[starts_of[end]] + penalty
    ends = [count]
    while starts_of[ends[-1]]:
        ends.append(int(starts_of[ends[-1]]))
    return ends[::-1]


@lru_cache(maxsize=4096)
def _deviations_to_end(values: bytes) -> Floats:
    """Return the sums of absolute deviations from the median of all segments that end a series.

    They are kept, since a series grows by a value a night and is searched every night. The segments grow
    backwards, sorted, with the sum of their lower half.

    Args:
        values: of (n,) float64.

    Returns:
        (n - FEWEST + 1,), by the start of the segment.
    """
    series = np.frombuffer(values).tolist()
    ascending: list[float] = []
    lower = total = 0.0
    sums = []
    for value in reversed(series):
        half, is_odd = divmod(len(ascending), 2)
        at = bisect_right(ascending, value)
        ascending.insert(at, value)
        if is_odd:
            lower += value if at <= half else ascending[half]
        elif at < half:
            lower += value - ascending[half]
        total += value
        middle = 0.0 if is_odd else ascending[half]  # an odd number of values has one in the middle
        sums.append(total - middle - 2 * lower)
    return np.array(sums[: FEWEST - 2 : -1])


def searched(p_value: float, count: int) -> float:
    """Return the p-value of the best of all places of a series, from the one at that place.

    Args:
        p_value: two-sided, of the test at a known place.
        count: values of the series; a place has at least ``FEWEST`` on either side.
    """
    places = count - 2 * FEWEST + 1
    bound = min(places * p_value, 1.0)
    if places == 1 or not 0 < p_value < 0.3:  # the approximation is one of small probabilities
        return bound
    z = -float(ndtri(p_value / 2))
    edge = FEWEST / count
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return min(bound, density * ((z - 1 / z) * 2 * math.log((1 - edge) / edge) + 4 / z))


def _boundary(series: Floats, start: int, at: int, end: int, least: float) -> _Boundary:
    from scipy.stats import mannwhitneyu  # takes 0.4 s, and most nights have no boundary to test

    before, after = series[start:at], series[at:end]
    difference = float(np.median(after) - np.median(before))
    method = "exact" if len(before) * len(after) <= EXACT else "asymptotic"
    p_value = float(mannwhitneyu(before, after, method=method).pvalue)
    size = abs(difference) / math.log1p(least)
    return _Boundary(at, difference, p_value, min(size, LEVEL / max(p_value, 1e-300)))
