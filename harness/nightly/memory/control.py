"""A method's times beside those of the other methods in the same nights: a control for the machine.

What the machine does to all methods of a night, it does to their median as well. A method that became
slower than the median of the others, over nights, did so for a reason of its own: its model, or the
part of the environment that it uses. A change of all methods at once has no such control.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

from harness.nightly.baseline import regressed
from harness.nightly.entry import NightEntry
from harness.nightly.memory.lasting import FIRST, WINDOW, LastingShift, counting, drift, series_of
from harness.nightly.verdict import BATCH, EQUIVALENCE, NIGHTLY, Floats
from harness.stats.intervals import Interval

REFERENCE = 30  # nights at most that the level before is known from
FEWEST = 6  # nights at least
LATEST = (2, 3, 5, 8)  # nights that may show it: a second night at least
P_VALUE = 1e-4  # one-sided, over methods and windows of a night
LEAST_SD = 0.002  # of a night: no machine is known to be quieter over months
OTHERS = 3  # methods at least that the median is of


class Control:
    """The times of all methods over the nights that were measured alike."""

    def __init__(
        self,
        earlier: Sequence[NightEntry],
        entry: NightEntry,
        open_: Collection[str] = (),
        trust_disturbed: bool = False,
    ) -> None:
        """Take the times that count.

        Args:
            open_: methods with an open regression of their time: no control for others.
        """
        self._open = open_
        self._nights = counting(earlier, entry)[-WINDOW:]
        self._places = {night.run: at for at, night in enumerate(self._nights)}
        self._methods = [row.method for row in entry.rows]
        everything = np.full((len(self._nights), len(self._methods)), np.nan)
        counted = everything.copy()
        bad = regressed(self._nights[:-1])
        for column, method in enumerate(self._methods):
            for night, value in series_of(method, self._nights, frozenset(), trust_disturbed):
                everything[self._places[night.run], column] = value
                if (night.run, (method, BATCH.name)) not in bad:
                    counted[self._places[night.run], column] = value
        self._everything, self._counted = everything, counted

    def shifts(self, most: int) -> list[LastingShift]:
        """Return the methods that became slower than the others over at least two nights."""
        shifted: list[LastingShift] = []
        for column, method in enumerate(self._methods):
            beside, common = self._beside(column)
            known = np.flatnonzero(~np.isnan(beside) & ~np.isnan(self._counted[:, column]))
            if not len(known) or known[-1] != len(self._nights) - 1:
                continue
            shift = self._shift(method, beside, common, known, most)
            if shift is not None:
                shifted.append(shift)
            elif not _is_faster(common[known[-FIRST:]], common[known[:FIRST]]):
                series = [(self._nights[at], float(beside[at])) for at in known]
                drifted = drift(method, series, most)
                shifted += [replace(whole, is_controlled=True) for whole in drifted]
        return shifted

    def ratio(self, method: str, level: Sequence[str], latest: int = 1) -> Interval | None:
        """Return the ratio of a method's time to that of earlier runs, beside the other methods.

        Args:
            level: ids of the earlier runs.
            latest: how many of the latest nights are compared.
        """
        if method not in self._methods:
            return None
        beside, _ = self._beside(self._methods.index(method))
        places = [self._places[run] for run in level if run in self._places]
        before, now = beside[places], beside[len(beside) - latest :]
        before = before[~np.isnan(before)]
        if len(before) < 3 or np.isnan(now).any():
            return None
        difference = float(now.mean() - before.mean())
        error = _sd(before) * math.sqrt(1 / len(now) + 1 / len(before))
        reach = -float(stdtrit(len(before) - 1, (1 - EQUIVALENCE) / 2)) * error
        low, high = math.exp(difference - reach), math.exp(difference + reach)
        return Interval(math.exp(difference), low, high, EQUIVALENCE)

    def _beside(self, column: int) -> tuple[Floats, Floats]:
        """Return a method's log times less the common part, and that part, (nights,)."""
        steady = [
            other
            for other in range(len(self._methods))
            if other != column
            and self._methods[other] not in self._open
            and not np.isnan(self._counted[-1, other])
        ]
        if len(steady) < OTHERS:
            nothing = np.full(len(self._nights), np.nan)
            return nothing, nothing
        others = self._counted[:, steady]
        others = others - _median(others.T)
        common = _median(others)
        common[(~np.isnan(others)).sum(axis=1) < OTHERS] = np.nan
        return self._everything[:, column] - common, common

    def _shift(
        self,
        method: str,
        beside: Floats,
        common: Floats,
        known: npt.NDArray[np.int64],
        most: int,
    ) -> LastingShift | None:
        allowed = P_VALUE / len(LATEST) / len(self._methods)
        least = math.log1p(NIGHTLY.slower)
        for latest in LATEST:
            places = known[-(REFERENCE + latest) : -latest]
            if len(places) < FEWEST:
                break
            now, before = beside[known[-latest:]], beside[places]
            size = float(now.mean() - before.mean())
            error = _sd(before) * math.sqrt(1 / latest + 1 / len(before))
            is_small = size < least or now.min() - before.mean() < least / 2
            if is_small or _is_faster(common[known[-latest:]], common[places]):
                continue
            if float(stdtr(len(before) - 1, -size / error)) <= allowed:
                level = tuple(self._nights[at].run for at in places[-most:])
                middle = self._nights[places[len(places) // 2]]
                since = self._nights[known[-latest]]
                return LastingShift(method, since, middle, math.exp(size), level, True)
        return None


def _is_faster(now: Floats, before: Floats) -> bool:
    """Return whether the other methods became faster, so that a steady one only seems slower."""
    return float(np.median(now) - np.median(before)) < -math.log1p(NIGHTLY.slower)


def _median(values: Floats) -> Floats:
    """Return the medians of rows, (n, m) to (n,), without the NaN; NaN where all are."""
    ascending = np.sort(values, axis=1)  # NaN come last
    counts = (~np.isnan(values)).sum(axis=1)
    rows = np.arange(len(values))
    lower = ascending[rows, np.maximum(counts - 1, 0) // 2]
    medians: Floats = (lower + ascending[rows, np.minimum(counts // 2, values.shape[1] - 1)]) / 2
    return medians


def _sd(values: Floats) -> float:
    return max(float(values.std(ddof=1)), LEAST_SD)
