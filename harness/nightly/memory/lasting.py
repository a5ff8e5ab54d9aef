"""Lasting shifts of a method's times: steps that no single night shows, and drift."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.nightly.baseline import regressed
from harness.nightly.entry import NightEntry, judged_alike
from harness.nightly.verdict import BATCH, NIGHTLY, Key
from harness.stats.changes import shifts

WINDOW = 90  # nights at most that steps are looked for in; older ones only say what the level was
STRIDE = 30  # nights by which the window moves, so that what is known of its segments is kept
FIRST, LATEST = 8, 7  # nights of the level that counts, and those that drift is measured by
DRIFT = 0.001  # of the rank test between them
NEAR = 4  # nights by which the place of one and the same shift may move as nights come in
GROWN = math.log(1.005)  # a shift that was measured again is so once more after it grew by so much


@dataclass(frozen=True)
class LastingShift:
    """A shift of a method's times in the history that nobody acknowledged.

    Attributes:
        since: the first run after it.
        before: the run in the middle of the segment before it.
        ratio: of times, after to before.
        level: ids of the latest runs of the segment before it, oldest first.
        is_controlled: whether it is one beside the other methods, which met the same nights.
    """

    method: str
    since: NightEntry
    before: NightEntry
    ratio: float
    level: tuple[str, ...] = ()
    is_controlled: bool = False


Series = Sequence[tuple[NightEntry, float]]  # nights and the logarithms of a method's seconds


def lasting_shifts(
    earlier: Sequence[NightEntry], entry: NightEntry, most: int, trust_disturbed: bool = False
) -> list[LastingShift]:
    """Return the shifts of each method's times over the nights that were measured alike.

    An acknowledged shift starts the series anew. Disturbed times count only where they are trusted,
    and nights of a regression that is not acknowledged do not. The drift from the level that counts is
    one of them, the last of its method, where it is larger than the steps since that level: the segment
    before a step may have drifted itself, so that its middle is no model of that level.

    Args:
        most: how many runs a level has.
    """
    nights = counting(earlier, entry)
    bad = regressed(nights[:-1])
    lasting = []
    for row in entry.rows:
        series = series_of(row.method, nights, bad, trust_disturbed)
        steps = _steps(row.method, series[_window_start(len(series)) :], most)
        lasting += steps
        better = max((_place(step, series) for step in steps if step.ratio < 1), default=0)
        worse = [step.ratio for step in steps if _place(step, series) > better]
        lasting += [
            shift
            for shift in drift(row.method, series[better:], most)
            if math.log(shift.ratio) >= math.log(max(worse, default=1.0)) + GROWN
        ]
    return lasting


def counting(earlier: Sequence[NightEntry], entry: NightEntry) -> list[NightEntry]:
    """Return the judged nights that were measured alike, and the night itself, oldest first."""
    return [*judged_alike(earlier, entry.alike), entry]


def series_of(
    method: str,
    nights: Sequence[NightEntry],
    bad: frozenset[tuple[str, Key]],
    trust_disturbed: bool,
) -> list[tuple[NightEntry, float]]:
    """Return a method's times since they were acknowledged: those that count."""
    key = (method, BATCH.name)
    series: list[tuple[NightEntry, float]] = []
    latest = (at for at in reversed(range(len(nights))) if nights[at].acknowledges(*key))
    for night in nights[next(latest, 0) :]:
        timed = night.row(method)
        if timed is None or math.isnan(timed.level) or (night.run, key) in bad:
            continue
        if trust_disturbed or not timed.has_disturbed_times or night.acknowledges(*key):
            series.append((night, timed.level))
    return series


def is_new(shift: LastingShift, earlier: Sequence[NightEntry]) -> bool:
    """Return whether a shift was not measured again yet; also if it grew since, or was acknowledged.

    One is told from another by its method and its place. One beside the other methods is new as long
    as it was measured without them only: they may say what timing in turn could not.

    Args:
        earlier: the judged nights that were measured alike, oldest first.
    """
    places = {night.run: at for at, night in enumerate(earlier)}
    here = places.get(shift.since.run, len(earlier))
    known: list[float] = []
    for night in earlier:
        if night.acknowledges(shift.method, BATCH.name):
            known.clear()
        known += [
            other.ratio
            for other in night.shifted
            if other.method == shift.method
            and abs(places.get(other.since, len(earlier)) - here) <= NEAR
            and (other.is_controlled or not shift.is_controlled)
        ]
    return not known or math.log(shift.ratio) >= math.log(max(known)) + GROWN


def _window_start(nights: int) -> int:
    return -(-max(nights - WINDOW, 0) // STRIDE) * STRIDE


def _steps(method: str, series: Series, most: int) -> list[LastingShift]:
    """Return the shifts that segments of the series have between them."""
    steps = shifts([math.exp(value) for _, value in series], NIGHTLY.slower)
    starts = [0, *(step.at for step in steps)]
    return [
        LastingShift(
            method,
            series[step.at][0],
            series[(start + step.at) // 2][0],
            step.ratio,
            _level(series[start : step.at], most),
        )
        for start, step in zip(starts, steps)
    ]


def drift(method: str, series: Series, most: int) -> list[LastingShift]:
    """Return the shift that many small steps add up to, from the level that counts to now."""
    if len(series) < FIRST + LATEST:
        return []
    before = np.array([value for _, value in series[:FIRST]])
    after = np.array([value for _, value in series[-LATEST:]])
    size = float(np.median(after) - np.median(before))
    if size < math.log1p(NIGHTLY.slower):
        return []
    from scipy.stats import mannwhitneyu  # takes 0.4 s, and most nights need none

    if mannwhitneyu(before, after, alternative="less", method="exact").pvalue > DRIFT:
        return []
    middle = series[FIRST // 2][0]
    return [
        LastingShift(method, series[FIRST][0], middle, math.exp(size), _level(series[:FIRST], most))
    ]


def _level(series: Series, most: int) -> tuple[str, ...]:
    return tuple(night.run for night, _ in series[-most:])


def _place(step: LastingShift, series: Series) -> int:
    return next(at for at, (night, _) in enumerate(series) if night is step.since)
