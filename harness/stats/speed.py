"""Throughput, speedup and latency percentiles, with their intervals.

Times are positive seconds of shape (R, B): R rounds, each a fresh process, of B equal batches, the
same in every round. Round r of two methods ran close together, so it is a block and shares its drift.
Intervals for times are symmetric on the log scale: they stay positive and follow scaling and inversion.

Rounds, not batches, are the independent units: batches of one process share its memory layout, and
their number says nothing about the next process (Kalibera and Jones, "Rigorous benchmarking in
reasonable time", ISMM 2013). Hence Student's t with R - 1 degrees of freedom. Measured coverage of 95 %
intervals of a speedup, with heavy-tailed batches of autocorrelation 0.5, at R = 3, 5, 10:

    percentile bootstrap of rounds               75, 84, 90 %
    percentile bootstrap of rounds and batches   79, 86, 91 %
    the former / the latter, corrected           95, 94, 94 % / 98, 96, 96 %
    studentised bootstrap of rounds               -, 95, 95 %
    Student's t over rounds, as here             95, 95, 95 %

Resampling R rounds gives sqrt((R - 1) / R) of the standard error, and the normal quantile instead of
Student's; resampling batches too counts their noise twice (Davison and Hinkley, "Bootstrap Methods and
their Application", 1997, section 3.8). "Corrected" multiplies by the missing factors. Where a bootstrap
is needed (percentiles, or a single round) it only gives the standard error, with that correction
(Hesterberg, "What teachers should know about the bootstrap", American Statistician 69, 2015).

A limit of all these methods: an effect of one process in ten, or a very skewed one, is mostly absent
from three rounds. With exponentially distributed drift ``throughput`` covers 90 to 94 %. ``speedup``
keeps 95 % where drift or both methods are so skewed, and has 90 to 91 % where one method alone is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from harness.stats.intervals import LEVEL, Interval, check_level
from harness.stats.resampling import BLOCKS, Floats, narrowness, resampled
from harness.stats.steady import checked_timings


def throughput(
    times: ArrayLike, batch_size: int, *, level: float = LEVEL, seed: int = 0
) -> Interval:
    """Return images per second: ``batch_size`` over the mean time of a batch.

    The interval is Student's t over the R round means, on the log scale. With one round it comes
    from a block bootstrap and leaves the variance between processes out; see ``speedup``.

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
    error = _error_of_mean(seconds, seed) if len(seconds) == 1 else _error_over_rounds(seconds)
    return _log_interval(batch_size / float(seconds.mean()), error, len(seconds), level)


def speedup(
    reference: ArrayLike, times: ArrayLike, *, level: float = LEVEL, seed: int = 0
) -> Interval:
    """Return how many times faster than the reference, 1 being equal.

    The estimate is the ratio of mean times, not the geometric mean of the rounds' ratios: it is what
    running the whole workload takes, and it equals the ratio of the two throughputs. The interval is
    Student's t over rounds on the log scale, from each round's share in the log of that ratio (the
    delta method); drift common to a round of both methods cancels. Fieller's interval of the same
    ratio (Kalibera and Jones, "Quantifying performance changes with effect size confidence
    intervals", arXiv:2007.10899) covers the same here, but may be unbounded.

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
    else:
        error = _error_over_rounds(theirs, ours)
    return _log_interval(float(theirs.mean()) / float(ours.mean()), error, len(ours), level)


def speedup_apart(
    reference: ArrayLike, times: ArrayLike, *, level: float = LEVEL, seed: int = 0
) -> Interval:
    """Return how many times faster than a reference measured elsewhere or another day.

    Nothing pairs the rounds of two machines, and there may be more of one, so both errors count in
    full: Welch's t on the log scale, with the degrees of freedom of Welch ("The generalization of
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
    sides = [checked_timings("reference", reference), checked_timings("times", times)]
    errors = [
        _error_of_mean(side, seed) if len(side) == 1 else _error_over_rounds(side) for side in sides
    ]
    freedoms = [(len(side) if len(side) > 1 else BLOCKS) - 1 for side in sides]
    squares = [error**2 for error in errors]
    freedom = welch_freedom(squares, freedoms)
    ratio = float(sides[0].mean()) / float(sides[1].mean())
    rounds = min(map(len, sides))
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


def _error_over_rounds(times: Floats, other: Floats | None = None) -> float:
    """Return the standard error of log mean(times) - log mean(other) from the rounds' means."""
    shares = times.mean(axis=1) / times.mean()
    if other is not None:
        shares = shares - other.mean(axis=1) / other.mean()
    return float(shares.std(ddof=1)) / math.sqrt(len(shares))


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
