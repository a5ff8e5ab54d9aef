"""Detectors that search the history for places anew each night.

Each is written from its paper; the docstrings say where it departs from it.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import ttest_ind_from_stats

from benchmarks.verdicts.alarms import Search
from benchmarks.verdicts.noise import Floats
from harness.nightly.verdict import NIGHTLY
from harness.stats.changes import shifts


def ours(times: Floats) -> list[int]:
    """Search as the nights do: ``harness.stats.changes``."""
    return [shift.at for shift in shifts(times.tolist(), NIGHTLY.slower) if shift.ratio > 1]


def best_split(distances: Floats) -> tuple[int, float]:
    """Return the place that splits a segment best, and its energy statistic.

    Matteson and James, "A nonparametric approach for multiple change point analysis of multivariate
    data", JASA 109, 2014, section 2.3, with exponent 1: the maximum over the place and over the end of
    the right part.

    Args:
        distances: (n, n), n at least 2, between the values of the segment.
    """
    count = len(distances)
    sums = np.zeros((count + 1, count + 1))
    sums[1:, 1:] = distances.cumsum(axis=0).cumsum(axis=1)
    own = np.diag(sums)
    places = np.arange(1, count)[:, None]
    ends = np.arange(2, count + 1)[None, :]
    left, right = places, ends - places
    between = sums[1:count, 2:] - own[1:count, None]
    after = own[None, 2:] - 2 * sums[1:count, 2:] + own[1:count, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        total = left + right
        energy = 2 / total * between
        energy -= np.where(left > 1, right / (total * (left - 1)) * own[1:count, None], 0.0)
        energy -= np.where(right > 1, left / (total * (right - 1)) * after, 0.0)
    energy[right < 1] = -np.inf
    at = int(energy.argmax())
    return at // (count - 1) + 1, float(energy.flat[at])


def otava(least: float = 0.0, level: float = 0.001, window: int = 50) -> Search:
    """Return the search of Apache Otava, formerly Hunter, by default with its defaults.

    Fleming, Kolaczkowski et al., "Hunter: using change point detection to hunt for performance
    regressions", ICPE 2023: the best splits by energy of overlapping windows while Student's t-test
    reaches ten times the level; then the weakest is removed, and its neighbours are tested anew, until
    all that are left reach the level and the least change. Release 0.8.0 of apache-otava tests the two
    places after the removed one anew instead of its neighbours; all else is the same.
    """

    def search(times: Floats) -> list[int]:
        weak: set[int] = set()
        start = 0
        while start < len(times):
            part = times[start : start + window]
            places = _split(part, 10 * level)
            weak.update(start + place for place in places)
            start = max(start + window // 2, start + max(places, default=0))
        kept = sorted(weak)
        while kept:
            tests = _tested(times, kept)
            number, (p_value, _) = max(enumerate(tests), key=lambda test: test[1][0])
            if p_value < level:
                number, (_, size) = min(enumerate(tests), key=lambda test: test[1][1])
                if size > least:
                    break
            del kept[number]
        ends = (0, *kept, len(times))
        return [
            at for start, at, end in zip(ends, kept, ends[2:]) if _ratio(times, start, at, end) > 1
        ]

    return search


def _split(times: Floats, level: float) -> list[int]:
    distances = np.abs(times[:, None] - times[None, :])
    places: list[int] = []
    while True:
        best = (-math.inf, 0)
        for start, end in zip((0, *places), (*places, len(times))):
            if end - start > 1:
                place, energy = best_split(distances[start:end, start:end])
                best = max(best, (energy, start + place))
        if best[1] == 0 or best[1] in places:
            return places
        split = sorted([*places, best[1]])
        if _tested(times, split)[split.index(best[1])][0] > level:
            return places
        places = split


def _tested(times: Floats, places: list[int]) -> list[tuple[float, float]]:
    """Return the p-value and the relative size of each place."""
    ends = (0, *places, len(times))
    tests = []
    for start, at, end in zip(ends, ends[1:], ends[2:]):
        before, after = times[start:at], times[at:end]
        p_value = 1.0
        if len(before) + len(after) > 2:
            stats = (
                before.mean(),
                before.std(),
                len(before),
                after.mean(),
                after.std(),
                len(after),
            )
            with np.errstate(divide="ignore", invalid="ignore"):
                p_value = float(ttest_ind_from_stats(*stats).pvalue)
        ratio = float(after.mean() / before.mean())
        tests.append((0.0 if math.isnan(p_value) else p_value, max(ratio, 1 / ratio) - 1))
    return tests


def _ratio(times: Floats, start: int, at: int, end: int) -> float:
    return float(times[at:end].mean() / times[start:at].mean())


class PermutedEnergy:
    """E-divisive with permutation tests, as Matteson and James and MongoDB have it.

    The paper above, and Daly et al., "The use of change point detection to identify software
    performance regressions in a continuous integration system", ICPE 2020. The level is 5 %, of 39
    permutations where they have 99 to 499, for speed. It stops early where more permutations than the
    level allows were as extreme.
    """

    LEVEL, PERMUTATIONS = 0.05, 39

    def __call__(self, times: Floats) -> list[int]:
        rng = np.random.default_rng(len(times))
        ends = [0, len(times)]
        distances = np.abs(times[:, None] - times[None, :])
        while True:
            best = (-math.inf, 0)
            for start, end in zip(ends, ends[1:]):
                if end - start >= 4:
                    place, energy = best_split(distances[start:end, start:end])
                    best = max(best, (energy, start + place))
            if (
                best[1] == 0
                or best[1] in ends
                or not self._is_significant(rng, distances, ends, best[0])
            ):
                break
            ends = sorted([*ends, best[1]])
        return [
            at
            for start, at, end in zip(ends, ends[1:], ends[2:])
            if _ratio(times, start, at, end) > 1
        ]

    def _is_significant(
        self, rng: np.random.Generator, distances: Floats, ends: list[int], energy: float
    ) -> bool:
        extreme = 0
        for _ in range(self.PERMUTATIONS):
            largest = -math.inf
            for start, end in zip(ends, ends[1:]):
                if end - start >= 4:
                    order = start + rng.permutation(end - start)
                    largest = max(largest, best_split(distances[np.ix_(order, order)])[1])
            extreme += largest >= energy
            if (extreme + 1) / (self.PERMUTATIONS + 1) > self.LEVEL:
                return False
        return True


def least_squares(times: Floats) -> list[int]:
    """Search by optimal partitioning of squared deviations with a penalty like the BIC.

    Jackson et al., "An algorithm for optimal partitioning of data on an interval", IEEE Signal
    Processing Letters 12, 2005, whose optimum PELT finds too; Yao, "Estimating the number of
    change-points via Schwarz' criterion", Statistics and Probability Letters 6, 1988: two parameters a
    place. The noise is the median absolute step, in standard deviations.
    """
    values = np.log(times)
    noise = float(np.median(np.abs(np.diff(values)))) / 0.954
    scaled = values / max(noise, 1e-12)
    first = np.concatenate([[0.0], np.cumsum(scaled)])
    second = np.concatenate([[0.0], np.cumsum(scaled**2)])
    penalty = 2 * math.log(len(values))
    best = np.full(len(values) + 1, np.inf)
    best[0] = -penalty
    starts = np.zeros(len(values) + 1, dtype=np.int64)
    for end in range(2, len(values) + 1):
        start = np.arange(end - 1)
        costs = second[end] - second[start] - (first[end] - first[start]) ** 2 / (end - start)
        totals = best[start] + costs + penalty
        starts[end] = totals.argmin()
        best[end] = totals[starts[end]]
    ends = [len(values)]
    while ends[-1]:
        ends.append(int(starts[ends[-1]]))
    ends.reverse()
    return [
        at for start, at, end in zip(ends, ends[1:], ends[2:]) if _ratio(times, start, at, end) > 1
    ]
