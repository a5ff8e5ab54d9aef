"""Runs against runs: how a method's times differ, and how much of that noise alone explains.

A run gives a method R rounds, each a fresh process of B batches. Noise has three levels (Kalibera and
Jones, "Rigorous benchmarking in reasonable time", ISMM 2013): batches, rounds, and runs, since all
rounds of a run share an hour of the machine. Each level is met in its own way:

- Batches: a round counts by the logarithm of its median batch. A change that leaves half of the
  batches alone is therefore not seen here.
- Rounds: a run counts by the mean of its rounds without the fastest and the slowest fifth, so that one
  contaminated process in five rounds is harmless. The error is that of the trimmed mean (Yuen, "The
  two-sample trimmed t for unequal population variances", Biometrika 61, 1974), its variance pooled
  over all runs compared.
- Runs: one run against the mean of K earlier ones has the variance s^2 (1 + 1/K), s^2 from the
  earlier runs' own spread and from what is known of the machine by ``Spread``; no number of rounds
  makes up for a lack of runs.

A difference counts only as far as both errors allow: the p-value is the larger one, the interval the
wider one. Runs alone would take a run with a contaminated process for a slow run (false alarms in up
to 4.5 % of tables for 1 % asked, R = 5), rounds alone a busy hour for slow code (30 to 100 %).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

TRIMMED = 5  # one round in so many is dropped at either end

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
    freedom: int

    @property
    def sum_of_squares(self) -> float:
        return self.freedom * self.sd**2


@dataclass(frozen=True, eq=False)
class Level:
    """Log times of runs, in arrays of one shape: one entry a run, or whatever is compared at once.

    Attributes:
        value: trimmed mean over the rounds of the log seconds of the median batch.
        variance: Winsorised sum of squares over ``kept`` - 1; over ``kept`` it is Yuen's squared
            error of ``value``.
        kept: rounds that are left after trimming, at least 2.
    """

    value: Floats
    variance: Floats
    kept: Floats

    def __getitem__(self, index: int | slice | npt.NDArray[np.int64]) -> Level:
        return Level(*(part[index] for part in (self.value, self.variance, self.kept)))

    @classmethod
    def stack(cls, levels: list[Level]) -> Level:
        """Return them along a new first axis."""
        parts = [(each.value, each.variance, each.kept) for each in levels]
        return cls(*(np.stack(part) for part in zip(*parts)))


def level(times: ArrayLike) -> Level:
    """Return the level of one run, each part of shape (), or of several of one shape, (...).

    Args:
        times: (..., R, B), seconds; R at least 2.

    Raises:
        ValueError: the shape is another, or a time is not positive and finite.
    """
    seconds = np.asarray(times, dtype=np.float64)
    if seconds.ndim < 2 or seconds.shape[-2] < 2 or not seconds.size:
        raise ValueError(f"times of shape {seconds.shape}, not (R, B) with at least 2 rounds")
    if not (np.isfinite(seconds).all() and (seconds > 0).all()):
        raise ValueError("a time is not positive and finite")
    rounds = np.sort(np.log(np.median(seconds, axis=-1)), axis=-1)
    count = rounds.shape[-1]
    cut = count // TRIMMED
    inner = rounds[..., cut : count - cut]
    winsorised = np.clip(rounds, inner[..., :1], inner[..., -1:])
    kept = count - 2 * cut
    variance = winsorised.var(axis=-1) * count / (kept - 1)
    return Level(inner.mean(axis=-1), variance, np.full(variance.shape, float(kept)))


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
    spread_freedom: int = 0,
) -> Contrast:
    """Compare a run with the mean of K earlier ones.

    With K = 1 and no spread known, runs may differ by anything: ``runs_error`` is infinite.

    Args:
        candidate: (...).
        baseline: (K, ...); runs count alike, whatever their rounds.
        spread_squares: (...), sum of squares of further runs' log times about their mean.
        spread_freedom: one less than the number of those runs, or 0.
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


def holm(p_values: ArrayLike) -> Floats:
    """Return p-values adjusted for the tests of a table, (..., T) as given.

    Rejecting where they are at most alpha keeps the chance of any false rejection in a table at most
    alpha, however the tests depend on each other (Holm, "A simple sequentially rejective multiple
    test procedure", Scandinavian Journal of Statistics 6, 1979).
    """
    given = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(given, axis=-1)
    steps = np.take_along_axis(given, order, axis=-1) * np.arange(given.shape[-1], 0, -1)
    steps = np.minimum(np.maximum.accumulate(steps, axis=-1), 1.0)
    adjusted = np.empty_like(given)
    np.put_along_axis(adjusted, order, steps, axis=-1)
    return adjusted


def _two_sided(difference: Floats, error: Floats, freedom: Floats | float) -> Floats:
    size = np.abs(difference)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(size > 0, size / error, 0.0)  # no difference is never significant
    p_value: Floats = 2 * stdtr(freedom, -t)
    return p_value
