"""Intervals for speed and accuracy.

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

Resampling R rounds makes the standard error sqrt((R - 1) / R) of what it should be and puts the normal
quantile for Student's; resampling batches too counts their noise twice (Davison and Hinkley, "Bootstrap
Methods and their Application", 1997, section 3.8). Correcting means multiplying by what is missing.
Where a bootstrap is needed (percentiles, or a single round) it gives the standard error alone, so
corrected (Hesterberg, "What teachers should know about the bootstrap", American Statistician 69, 2015).

What nothing here mends: an effect of one process in ten, or a very skewed one, is mostly absent from
three. With exponentially distributed drift ``throughput`` covers 90 to 94 %. ``speedup`` keeps 95 %
where drift or both methods are so skewed, and has 90 to 91 % where one method alone is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike
from scipy.special import bdtr, ndtri, stdtrit

from harness.stats.steady import timings_of

LEVEL = 0.95
RESAMPLES = 1000
AT_ONCE = 20  # of them in memory
BLOCKS = 4  # consecutive batches are resampled in blocks of a quarter of a round
FEWEST_BATCHES = 2 * BLOCKS  # for an interval from one round

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval, all in the estimate's unit.

    Attributes:
        level: the confidence level, between 0 and 1.
        between_rounds: whether it covers the variance between processes; False where there was one
            round, so that another process may well fall outside; None where there are no rounds.
    """

    estimate: float
    low: float
    high: float
    level: float
    between_rounds: bool | None = None


@dataclass(frozen=True)
class McNemar:
    """A test of equal accuracy on the same images.

    Attributes:
        b: images only the reference got right.
        c: images only the method got right.
        p_value: two-sided.
        method: the test's name.
    """

    b: int
    c: int
    p_value: float
    method: str


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
    seconds = timings_of("times", times)
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
    ours, theirs = timings_of("times", times), timings_of("reference", reference)
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
    sides = [timings_of("reference", reference), timings_of("times", times)]
    errors = [
        _error_of_mean(each, seed) if len(each) == 1 else _error_over_rounds(each) for each in sides
    ]
    freedoms = [(len(each) if len(each) > 1 else BLOCKS) - 1 for each in sides]
    squares = [error**2 for error in errors]
    freedom = freedom_of_sum(squares, freedoms)
    ratio = float(sides[0].mean()) / float(sides[1].mean())
    rounds = min(map(len, sides))
    return _log_interval(ratio, math.sqrt(sum(squares)), rounds, level, freedom)


def freedom_of_sum(squares: Sequence[float], freedoms: Sequence[float]) -> float:
    """Return the degrees of freedom, by Welch and Satterthwaite, of a sum of independent variances.

    Args:
        squares: the variances, (n,).
        freedoms: what each is known with, (n,).
    """
    spread = sum(square**2 / freedom for square, freedom in zip(squares, freedoms))
    return sum(squares) ** 2 / spread if spread else float(min(freedoms))


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
    seconds = timings_of("latencies", latencies)
    if not all(0 < each < 100 for each in q):
        raise ValueError(f"q is {tuple(q)}; each must be above 0 and below 100")
    shares = [each / 100 for each in q]
    found = np.quantile(seconds, shares)
    drawn = _resampled(seconds, seed, lambda many: np.quantile(many, shares, axis=1).T)
    errors = np.log(drawn).std(axis=0) * _narrowness(len(seconds))
    return {
        each: _log_interval(float(value), float(error), len(seconds), level)
        for each, value, error in zip(q, found, errors)
    }


def relative_loss(
    correct_reference: ArrayLike, correct: ArrayLike, *, level: float = LEVEL
) -> Interval:
    """Return 100 * (a - b) / a in percent, a and b the reference's and the method's accuracy.

    That is 100 * (1 - b / a), so the interval is that of a ratio of paired proportions: the score
    interval of Tang, Tang and Chan ("On tests of equivalence via non-unity relative risk for
    matched-pair design", Statistics in Medicine 22, 2003), the ratio's counterpart of Tango's for the
    difference. The images count as a random sample. Without one discordant image it still is about 3.84
    images wide either way.

    Measured coverage, discordant images 0.1 to 10 % and lost one way or both: 94.5 to 96.3 % for
    n = 10,000 and 50,000. For n = 576 it is 94.8 to 95.5 % from 1 % on, 98.9 to 99.2 % at 0.3 % and
    100 % at 0.1 %, where 1.7 and 0.6 discordant images are expected.

    Args:
        correct_reference: (n,) bool, whether the reference got each image right.
        correct: (n,) bool, the same for the method.

    Raises:
        ValueError: the arrays are not boolean, 1-D, non-empty and of one length, ``level`` is out of
            range, or the reference got no image right.
    """
    both, lost, won, images = _paired(correct_reference, correct)
    _check_level(level)
    if not both + lost:
        raise ValueError("correct_reference has no correct image, so a relative loss is undefined")
    low, high = _ratio_limits(both, lost, won, images, level)
    estimate = 100 * (lost - won) / (both + lost)
    return Interval(estimate, 100 * (1 - high), 100 * (1 - low), level)


