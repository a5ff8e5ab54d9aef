"""Judge a run against earlier ones: the test of each row, and the verdicts of the table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from harness.nightly import reasons
from harness.nightly.verdict import (
    BATCH,
    EQUIVALENCE,
    LEAST,
    LEAST_RUNS,
    MEMORY,
    NIGHTLY,
    ONCE,
    Bools,
    Floats,
    Gap,
    Kind,
    Run,
    Settings,
    Verdict,
)
from harness.stats.accuracy import mcnemar
from harness.stats.intervals import Interval
from harness.stats.multiple_tests import holm
from harness.stats.night_noise import (
    SAME_HOUR,
    Spread,
    contrast,
    level,
    moderated,
    stacked_levels,
)
from harness.table.metrics import Metric

Values = TypeVar("Values", Floats, Bools, float)
FEWEST_ROUNDS = 3  # that ``level`` takes
# earlier runs; with fewer a cost cannot be told, and memory, which asks for nothing, is left out
FEWEST_FIGURES = dict.fromkeys(MEMORY, LEAST_RUNS)


@dataclass(frozen=True)
class Tested:
    """A row with its test, before the table's p-values are adjusted.

    Attributes:
        equal: the estimate of no difference.
        limits: the nearest estimates below and above it that matter.
        finding: what was found, in a sentence.
        matters: the threshold in words.
        claims: whether a difference may be claimed: not from times of a single earlier run.
        rounds_p: times: the p-value if runs differed by their rounds only; a suspicion asks no more,
            since measuring again tells a slow hour from slow code.
    """

    method: str
    metric: Metric
    estimate: Interval
    p_value: float
    threshold: float
    equal: float
    limits: tuple[float, float]
    finding: str
    matters: str
    claims: bool = True
    rounds_p: float = 1.0

    def decide(self, adjusted_p: float, settings: Settings) -> Verdict:
        """Return the verdict: the noise gate, then the threshold."""
        alpha, (low, high) = settings.alpha, self.limits
        estimate, better = self.estimate.estimate, self.metric.higher_is_better
        is_worse = better is not None and (estimate <= low if better else estimate >= high)
        has_size = not low < estimate < high
        kind: Kind = "cannot tell"
        gap: Gap | None = None
        if adjusted_p <= alpha and not self.claims:
            gap = "few runs"
        elif adjusted_p <= alpha and has_size and better is not None:
            kind = "improvement" if (estimate > self.equal) == better else "regression"
        elif adjusted_p <= alpha:
            kind = "change"
        elif low < self.estimate.low and self.estimate.high < high:
            kind = "none"
        else:
            gap = "noise"
        return Verdict(
            self.method,
            self.metric,
            kind,
            self.estimate,
            self.p_value,
            adjusted_p,
            self.threshold,
            self.finding,
            suspected=kind == "regression" or (is_worse and self.rounds_p <= settings.suspicion),
            advice=reasons.meaning(kind, gap, self.metric, self.matters, has_size),
            gap=gap,
        )


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

    Costs and peak memory are compared as times are, but for rounds, which they have not.

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
            rows.append(_unmatched(method, BATCH, settings.slower, now))
        else:
            assumed = lent if spread is None else spread.get(method)
            rows.append(_times(method, before, now, settings, assumed))
    for metric in ONCE:
        figures = _rows(
            [run.once.get(metric, {}) for run in baseline], candidate.once.get(metric, {})
        )
        least = LEAST.get(metric, 0.0)
        # also of rows that were not measured now: they tell as much of the machine
        known = _spread_of_figures([values for _, values, _now in figures], least)
        for method, values, figure in figures:
            if figure is None or len(values) < FEWEST_FIGURES.get(metric, 1):
                continue
            if min(*values, figure) >= least:
                rows.append(_once(method, metric, values, figure, settings, known))
    for metric in dict.fromkeys(m for run in (*baseline, candidate) for m in run.correct):
        earlier = [run.correct.get(metric, {}) for run in baseline]
        for method, answers, correct in _rows(earlier, candidate.correct.get(metric, {})):
            if not answers or correct is None:
                rows.append(_unmatched(method, metric, settings.points, correct))
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
        sentences = reasons.few_rounds(method, fewest, settings.rounds)
        return _untested(method, BATCH, "cannot tell", settings.slower, sentences, "few rounds")
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
    return Tested(
        method,
        BATCH,
        ratio,
        float(difference.p_value),
        settings.slower,
        equal=1.0,
        limits=(1 / (1 + settings.slower), 1 + settings.slower),
        finding=reasons.time_finding(method, now_s, was, len(before), ratio),
        matters=f"{100 * settings.slower:g} %",
        claims=claims,
        rounds_p=float(difference.rounds_only.p_value),
    )


def _spread_of_figures(before: Sequence[Sequence[float]], least: float) -> Spread | None:
    runs = max(map(len, before), default=0)
    usable = [figures for figures in before if figures and min(figures) >= least]
    whole = [np.log(figures) for figures in usable if len(figures) == runs]
    return moderated(np.array(whole).T) if whole else None


def _once(
    method: str,
    metric: Metric,
    before: list[float],
    now: float,
    settings: Settings,
    spread: Spread | None,
) -> Verdict | Tested:
    threshold = settings.of_once(metric)
    if len(before) < LEAST_RUNS:
        sentences = reasons.few_figures(metric, method, now, len(before), LEAST_RUNS)
        return _untested(method, metric, "cannot tell", threshold, sentences, "few runs")
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
    return Tested(
        method,
        metric,
        ratio,
        p_value,
        threshold,
        equal=1.0,
        limits=(1 / (1 + threshold), 1 + threshold),
        finding=reasons.figure_finding(
            metric, method, (now, math.exp(logs.mean())), len(before), ratio
        ),
        matters=f"{100 * threshold:g} %",
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
        reason, advice = reasons.same_images(metric, method, count)
        none = Interval(0.0, 0.0, 0.0, level_)
        return Verdict(
            method, metric, "none", none, None, None, settings.points, reason, advice=advice
        )
    points = _difference(test.b, test.c, count, level_)
    shares = float(now.mean()), float(before.mean())
    return Tested(
        method,
        metric,
        points,
        test.p_value,
        settings.points,
        equal=0.0,
        limits=(-settings.points, settings.points),
        finding=reasons.accuracy_finding(metric, method, shares, points, (count, test.b, test.c)),
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


def typical_s(times: Floats | Bools) -> float:
    """Return the time of a batch, in seconds, as docs/nightly.md defines it.

    The median of all batches where the rounds are too few for it.
    """
    known = len(times) >= FEWEST_ROUNDS
    return math.exp(float(level(times).value)) if known else float(np.median(times))


def _unmatched(
    method: str, metric: Metric, threshold: float, now: Floats | Bools | None
) -> Verdict:
    if now is None:
        return _untested(method, metric, "missing", threshold, reasons.missing(metric, method))
    value = f"{typical_s(now):.4g} s a batch" if metric == BATCH else f"{now.mean():.4f}"
    sentences = reasons.new(metric, method, value)
    return _untested(method, metric, "new", threshold, sentences)


def _untested(
    method: str,
    metric: Metric,
    kind: Kind,
    threshold: float,
    sentences: tuple[str, str],
    gap: Gap | None = None,
) -> Verdict:
    reason, advice = sentences
    return Verdict(
        method, metric, kind, None, None, None, threshold, reason, advice=advice, gap=gap
    )
