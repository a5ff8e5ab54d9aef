"""When queries arrive: a Poisson process of a rate."""

from __future__ import annotations

import math
import random


def arrival_times(queries: int, rate: float, seed: int) -> list[float]:
    """Return when each query arrives, in seconds from the start of a trial, ascending.

    The times between arrivals are independent and exponential with mean 1 / rate. With one seed the
    arrivals at another rate are the same ones, stretched: then each query waits longer the higher the
    rate is, and a search among rates compares like with like.

    Args:
        rate: queries per second.
    """
    times, now = [], 0.0
    draw = random.Random(f"arrivals/{seed}").random  # the sequence is the same in every Python 3
    for _ in range(queries):
        now -= math.log1p(-draw())
        times.append(now / rate)
    return times
