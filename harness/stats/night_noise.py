"""Comparison of runs: how a method's times differ, and how much of that is noise.

A run gives a method R rounds, each a fresh process of B batches. Noise has three levels (Kalibera and
Jones, "Rigorous benchmarking in reasonable time", ISMM 2013): batches, rounds, and runs, since all
rounds of a run share an hour of the machine. Each level is met in its own way:

- Batches: a round counts by the logarithm of the lower quartile of its batches.
- Rounds: a run counts by the mean of the faster half of its rounds. The error is that of a trimmed mean
  (Yuen, "The two-sample trimmed t for unequal population variances", Biometrika 61, 1974), its variance
  pooled over all runs compared.
- Runs: one run against the mean of K earlier ones has the variance s^2 (1 + 1/K), s^2 from the
  earlier runs' own spread and from what is known of the machine by ``Spread``; no number of rounds
  makes up for a lack of runs. Few runs say little of one method, so ``moderated`` lends it what they
  say of the others.

Both of the first lean to the fast side, because what disturbs a process makes it slower: in A/A rounds
of a shared host the slow tail reaches +120 %, the fast one -10 %. Over 50 real rounds of each of nine
methods, ten rounds have a standard deviation between runs of 4.9 % by medians and symmetric trimming,
1.1 % so; p-values of identical code stay true (4.8 % below 0.05, 0.7 % below 0.005). The price: a
change that leaves a quarter of the batches, or half of the processes, alone is not seen.

A difference counts only as far as both errors allow: the p-value is the larger one, the interval the
wider one. Runs alone would take a run with a contaminated process for a slow run (false alarms in up
to 1.3 % of tables for 1 % asked, R = 5), rounds alone a busy hour for slow code (30 to 100 %).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike
from scipy.special import digamma, polygamma, stdtr, stdtrit

from harness.stats.intervals import LEVEL, Interval

QUICK = 0.25  # the quantile of a round's batches that it counts by

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """How far runs of identical code lie apart on a machine, as ``./run.sh aa`` finds it.

    Attributes:
        sd: standard deviation of a run's log time, about the relative one; of runs with as many
            rounds as those compared.
        freedom: degrees of freedom it is known with: one less than the runs it comes from.
    """

    sd: float
    freedom: float

    @property
    def sum_of_squares(self) -> float:
        return self.freedom * self.sd**2


SAME_HOUR = Spread(0.0, 1e6)  # of runs that were measured in turn: they differ by their rounds only


@dataclass(frozen=True, eq=False)
class Level:
    """Log times of runs, in arrays of one shape: one entry a run, or whatever is compared at once.

    Attributes:
        value: mean over the faster half of the rounds of the log seconds of the quick batch.
        variance: Winsorised sum of squares over ``kept`` - 1; over ``kept`` it is Yuen's squared
            error of ``value``.
        kept: how many rounds the faster half has, at least 2; the middle one is in it.
    """

    value: Floats
    variance: Floats
    kept: Floats

    def __getitem__(self, index: int | slice | npt.NDArray[np.int64]) -> Level:
        return Level(*(part[index] for part in (self.value, self.variance, self.kept)))

    def seconds(self, share: float = LEVEL) -> Interval:
        """Return the seconds of one run's batch, with the interval of its rounds.

        It says nothing of how runs differ from each other. Student's t as Yuen's trimmed mean has it.
        """
        reach = -float(stdtrit(self.kept - 1, (1 - share) / 2) * np.sqrt(self.variance / self.kept))
        value = float(self.value)
        return Interval(math.exp(value), math.exp(value - reach), math.exp(value + reach), share)

    @classmethod
    def stack(cls, levels: list[Level]) -> Level:
        """Return levels stacked along a new first axis."""
        parts = [(level_.value, level_.variance, level_.kept) for level_ in levels]
        return cls(*(np.stack(part) for part in zip(*parts)))


def level(times: ArrayLike) -> Level:
    """Return the level of one run, each part of shape (), or of several of one shape, (...).

    Args:
        times: (..., R, B), seconds; R at least 3.

    Raises:
        ValueError: the shape is another, or a time is not positive and finite.
    """
    seconds = np.asarray(times, dtype=np.float64)
    if seconds.ndim < 2 or seconds.shape[-2] < 3 or not seconds.size:
        raise ValueError(f"times of shape {seconds.shape}, not (R, B) with at least 3 rounds")
    if not (np.isfinite(seconds).all() and (seconds > 0).all()):
        raise ValueError("a time is not positive and finite")
    rounds = np.sort(np.log(quick_batch(seconds)), axis=-1)
    count = rounds.shape[-1]
    kept = count - count // 2
    inner = rounds[..., :kept]
    winsorised = np.minimum(rounds, inner[..., -1:])
    variance = winsorised.var(axis=-1) * count / (kept - 1)
    return Level(inner.mean(axis=-1), variance, np.full(variance.shape, float(kept)))


def quick_batch(seconds: Floats) -> Floats:
    """Return the quantile QUICK over the last axis, to the last bit as ``np.quantile`` does.

    For the rounds of one row that takes 250 us, this 18. Judging and simulations ask row by row.
    """
    ordered = np.sort(seconds, axis=-1)
    below, part = divmod(QUICK * (ordered.shape[-1] - 1), 1)
    low = ordered[..., int(below)]
    high = ordered[..., min(int(below) + 1, ordered.shape[-1] - 1)]
    between: Floats = low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part)
    return between


def stacked_levels(runs: Sequence[ArrayLike]) -> Level:
    """Return the levels of runs along a new first axis, all at once where they are of one shape.

    Args:
        runs: times of each run as ``level`` takes them.

    Raises:
        ValueError: as ``level`` does.
    """
    arrays = [np.asarray(times, dtype=np.float64) for times in runs]
    if len({times.shape for times in arrays}) == 1:
        return level(np.stack(arrays))
    return Level.stack([level(times) for times in arrays])


def moderated(values: ArrayLike) -> Spread | None:
    """Return the spread between runs of any one method, estimated from all methods together.

    Empirical Bayes (Smyth, "Linear models and empirical Bayes methods for assessing differential
    expression in microarray experiments", Statistical Applications in Genetics and Molecular Biology 3,
    2004, section 6.2): the variances of the methods are taken for draws about a common one, and the
    more alike they are, the more degrees of freedom that has, here never more than those it was
    estimated from. It adds to a method's own runs, it does not replace them. Methods that share a
    run's effect have variances that are alike because they are the same: they count as
    ``effective_methods``, and where they share all, next to nothing is lent.

    Args:
        values: (K, M), log times of K runs of M methods.

    Returns:
        None with fewer than 2 runs or 2 methods.
    """
    logs = np.asarray(values, dtype=np.float64)
    runs, methods = logs.shape
    if runs < 2 or methods < 2:
        return None
    freedom = runs - 1
    most = (effective_methods(logs) - 1) * freedom
    variances = logs.var(axis=0, ddof=1)
    variances = np.maximum(variances, 1e-6 * variances.mean() + 1e-18)  # its logarithm is taken
    scatter = np.log(variances) - digamma(freedom / 2) + math.log(freedom / 2)
    excess = float(scatter.var(ddof=1) - polygamma(1, freedom / 2))
    if most < 0.1:  # a chi-squared of so few degrees has no useful logarithm
        return Spread(math.sqrt(float(variances.mean())), most)
    prior = most
    if excess > float(polygamma(1, most / 2)):  # else they are as alike as can be told
        from scipy.optimize import brentq  # its import takes longer than all that is done here

        prior = 2 * brentq(lambda half: polygamma(1, half) - excess, 1e-3, most / 2)
    common = math.exp(float(scatter.mean()) + float(digamma(prior / 2)) - math.log(prior / 2))
    return Spread(math.sqrt(common), prior)


def effective_methods(values: ArrayLike) -> float:
    """Return how many independent methods tell as much of the spread between runs as these do.

    It is M / (1 + (M - 1) r^2), from 1 to M. Normal values of correlation r have sample variances of
    correlation r^2, and the mean of M such variances varies as that of so many independent ones. r is
    the mean correlation of two methods over the runs and half its standard error more: in the few runs
    where a shared effect happens to be small, the variance is too small as well. Where r^2 is no more
    than independent methods show by chance, all count.

    Args:
        values: (K, M), log times of K runs of M methods; K and M at least 2.
    """
    logs = np.asarray(values, dtype=np.float64)
    runs, methods = logs.shape
    centred = logs - logs.mean(axis=0)
    sizes = np.sqrt((centred**2).sum(axis=0))
    standard = centred / np.where(sizes > 0, sizes, 1.0)
    pairs = methods * (methods - 1)
    correlation = float((standard.sum(axis=1) ** 2).sum() - (standard**2).sum()) / pairs
    if max(correlation, 0.0) ** 2 <= 2 / (pairs * (runs - 1)):  # its mean where all are independent
        return float(methods)
    correlation += (1 - correlation**2) / (2 * math.sqrt(runs - 1))
    return methods / (1 + (methods - 1) * min(correlation, 0.999) ** 2)


@dataclass(frozen=True, eq=False)
class Contrast:
    """A difference of log times with its errors, in arrays of one shape.

    Attributes:
        difference: candidate less baseline; its exponential is the ratio of times.
        rounds_error: standard error from what rounds of one run differ by.
        rounds_freedom: its degrees of freedom.
        runs_error: standard error from what runs differ by; infinite where that is unknown.
        runs_freedom: its degrees of freedom.
    """

    difference: Floats
    rounds_error: Floats
    rounds_freedom: Floats
    runs_error: Floats
    runs_freedom: float

    @property
    def p_value(self) -> Floats:
        """Student's t, two-sided: the larger of those over rounds and over runs."""
        return np.maximum(
            _two_sided(self.difference, self.rounds_error, self.rounds_freedom),
            _two_sided(self.difference, self.runs_error, self.runs_freedom),
        )

    @property
    def rounds_only(self) -> Contrast:
        """The same contrast if runs differed by their rounds only."""
        return replace(self, runs_error=np.zeros_like(self.runs_error), runs_freedom=1e6)

    def ratio(self, level_: float) -> Interval:
        """Return the ratio of times of a single comparison, with its interval of a level."""
        difference, reach = float(self.difference), float(self.reach((1 - level_) / 2))
        return Interval(
            math.exp(difference),
            math.exp(difference - reach),
            math.exp(difference + reach),
            level_,
            between_rounds=True,
        )

    def reach(self, tail: float) -> Floats:
        """Return how far from 0 a difference is just significant with ``tail`` on either side.

        It is half the width of an interval of level 1 - 2 ``tail`` as well.
        """
        by_rounds = -stdtrit(self.rounds_freedom, tail) * self.rounds_error
        reached: Floats = np.maximum(by_rounds, -stdtrit(self.runs_freedom, tail) * self.runs_error)
        return reached


