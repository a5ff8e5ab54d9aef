"""A confidence interval, as every statistic here returns it."""

from __future__ import annotations

from dataclasses import dataclass

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval, all in the estimate's unit.

    Attributes:
        level: the confidence level, between 0 and 1.
        between_rounds: whether the interval covers the variance between processes. False for a
            single round: the next process may well fall outside. None for what has no rounds.
        doubt: why the interval may not hold its level, for a footnote; None where nothing in the
            measurement says so.
    """

    estimate: float
    low: float
    high: float
    level: float
    between_rounds: bool | None = None
    doubt: str | None = None


def check_level(level: float) -> None:
    """Raise ValueError unless a confidence level is between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, not between 0 and 1")
