"""Throughput, speedup and latency percentiles, with their intervals.

Times are positive seconds of shape (R, B): R rounds, each a fresh process, of B equal batches, the
same in every round. Round r of two methods ran close together, so it is a block and shares its drift.
Intervals for times are symmetric on the log scale: they follow scaling and inversion, and stay positive.

Rounds, not batches, are the independent units: batches of one process share its memory layout, and
their number says nothing about the next process (Kalibera and Jones, "Rigorous benchmarking in
reasonable time", ISMM 2013). A round counts by the logarithm of its mean batch.

The estimand is the typical round: the pseudomedian of the rounds of all processes that could have run in
that hour, which is the median of the mean of two of them. For a speedup it is that of the rounds'
log ratios. Where rounds are symmetric on the log scale it is their mean. Where one process in twenty
is disturbed and takes twice as long, it is the time of the others, and not the mean of all: that mean
depends on processes that most measurements do not meet, so no interval from 5 or 20 rounds covers it
(Student's t: 32 to 62 %). With one round, it is the mean batch of that process.

The estimate is Hodges and Lehmann's, the median of all means of two rounds ("Estimates of location
based on rank tests", Annals of Mathematical Statistics 34, 1963), and the interval inverts Wilcoxon's
signed-rank test, interpolated between its two levels next to the one that is meant. The most that R
rounds reach is 1 - 2^(1 - R), their whole range: 93.75 % with 5. For more, that range is stretched
about its middle by the ratio of Student's quantiles; with 2 rounds that is Student's t itself.

The interval assumes that rounds are independent of each other. From ``ENOUGH`` rounds on it is wider
where they resemble their predecessors, by ``harness.stats.dependence``. Fewer rounds do not show that
reliably; what they do show is a ``doubt``. docs/statistics.md has the measured coverage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, stdtrit

from harness.stats.dependence import autocorrelation, usual_widening, widening
from harness.stats.intervals import LEVEL, Interval, check_level
from harness.stats.resampling import BLOCKS, Floats, narrowness, resampled
from harness.stats.steady import checked_timings

ENOUGH = 15  # rounds in which autocorrelation shows well enough to allow for it
ALIKE = (
    0.3  # autocorrelation of rounds that casts doubt on an interval; 5 % of independent 20 have it
)
EXACT = 50  # rounds up to which the distribution of the signed-rank sum is exact


def throughput(
    times: ArrayLike, batch_size: int, *, level: float = LEVEL, seed: int = 0
) -> Interval:
    """Return images per second of the typical round: ``batch_size`` over its mean time of a batch.

    With one round the estimate is that round's, and the interval comes from a block bootstrap and
    leaves the variance between processes out; see ``speedup``.

    Args:
        times: (R, B), seconds.
        seed: used with one round only.

    Raises:
        ValueError: ``times``, ``batch_size`` or ``level`` is out of range, or one round has fewer
            than 8 batches.
    """
    seconds = checked_timings("times", times)
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, not a positive number of images")
    if len(seconds) == 1:
        error = _error_of_mean(seconds, seed)
        return _log_interval(batch_size / float(seconds.mean()), error, 1, level)
    return _over_rounds(math.log(batch_size) - np.log(seconds.mean(axis=1)), level)


def typical_rate(rates: ArrayLike, *, level: float = LEVEL) -> Interval:
    """Return the rate of the typical round, such as images per second of all instances together.

    Args:
        rates: (R,), above 0, R at least 2.

    Raises:
        ValueError: ``rates`` or ``level`` is out of range.
    """
    values = np.asarray(rates, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.all(np.isfinite(values) & (values > 0)):
        raise ValueError("rates must be two or more finite numbers above 0")
    return _over_rounds(np.log(values), level)


def speedup(
    reference: ArrayLike, times: ArrayLike, *, level: float = LEVEL, seed: int = 0
) -> Interval:
    """Return how many times faster than the reference, 1 being equal.

    The estimate is that of the typical round, from the ratio of mean times in each; drift common to a
    round of both methods cancels. So it is not quite the ratio of the two throughputs, which are of
    two typical rounds that need not be the same one.

    With one round both errors come from a circular block bootstrap (Politis and Romano, 1992), four
    blocks to a round and Student's t for four. The next process is not covered: ``between_rounds`` is
    False. For the mean of this one, ``throughput`` covers 92 to 99 % with 50 batches or more of
    autocorrelation up to 0.5; 84 % with 20 heavy-tailed ones, 71 % if their autocorrelation is 0.8.
    ``speedup``, which adds two such errors, covers 97 to 100 %, and 89 to 99 % at 0.8.

    Args:
        reference: (R, B), seconds.
        times: (R, B), seconds; its round r is paired with the reference's round r.
        seed: used with one round only.

    Raises:
        ValueError: as for ``throughput``, or the shapes differ.
    """
    ours, theirs = checked_timings("times", times), checked_timings("reference", reference)
    if ours.shape != theirs.shape:
        raise ValueError(f"times of shape {ours.shape} against reference of {theirs.shape}")
    if len(ours) == 1:
        error = math.hypot(_error_of_mean(theirs, seed), _error_of_mean(ours, seed))
        return _log_interval(float(theirs.mean()) / float(ours.mean()), error, 1, level)
    return _over_rounds(np.log(theirs.mean(axis=1) / ours.mean(axis=1)), level)


def speedup_apart(
    reference: ArrayLike, times: ArrayLike, *, level: float = LEVEL, seed: int = 0
) -> Interval:
    """Return how many times faster than a reference measured elsewhere or another day.

    Nothing pairs the rounds of two machines, and there may be more of one, so both errors count in
    full: Welch's t on the log scale, from the typical round of each side and half the width of its
    interval over Student's quantile, with the degrees of freedom of Welch ("The generalization of
    'Student's' problem when several different population variances are involved", Biometrika 34,
    1947) and Satterthwaite. A side with one round has the error of a block bootstrap, as in
    ``speedup``, and the next process is then not covered. Machines of the same type that differ, and
    what changes from day to day, are in no round and in no interval.

    Measured coverage of 95 % intervals, heavy-tailed batches of autocorrelation 0.5: 94 to 96 %
    with 3, 5 or 10 rounds a side, alike or one side four times as variable; 92 to 95 % with 3 and 10.

    Args:
        reference: (R, B), seconds for the same work as ``times``.
        times: (S, C), seconds.
        seed: used where there is one round.

    Raises:
        ValueError: as for ``throughput``.
    """
    check_level(level)
    sides = [checked_timings("reference", reference), checked_timings("times", times)]
    middles, errors = zip(*(_typical(side, level, seed) for side in sides))
    freedoms = [(len(side) if len(side) > 1 else BLOCKS) - 1 for side in sides]
    squares = [error**2 for error in errors]
    freedom = welch_freedom(squares, freedoms)
    rounds = min(map(len, sides))
    ratio = math.exp(middles[0] - middles[1])
    return _log_interval(ratio, math.sqrt(sum(squares)), rounds, level, freedom)


def percentiles(
    latencies: ArrayLike,
    q: Sequence[int] = (50, 90, 99),
    *,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[int, Interval]:
    """Return percentiles of the time of a batch over all rounds, in seconds.

    The standard error of the log percentile comes from a bootstrap of rounds, then of blocks of
    batches in them, and is used with Student's t for R rounds (for four blocks if R is 1). Batches are
    resampled as well, which is wide for the median but needed for the tail.

    Measured coverage of the 50th, 90th and 99th, R from 3 to 10: 95 to 100, 83 to 100 and 80 to 100 %
    where rounds differ no more than batches do; 93 to 98, 78 to 91 and 56 to 86 % where they differ
    three times as much, since the tail is then that of rounds too rare to be met. With one round: 93 to
    98, 88 to 96 and, from 20 to 200 batches, 42 to 93 %.

    Args:
        latencies: (R, B), seconds.
        q: percentiles, above 0 and below 100.

    Raises:
        ValueError: ``latencies``, ``q`` or ``level`` is out of range, or one round has fewer than
            8 batches.
    """
    seconds = checked_timings("latencies", latencies)
    if not all(0 < percentile < 100 for percentile in q):
        raise ValueError(f"q is {tuple(q)}; each must be above 0 and below 100")
    shares = [percentile / 100 for percentile in q]
    values = np.quantile(seconds, shares)
    resamples = resampled(seconds, seed, lambda many: np.quantile(many, shares, axis=1).T)
    errors = np.log(resamples).std(axis=0) * narrowness(len(seconds))
    return {
        percentile: _log_interval(float(value), float(error), len(seconds), level)
        for percentile, value, error in zip(q, values, errors)
    }


def welch_freedom(squares: Sequence[float], freedoms: Sequence[float]) -> float:
    """Return Welch and Satterthwaite's degrees of freedom of a sum of independent variances.

    Args:
        squares: the variances, (n,).
        freedoms: the degrees of freedom of each variance, (n,).
    """
    spread = sum(square**2 / freedom for square, freedom in zip(squares, freedoms))
    return sum(squares) ** 2 / spread if spread else float(min(freedoms))


def _over_rounds(logs: Floats, level: float) -> Interval:
    """Return the exponential of the typical one of logs, (R,) in the order of time, R at least 2."""
    check_level(level)
    middle, low, high = signed_rank_interval(logs, level)
    count, correlation = len(logs), autocorrelation(logs)
    factor = 1.0
    if count >= ENOUGH:
        factor = min(
            widening(correlation, 4.5), (1 + 20 / count) * usual_widening(correlation, count)
        )
    centre, half = (low + high) / 2, (high - low) / 2 * factor
    doubt = None
    if correlation > ALIKE and count >= 2 * BLOCKS:
        doubt = f"its rounds resemble the rounds before (autocorrelation {correlation:.1f})"
        if factor > 1:
            doubt += f", so its interval is {factor:.1f} times as wide"
    return Interval(
        math.exp(middle), math.exp(centre - half), math.exp(centre + half), level, True, doubt
    )


def reaches(count: int, level: float = LEVEL) -> bool:
    """Say whether the range of so many rounds reaches a level; if not, it is stretched."""
    return float(_signed_rank_tails(count)[0]) <= (1 - level) / 2


def signed_rank_interval(values: Floats, level: float) -> tuple[float, float, float]:
    """Return Hodges and Lehmann's estimate and the ends of its interval.

    Args:
        values: (R,), R at least 2.
    """
    count = len(values)
    first, second = np.triu_indices(count)
    means = np.sort((values[first] + values[second]) / 2)
    middle = float(np.median(means))
    tail = (1 - level) / 2
    tails = _signed_rank_tails(count)
    if not reaches(count, level):
        stretch = float(stdtrit(count - 1, 1 - tail) / stdtrit(count - 1, 1 - tails[0]))
        centre, half = float(means[0] + means[-1]) / 2, float(means[-1] - means[0]) / 2
        return middle, centre - half * stretch, centre + half * stretch
    at = min(int(np.searchsorted(tails, tail, side="right")) - 1, len(means) // 2 - 1)
    above = tails[at + 1] if at + 1 < len(tails) else 0.5
    share = min((tail - tails[at]) / (above - tails[at]), 1.0) if above > tails[at] else 0.0
    inner = min(at + 1, len(means) // 2)
    low = (1 - share) * means[at] + share * means[inner]
    high = (1 - share) * means[-1 - at] + share * means[-1 - inner]
    return middle, min(float(low), middle), max(float(high), middle)


@cache
def _signed_rank_tails(count: int) -> Floats:
    """Return the chance that the signed-rank sum of ``count`` values is at most 0, 1, 2, ..."""
    most = count * (count + 1) // 2
    if count > EXACT:
        sd = math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
        tails: Floats = ndtr((np.arange(most + 1) + 0.5 - most / 2) / sd)
        return tails
    chances = np.ones(1)
    for rank in range(1, count + 1):
        with_it = np.zeros(len(chances) + rank)
        with_it[: len(chances)] += chances / 2
        with_it[rank:] += chances / 2
        chances = with_it
    return np.cumsum(chances)


def _typical(times: Floats, level: float, seed: int) -> tuple[float, float]:
    """Return the log time of the typical round, and the standard error that its interval stands for."""
    if len(times) == 1:
        return math.log(times.mean()), _error_of_mean(times, seed)
    interval = _over_rounds(np.log(times.mean(axis=1)), level)
    quantile = float(stdtrit(len(times) - 1, (1 + level) / 2))
    return math.log(interval.estimate), math.log(interval.high / interval.low) / 2 / quantile


def _error_of_mean(times: Floats, seed: int) -> float:
    """Return the standard error of log mean(times) within one round, by a block bootstrap."""
    means = resampled(times, seed, lambda many: many.mean(axis=1))
    return float(np.log(means).std()) * narrowness(1)


def _log_interval(
    estimate: float, error: float, rounds: int, level: float, freedom: float | None = None
) -> Interval:
    """Return Student's t interval on the log scale.

    Args:
        error: the standard error of log(estimate).
        freedom: degrees of freedom; None for those of the rounds, or of the blocks of a single round.
    """
    check_level(level)
    if freedom is None:
        freedom = (rounds if rounds > 1 else BLOCKS) - 1
    factor = math.exp(float(stdtrit(freedom, (1 + level) / 2)) * error)
    return Interval(estimate, estimate / factor, estimate * factor, level, rounds > 1)
