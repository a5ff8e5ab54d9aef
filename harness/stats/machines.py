"""What several machines of a type say of the type, and which differences between types hold.

Values are positive, one a machine: each is the typical round of that machine (``harness.stats.speed``).
The machine is the random unit. Rounds of one machine share its silicon, its neighbours and its place,
so their number says nothing about the next machine (Kalibera and Jones, "Rigorous benchmarking in
reasonable time", ISMM 2013, on the highest level of repetition).

The estimand is the typical machine: the pseudomedian of the logarithms of all machines of the type. As
of rounds, the estimate is Hodges and Lehmann's and the interval Wilcoxon's, stretched by Student's
quantiles where so few machines do not reach the level; with 2 machines that is Student's t itself. It
needs no assumption on the rounds within a machine, which may resemble each other: only machines must be
independent.

A difference of two types is tested by t on the log scale, from both estimates and half the widths of
their intervals over Student's quantile. Its degrees of freedom are those of the type with fewer
machines, less one. Welch and Satterthwaite's are more, and too many for so few machines: in simulations
with 2 to 5 machines, types that do not differ and one that varies more than the others, 4 to 9 % of
comparisons then claim a difference, Games and Howell's studentised range up to 14 %. The smaller number
is valid for any ratio of the variances (Mickey and Brown, "Bounds on the distribution functions of the
Behrens-Fisher statistic", Annals of Mathematical Statistics 37, 1966). All pairs of types are adjusted
by Holm's method, which holds whatever the pairs have in common.

``./run.sh benchmark verdicts --parts machines`` measures coverage and false claims; docs/statistics.md
has the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from harness.stats.intervals import LEVEL, Interval, check_level
from harness.stats.multiple_tests import holm
from harness.stats.resampling import Floats
from harness.stats.speed import signed_rank_interval

FEWEST = 2  # machines of a type, below which nothing is known of its spread


@dataclass(frozen=True)
class Side:
    """One side of a ratio.

    Attributes:
        log: of the estimate.
        error: the standard error of ``log``.
        freedom: degrees of freedom of ``error``.
    """

    log: float
    error: float
    freedom: float


@dataclass(frozen=True)
class Difference:
    """Two types, by their indices.

    Attributes:
        ratio: of the second to the first, with its interval for this pair alone.
        p_value: of equal types, adjusted for the number of pairs.
    """

    first: int
    second: int
    ratio: Interval
    p_value: float

    @property
    def holds(self) -> bool:
        """Whether the types differ at the family-wise level of 5 %."""
        return self.p_value <= 1 - LEVEL


def typical_machine(values: ArrayLike, *, level: float = LEVEL) -> Interval:
    """Return the value of the typical machine of a type, with its interval between machines.

    Args:
        values: (M,), positive, one a machine, M at least 2.

    Raises:
        ValueError: there are fewer than two, or one is not positive.
    """
    check_level(level)
    logs = _logs(values)
    middle, low, high = signed_rank_interval(logs, level)
    return Interval(math.exp(middle), math.exp(low), math.exp(high), level, True)


def side_of(interval: Interval, count: int) -> Side:
    """Return a side of a ratio from an interval over machines, or over the rounds of one machine.

    Args:
        count: of the machines or rounds, at least 2.
    """
    quantile = float(stdtrit(count - 1, (1 + interval.level) / 2))
    half = math.log(interval.high / interval.low) / 2
    return Side(math.log(interval.estimate), half / quantile, count - 1)


def ratio(reference: Side, side: Side, *, level: float = LEVEL) -> Interval:
    """Return how many times the reference, with its interval.

    The degrees of freedom are those of the lesser side, so that it holds its level or more.
    """
    estimate = math.exp(side.log - reference.log)
    quantile = float(stdtrit(min(reference.freedom, side.freedom), (1 + level) / 2))
    factor = math.exp(quantile * math.hypot(reference.error, side.error))
    return Interval(estimate, estimate / factor, estimate * factor, level, True)


def differences(types: Sequence[Side]) -> list[Difference]:
    """Return all pairs of types in the order of their indices, adjusted for their number."""
    pairs = list(combinations(range(len(types)), 2))
    p_values = [_p_value(types[first], types[second]) for first, second in pairs]
    return [
        Difference(first, second, ratio(types[first], types[second]), p_value)
        for (first, second), p_value in zip(pairs, holm(p_values).tolist())
    ]


def _p_value(one: Side, other: Side) -> float:
    """Return the two-sided p-value of equal types."""
    error = math.hypot(one.error, other.error)
    if error == 0:
        return float(one.log == other.log)
    freedom = min(one.freedom, other.freedom)
    return 2 * float(stdtr(freedom, -abs(one.log - other.log) / error))


def _logs(values: ArrayLike) -> Floats:
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or len(numbers) < FEWEST:
        raise ValueError(
            f"{numbers.size} values in {numbers.ndim} dimensions: give two machines or more"
        )
    if not (numbers > 0).all() or not np.isfinite(numbers).all():
        raise ValueError("values of machines must be positive numbers")
    logs: Floats = np.log(numbers)
    return logs