def mcnemar(correct_reference: ArrayLike, correct: ArrayLike) -> McNemar:
    """Return McNemar's mid-p test that both are equally accurate.

    Fagerland, Lydersen and Laake ("The McNemar test for binary matched-pairs data: mid-p and
    asymptotic are better than exact conditional", BMC Medical Research Methodology 13:91, 2013)
    recommend it: in none of their 9595 cases did it exceed its level, and it is not as conservative as
    the exact test. Where b = c their formula is 1 less half the probability of b; without discordant
    images p is 1.

    Args:
        correct_reference: (n,) bool.
        correct: (n,) bool.

    Raises:
        ValueError: the arrays are not boolean, 1-D, non-empty and of one length.
    """
    _, b, c, _ = _paired(correct_reference, correct)
    fewer, discordant = min(b, c), b + c
    below = float(bdtr(fewer - 1, discordant, 0.5)) if fewer else 0.0
    here = float(bdtr(fewer, discordant, 0.5)) - below
    p_value = 2 * below + here if b != c else 1 - here / 2
    return McNemar(b, c, p_value if discordant else 1.0, "mid-p")


def _error_over_rounds(times: Floats, other: Floats | None = None) -> float:
    """Return the standard error of log mean(times), less log mean(other), from whole rounds."""
    shares = times.mean(axis=1) / times.mean()
    if other is not None:
        shares = shares - other.mean(axis=1) / other.mean()
    return float(shares.std(ddof=1)) / math.sqrt(len(shares))


def _error_of_mean(times: Floats, seed: int) -> float:
    """Return the standard error of log mean(times) within one round, by blocks."""
    means = _resampled(times, seed, lambda many: many.mean(axis=1))
    return float(np.log(means).std()) * _narrowness(1)


def _resampled(times: Floats, seed: int, statistic: Callable[[Floats], Floats]) -> Floats:
    """Return the statistic of RESAMPLES resamples: rounds with replacement, then blocks of each.

    It gets (n, R * B), a few at a time: all of them would take megabytes for each thousand batches.
    """
    rounds, batches = times.shape
    if rounds == 1 and batches < FEWEST_BATCHES:
        raise ValueError(
            f"one round of {batches} batches carries no interval; {FEWEST_BATCHES} do at least"
        )
    rng = np.random.default_rng(seed)
    which = rng.integers(rounds, size=(RESAMPLES, rounds, 1))
    starts = rng.integers(batches, size=(RESAMPLES, rounds, BLOCKS, 1))  # a block goes end to start
    steps = np.arange(-(-batches // BLOCKS))
    parts = []
    for at in range(0, RESAMPLES, AT_ONCE):
        many = slice(at, at + AT_ONCE)
        within = ((starts[many] + steps) % batches).reshape(-1, rounds, BLOCKS * len(steps))
        drawn = times[which[many], within[:, :, :batches]]
        parts.append(statistic(drawn.reshape(len(drawn), -1)))
    return np.concatenate(parts)


def _narrowness(rounds: int) -> float:
    """Return what a bootstrap's standard error is too small by."""
    units = rounds if rounds > 1 else BLOCKS
    return math.sqrt(units / (units - 1))


def _log_interval(
    estimate: float, error: float, rounds: int, level: float, freedom: float | None = None
) -> Interval:
    """Return Student's t interval; ``error`` is the standard error of log(estimate)."""
    _check_level(level)
    if freedom is None:
        freedom = (rounds if rounds > 1 else BLOCKS) - 1
    factor = math.exp(float(stdtrit(freedom, (1 + level) / 2)) * error)
    return Interval(estimate, estimate / factor, estimate * factor, level, rounds > 1)


def _ratio_limits(both: int, lost: int, won: int, images: int, level: float) -> tuple[float, float]:
    """Return Tang's score limits of (both + won) / (both + lost), where the latter is not 0."""
    from scipy.optimize import brentq  # takes a quarter of what loading this program does

    ours, theirs, either = both + won, both + lost, both + lost + won
    z = float(ndtri((1 + level) / 2))

    def excess(ratio: float) -> float:
        """Return the squared score less its bound, times the score's variance."""
        a = images * (1 + ratio)
        b = theirs * ratio**2 - (ours + 2 * lost)
        c = lost * (1 - ratio) * either / images
        share = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)  # of lost images, if true
        variance = a * share + either * (ratio - 1)
        return float((ours - theirs * ratio) ** 2 - z * z * variance)

    estimate = ours / theirs
    low, high = 0.0, 2.0 * max(estimate, 1.0)
    while excess(high) <= 0:
        high *= 2
    if ours:
        low = float(brentq(excess, 0.0, estimate * (1 - 1e-9), xtol=1e-13))
    return low, float(brentq(excess, estimate * (1 + 1e-9) or 1e-9, high, xtol=1e-13))


def _paired(correct_reference: ArrayLike, correct: ArrayLike) -> tuple[int, int, int, int]:
    """Return how many images both got right, the reference only, the method only, and all."""
    theirs, ours = np.asarray(correct_reference), np.asarray(correct)
    for name, values in (("correct_reference", theirs), ("correct", ours)):
        if values.dtype != np.bool_ or values.ndim != 1 or not values.size:
            raise ValueError(
                f"{name} is {values.dtype} of shape {values.shape}, not bool of shape (n,)"
            )
    if theirs.size != ours.size:
        raise ValueError(f"correct has {ours.size} images, correct_reference {theirs.size}")
    both = int(np.count_nonzero(theirs & ours))
    return both, int(theirs.sum()) - both, int(ours.sum()) - both, theirs.size


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, not between 0 and 1")
