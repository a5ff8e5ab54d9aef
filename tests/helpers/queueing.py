"""Waiting times of a queue with one server, Poisson arrivals and a constant time of service (M/D/1)."""

from __future__ import annotations

from decimal import Decimal, localcontext
from math import factorial, floor

import numpy as np


def waits_no_longer(load: float, services: float) -> float:
    """Return the probability that a query waits for at most so many times of service.

    It is Erlang's formula for one server ("The theory of probabilities and telephone conversations",
    1909; Crommelin, "Delay probability formulae when the holding times are constant", Post Office
    Electrical Engineers' Journal 25, 1932): (1 - a) times the sum over k = 0 ... floor(t) of
    (a (k - t))^k / k! exp(-a (k - t)), with the load a and t in times of service. Its terms alternate,
    hence the 60 digits.

    Args:
        load: arrivals in a time of service, below 1.
    """
    with localcontext() as context:
        context.prec = 60
        rho, t = Decimal(load), Decimal(services)
        total = Decimal(0)
        for k in range(floor(services) + 1):
            power = rho * (k - t)
            total += (power**k if k else Decimal(1)) / factorial(k) * (-power).exp()
        return float((1 - rho) * total)


def highest_load(services: float, percentile: float = 0.99) -> float:
    """Return the load at which that percentile of the waiting time is so many times of service."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if waits_no_longer(middle, services) >= percentile:
            low = middle
        else:
            high = middle
    return low


def simulated_waits(load: float, queries: int, seed: int) -> np.ndarray:
    """Return the waiting times of queries, in times of service, by Lindley's recursion.

    It is w' = max(0, w + 1 - gap), written as the sum less its smallest value so far.
    """
    gaps = np.random.default_rng(seed).exponential(1 / load, queries)
    steps = np.concatenate([[0.0], np.cumsum(1 - gaps[1:])])
    return steps - np.minimum.accumulate(np.minimum(steps, 0.0))
