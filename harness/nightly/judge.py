"""Judge a run against earlier ones: the test of each row, and the verdicts of the table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from harness.nightly.verdict import (
    BATCH,
    EQUIVALENCE,
    LEAST_COST_S,
    LEAST_RUNS,
    NIGHTLY,
    Bools,
    Floats,
    Kind,
    Run,
    Settings,
    Tested,
    Verdict,
)
from harness.stats.accuracy import mcnemar
from harness.stats.intervals import Interval
from harness.stats.night_noise import (
    SAME_HOUR,
    Spread,
    contrast,
    holm,
    level,
    moderated,
    stacked_levels,
)
from harness.table.metrics import COST, Metric

Values = TypeVar("Values", Floats, Bools, float)


def judge(
    baseline: Sequence[Run],
    candidate: Run,
    settings: Settings = NIGHTLY,
    spread: Mapping[str, Spread] | None = None,
) -> tuple[Verdict, ...]:
    """Return the verdicts on a run row by row: times first, then each accuracy.

    Times are compared with all earlier runs, as ``noise`` says. With one earlier run, what runs
    differ by is known from ``spread`` alone, and without it only the noise of rounds is: then a row may
    be suspected, or found alike, but no difference is claimed. ``SAME_HOUR`` asserts that runs differ
    by their rounds only.

    Costs are compared as times are, but for rounds, which they have not.

    Accuracies are compared image by image with the latest run that has the row, by ``mcnemar``.

    Args:
        baseline: earlier runs of the code to compare with, oldest first.
        candidate: the run to judge.
        spread: by method, how far runs of identical code lie apart on this machine; None takes what
            the earlier runs say of it.

    Raises:
        ValueError: a row's times or images are not what ``Run`` says, or not of the same images.
    """
    rows: list[Verdict | Tested] = []
    times = _rows([run.times for run in baseline], candidate.times)
    lent = _moderated([before for _, before, now in times if now is not None], settings)
    for method, before, now in times:
        if not before or now is None:
            rows.append(_unmatched(method, BATCH, settings.slower, bool(before)))
        else:
            assumed = lent if spread is None else spread.get(method)
            rows.append(_times(method, before, now, settings, assumed))
    costs = _rows([run.costs for run in baseline], candidate.costs)
    known = _cost_spread([before for _, before, now in costs if now is not None])
    for method, earlier_s, now_s in costs:
        if earlier_s and now_s is not None and min(*earlier_s, now_s) >= LEAST_COST_S:
            rows.append(_cost(method, earlier_s, now_s, settings, known))
    for metric in dict.fromkeys(m for run in (*baseline, candidate) for m in run.correct):
        earlier = [run.correct.get(metric, {}) for run in baseline]
        for method, answers, correct in _rows(earlier, candidate.correct.get(metric, {})):
            if not answers or correct is None:
                rows.append(_unmatched(method, metric, settings.points, bool(answers)))
            else:
                rows.append(_images(method, metric, answers[-1], correct, settings))
    tested = [row for row in rows if isinstance(row, Tested)]
    adjusted = iter(holm([row.p_value for row in tested]))
    return tuple(
        row.decide(float(next(adjusted)), settings) if isinstance(row, Tested) else row
        for row in rows
    )


def _moderated(before: Sequence[Sequence[Floats]], settings: Settings) -> Spread | None:
    """Return the spread of runs from the earlier runs of all methods, (R, B) a run."""
    runs = max(map(len, before), default=0)
    whole = [runs_ for runs_ in before if len(runs_) == runs > 1]
    usable = [runs_ for runs_ in whole if min(map(len, runs_)) >= settings.rounds]
    if not usable:
        return None
    return moderated(np.array([stacked_levels(runs_).value for runs_ in usable]).T)


def _times(
    method: str, before: list[Floats], now: Floats, settings: Settings, spread: Spread | None
) -> Verdict | Tested:
    fewest = min(len(times) for times in (*before, now))
    if fewest < settings.rounds:
        reason = f"{method} has {fewest} rounds, and a verdict takes {settings.rounds} of each run."
        return _untested(method, BATCH, "cannot tell", settings.slower, reason)
    claims = len(before) > 1 or bool(spread and spread.freedom)
    if not claims:
        spread = SAME_HOUR
    try:
        candidate, baseline = level(now), stacked_levels(before)
    except ValueError as error:
        raise ValueError(f"{method}: {error}") from None
    squares, freedom = (spread.sum_of_squares, spread.freedom) if spread else (0.0, 0.0)
    difference = contrast(candidate, baseline, squares, freedom)
    ratio = difference.ratio(EQUIVALENCE)
    was, now_s = (math.exp(float(level_.value.mean())) for level_ in (baseline, candidate))
    shown = _shown([100 * (ratio_ - 1) for ratio_ in (ratio.estimate, ratio.low, ratio.high)])
    return Tested(
        method,
        BATCH,
        ratio,
        float(difference.p_value),
        settings.slower,
        equal=1.0,
        limits=(1 / (1 + settings.slower), 1 + settings.slower),
        figures=(
            f"A batch of {method} takes {now_s:.4g} s after {was:.4g} s in {len(before)} earlier "
            f"run{'s' if len(before) > 1 else ''}, {shown[0]} % "
            f"({100 * ratio.level:g} % interval {shown[1]} to {shown[2]} %)"
        ),
        matters=f"{100 * settings.slower:g} %",
        claims=claims,
        rounds_p=float(difference.rounds_only.p_value),
    )


def _cost_spread(before: Sequence[Sequence[float]]) -> Spread | None:
    runs = max(map(len, before), default=0)
    usable = [seconds for seconds in before if seconds and min(seconds) >= LEAST_COST_S]
    whole = [np.log(seconds) for seconds in usable if len(seconds) == runs]
    return moderated(np.array(whole).T) if whole else None


def _cost(
    method: str, before: list[float], now: float, settings: Settings, spread: Spread | None
) -> Verdict | Tested:
    if len(before) < LEAST_RUNS:
        reason = (
            f"{method} cost {now:.4g} s; what costs differ by is known from {LEAST_RUNS} earlier runs "
            f"on, and there are {len(before)}."
        )
        return _untested(method, COST, "cannot tell", settings.dearer, reason)
    logs = np.log(before)
    lent, freedom = (spread.sum_of_squares, spread.freedom) if spread else (0.0, 0.0)
    known = len(before) - 1 + freedom
    error = math.sqrt((logs.var() * len(before) + lent) / known * (1 + 1 / len(before)))
    difference = math.log(now) - float(logs.mean())
    reach = -float(stdtrit(known, (1 - EQUIVALENCE) / 2)) * error
    p_value = 2 * float(stdtr(known, -abs(difference) / error)) if error else float(not difference)
    ratio = Interval(
        math.exp(difference),
        math.exp(difference - reach),
        math.exp(difference + reach),
        EQUIVALENCE,
    )
    shown = _shown([100 * (ratio_ - 1) for ratio_ in (ratio.estimate, ratio.low, ratio.high)])
    return Tested(
        method,
        COST,
        ratio,
        p_value,
        settings.dearer,
        equal=1.0,
        limits=(1 / (1 + settings.dearer), 1 + settings.dearer),
        figures=(
            f"{method} cost {now:.4g} s after {math.exp(logs.mean()):.4g} s in {len(before)} earlier "
            f"runs, {shown[0]} % ({100 * ratio.level:g} % interval {shown[1]} to {shown[2]} %)"
        ),
        matters=f"{100 * settings.dearer:g} %",
    )


def _images(
    method: str, metric: Metric, before: Bools, now: Bools, settings: Settings
) -> Verdict | Tested:
    try:
        test = mcnemar(before, now)
    except ValueError as error:
        raise ValueError(f"{metric.title} of {method}, now against before: {error}") from None
    count, level_ = now.size, EQUIVALENCE
    if not test.b + test.c:
        reason = f"{metric.title} of {method} is the same on each of the {count} images."
        none = Interval(0.0, 0.0, 0.0, level_)
        return Verdict(method, metric, "none", none, None, None, settings.points, reason)
    points = _difference(test.b, test.c, count, level_)
    shown = _shown([points.estimate, points.low, points.high])
    return Tested(
        method,
        metric,
        points,
        test.p_value,
        settings.points,
        equal=0.0,
        limits=(-settings.points, settings.points),
        figures=(
            f"{metric.title} of {method} is {now.mean():.4f} after {before.mean():.4f}, {shown[0]} "
            f"points ({100 * level_:g} % interval {shown[1]} to {shown[2]}): of {count} images "
            f"{test.b} were lost and {test.c} won"
        ),
        matters=f"{settings.points:g} points",
    )


def _difference(lost: int, won: int, images: int, level_: float) -> Interval:
    """Return the points of 100 gained, with Agresti and Min's interval.

    Wald's after adding half an image to each cell of the fourfold table ("Simple improved confidence
    intervals for comparing matched proportions", Statistics in Medicine 24, 2005).
    """
    more = images + 2
    centre = (won - lost) / more
    error = math.sqrt((lost + won + 1) - (won - lost) ** 2 / more) / more
    reach = float(ndtri((1 + level_) / 2)) * error
    estimate = 100 * (won - lost) / images
    return Interval(estimate, 100 * (centre - reach), 100 * (centre + reach), level_)


def _rows(
    before: Sequence[Mapping[str, Values]], now: Mapping[str, Values]
) -> list[tuple[str, list[Values], Values | None]]:
    """Return each method with its values in earlier runs and in this one."""
    methods = dict.fromkeys(method for run in (now, *before) for method in run)
    return [(m, [run[m] for run in before if m in run], now.get(m)) for m in methods]


def _unmatched(method: str, metric: Metric, threshold: float, before: bool) -> Verdict:
    kind: Kind = "missing" if before else "new"
    what = "was measured before and is not now" if before else "is measured for the first time"
    return _untested(method, metric, kind, threshold, f"{metric.title} of {method} {what}.")


def _untested(method: str, metric: Metric, kind: Kind, threshold: float, reason: str) -> Verdict:
    return Verdict(method, metric, kind, None, None, None, threshold, reason)


def _shown(values: Sequence[float]) -> list[str]:
    """Return values with signs, and with decimals for two significant digits of the first."""
    digits = 1 if abs(values[0]) >= 1 else 2
    return [f"{value:+.{digits}f}" for value in values]