def contrast(
    candidate: Level,
    baseline: Level,
    spread_squares: ArrayLike = 0.0,
    spread_freedom: float = 0.0,
) -> Contrast:
    """Compare a run with the mean of K earlier ones.

    With K = 1 and no spread known, runs may differ by anything: ``runs_error`` is infinite.

    Args:
        candidate: (...).
        baseline: (K, ...); runs count alike, whatever their rounds.
        spread_squares: (...), sum of squares of further runs' log times about their mean.
        spread_freedom: its degrees of freedom, or 0.
    """
    runs = len(baseline.value)
    freedom = (candidate.kept - 1) + (baseline.kept - 1).sum(axis=0)
    squares = (candidate.kept - 1) * candidate.variance
    squares = squares + ((baseline.kept - 1) * baseline.variance).sum(axis=0)
    shares = 1 / candidate.kept + (1 / baseline.kept).sum(axis=0) / runs**2
    centre = baseline.value.mean(axis=0)
    between = ((baseline.value - centre) ** 2).sum(axis=0) + spread_squares
    runs_freedom = runs - 1 + spread_freedom
    known = between / runs_freedom if runs_freedom else np.full_like(between, np.inf)
    return Contrast(
        difference=candidate.value - centre,
        rounds_error=np.sqrt(squares / freedom * shares),
        rounds_freedom=freedom,
        runs_error=np.sqrt(known * (1 + 1 / runs)),
        runs_freedom=float(max(runs_freedom, 1)),
    )


def _two_sided(difference: Floats, error: Floats, freedom: Floats | float) -> Floats:
    size = np.abs(difference)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(size > 0, size / error, 0.0)  # no difference is never significant
    p_value: Floats = 2 * stdtr(freedom, -t)
    return p_value
