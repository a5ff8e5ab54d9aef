"""The highest rates of queries that pass, by bisection."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass

from harness.serving.early_stopping import PERCENTILE, most_late

FIRST = 0.5  # of the capacity: the first rate to be tried
NEAR = 0.9  # of the capacity: a higher rate that passes shows that it was underestimated
MOST = 8  # of the capacity: no rate above is tried, so that every search ends
LOWEST = 1 / 32  # of the capacity: a lower rate is not tried, since a trial would take too long


@dataclass(frozen=True)
class Search:
    """How to look for the highest rates.

    Attributes:
        capacity: an estimate of the queries per second that the instances would serve without a pause.
        precision: a rate that passed and one that failed differ by at most this share at the end.
        duration_s: of the arrivals of a trial, at least.
        fewest_queries: of a trial; enough for one to pass (``early_stopping.most_late``).
    """

    capacity: float
    precision: float
    duration_s: float
    fewest_queries: int


@dataclass(frozen=True)
class Attempt:
    """What is to be tried: so many queries at a rate a second, of which so many may be late."""

    rate: float
    queries: int
    allowed: int


@dataclass(frozen=True)
class Rates:
    """The result of a search, in queries per second; None where not even the lowest rate passed.

    Attributes:
        highest: at which the 99th percentile of a trial was at most the target.
        shown: at which a trial passed MLPerf's early stopping: the percentile of the system, and not
            only that of the trial, is below the target with 99 % confidence.
    """

    highest: float | None
    shown: float | None


def late_at_percentile(queries: int) -> int:
    """Return how many queries may be late for the percentile of a trial to be at most the target.

    The percentile is LoadGen's: of n sorted latencies, the one with floor(0.99 n) before it.
    """
    return queries - math.floor(queries * PERCENTILE) - 1


def late_with_confidence(queries: int) -> int:
    """Return how many queries may be late under early stopping; -1 if the trial is too short."""
    allowed = most_late(queries)
    return -1 if allowed is None else allowed


def highest_rates(search: Search) -> Generator[Attempt, int, Rates]:
    """Yield attempts; take how many queries of each were late; return the highest rates that passed.

    An attempt may end as soon as more queries are late than it allows.
    """
    tried: list[tuple[Attempt, int]] = []
    highest = yield from _bisection(search, late_at_percentile, tried)
    shown = yield from _bisection(search, late_with_confidence, tried)
    return Rates(highest, shown)


def _bisection(
    search: Search, allowed: Callable[[int], int], tried: list[tuple[Attempt, int]]
) -> Generator[Attempt, int, float | None]:
    """Find the highest rate at which few enough queries are late; what was tried before counts."""
    while True:
        passed = max((one.rate for one, late in tried if late <= allowed(one.queries)), default=0.0)
        failed = min(
            (one.rate for one, late in tried if late > allowed(one.queries)), default=math.inf
        )
        is_failed = not math.isinf(failed)
        if not is_failed:  # above the capacity the queue grows without end
            failed = search.capacity
            while passed > NEAR * failed:
                failed *= 2
            if failed > MOST * search.capacity:
                return passed
        is_found = is_failed and failed - passed <= search.precision * passed
        if is_found or failed <= LOWEST * search.capacity:
            return passed or None
        rate = (passed + failed) / 2 if tried else FIRST * search.capacity
        queries = max(search.fewest_queries, math.ceil(rate * search.duration_s))
        attempt = Attempt(rate, queries, allowed(queries))
        tried.append((attempt, (yield attempt)))
