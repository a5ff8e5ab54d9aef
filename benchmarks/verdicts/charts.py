"""Detectors that follow the nights one by one: control charts, and the rules of other dashboards.

All but the ratio work on logarithms, so that a share of the time is the same step everywhere.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import gammaln

from benchmarks.verdicts.alarms import Alarm
from benchmarks.verdicts.noise import Floats

WINDOW = 12  # nights on either side, of Perfherder
LEARNT = 20  # nights from which a chart takes its centre and its spread


def cusum(times: Floats, first: int) -> list[Alarm]:
    """Sum what exceeds the centre by more than half a standard deviation; alarm at 5 of them.

    Page, "Continuous inspection schemes", Biometrika 41, 1954, with the usual reference value and
    decision interval. Centre and spread are the median and the scaled median deviation of the first
    nights; after an alarm they are learnt anew from the place on.
    """
    values = np.log(times)
    alarms = []
    start, total, place = 0, 0.0, 0
    for night in range(len(values)):
        if night < start + LEARNT:
            total = 0.0
            continue
        total = max(0.0, total + _standard(values[start : start + LEARNT], values[night]) - 0.5)
        if total == 0.0:
            place = night + 1
        if total > 5:
            alarms.append(Alarm(night, max(place, start + LEARNT)))
            start, total, place = max(place, start + LEARNT), 0.0, night + 1
    return [alarm for alarm in alarms if alarm.night >= first]


def ewma(times: Floats, first: int) -> list[Alarm]:
    """Average with weights that fall by a fifth a night; alarm beyond 3 standard deviations of that.

    Roberts, "Control chart tests based on geometric moving averages", Technometrics 1, 1959; centre and
    spread as for the sums.
    """
    values = np.log(times)
    alarms = []
    start, mean = 0, 0.0
    limit = 3 * math.sqrt(0.2 / 1.8)
    for night in range(len(values)):
        if night < start + LEARNT:
            mean = 0.0
            continue
        mean = 0.8 * mean + 0.2 * _standard(values[start : start + LEARNT], values[night])
        if mean > limit:
            alarms.append(Alarm(night))
            start = night + 1
    return [alarm for alarm in alarms if alarm.night >= first]


def _standard(learnt: Floats, value: float) -> float:
    centre = float(np.median(learnt))
    spread = 1.4826 * float(np.median(np.abs(learnt - centre)))
    return (value - centre) / max(spread, 1e-6)


def bayesian(times: Floats, first: int) -> list[Alarm]:
    """Follow the distribution of the run's length; alarm where a change since its start has 95 %.

    Adams and MacKay, "Bayesian online changepoint detection", arXiv 0710.3742, 2007: normal values of
    unknown mean and variance with a normal-gamma prior, and a change every 250 nights. The prior is
    that of the first nights: their mean with the weight of one value, and the variance of their steps.
    The place is the likeliest start. After an alarm the run starts there.
    """
    values = np.log(times)
    alarms = []
    start = 0
    while start + LEARNT < len(values):
        change = _run_change(values[start:])
        if change is None:
            break
        night, place = start + change[0], start + change[1]
        if values[place : night + 1].mean() > values[start:place].mean():
            alarms.append(Alarm(night, place))
        start = place
    return [alarm for alarm in alarms if alarm.night >= first]


def _run_change(values: Floats) -> tuple[int, int] | None:
    """Return the first night at which a change is all but sure, and where it is."""
    spread = float(np.median(np.abs(np.diff(values[:LEARNT])))) / 0.954
    mean = np.array([float(np.median(values[:LEARNT]))])
    kappa, alpha = np.array([1.0]), np.array([1.0])
    beta = np.array([max(spread, 1e-6) ** 2])
    logs = np.array([0.0])  # of the probabilities of lengths 0, 1, ..
    hazard = 1 / 250
    for night, value in enumerate(values):
        scale = beta * (kappa + 1) / (alpha * kappa)
        freedom = 2 * alpha
        density = (
            gammaln(alpha + 0.5)
            - gammaln(alpha)
            - 0.5 * np.log(freedom * math.pi * scale)
            - (alpha + 0.5) * np.log1p((value - mean) ** 2 / (freedom * scale))
        )
        grown = logs + density + math.log(1 - hazard)
        changed = np.logaddexp.reduce(logs + density) + math.log(hazard)
        logs = np.concatenate([[changed], grown])
        logs -= np.logaddexp.reduce(logs)
        beta = np.concatenate([beta[:1], beta + kappa * (value - mean) ** 2 / (2 * (kappa + 1))])
        mean = np.concatenate([mean[:1], (kappa * mean + value) / (kappa + 1)])
        kappa = np.concatenate([kappa[:1], kappa + 1])
        alpha = np.concatenate([alpha[:1], alpha + 0.5])
        if night >= LEARNT and math.exp(logs[-1]) < 0.05:
            length = int(logs[:-1].argmax())
            place = night + 1 - length
            if 0 < place <= night:
                return night, place
    return None


def z_score(times: Floats, first: int) -> list[Alarm]:
    """Alarm beyond 5 standard deviations of up to 100 nights before: Conbench's lookback z-score.

    The "lookback z-score method" of Conbench's reports, with the threshold that Conbench has by default;
    Arrow and Velox set 30 and 50. Steps that users mark by hand are left out.
    """
    values = np.log(times)
    alarms = []
    for night in range(max(first, 2), len(values)):
        before = values[max(night - 100, 0) : night]
        if values[night] - before.mean() > 5 * before.std(ddof=1):
            alarms.append(Alarm(night))
    return alarms


def ratio(times: Floats, first: int) -> list[Alarm]:
    """Alarm where a night is 5 % slower than the one before: the rule of github-action-benchmark.

    Its default threshold is 200 %, which no shift here reaches.
    """
    return [
        Alarm(night)
        for night in range(max(first, 1), len(times))
        if times[night] > 1.05 * times[night - 1]
    ]


def windows(times: Floats, first: int) -> list[Alarm]:
    """Compare the 12 nights from a place on with the 12 before by weighted t: Mozilla's Perfherder.

    As its sheriffs' documentation has it: weights that fall linearly with the distance from the place, a
    threshold of 7, a change of 2 %, and of neighbouring places the one of the largest t. An alarm comes
    when the 12 nights are full; the place after it is then judged by its 11.
    """
    values = np.log(times)
    alarms: list[Alarm] = []
    for night in range(23, len(values)):
        place = night - WINDOW + 1
        seen = values[: night + 1]
        step, t = _weighted_t(seen, place)
        if step < math.log(1.02) or t <= 7:
            continue
        if max(_weighted_t(seen, place - 1)[1], _weighted_t(seen, place + 1)[1]) > t:
            continue
        last = alarms[-1].place if alarms else None
        if last is None or place - last > WINDOW:
            alarms.append(Alarm(night, place))
    return [alarm for alarm in alarms if alarm.night >= first]


def _weighted_t(values: Floats, place: int) -> tuple[float, float]:
    """Return the step at a place and its absolute t."""
    means, errors = [], 0.0
    for part in (values[max(place - WINDOW, 0) : place][::-1], values[place : place + WINDOW]):
        weights = np.arange(len(part), 0, -1)
        mean = float(np.average(part, weights=weights))
        errors += float(np.average((part - mean) ** 2, weights=weights)) / len(part)
        means.append(mean)
    step = means[1] - means[0]
    return step, abs(step) / max(math.sqrt(errors), 1e-12)
