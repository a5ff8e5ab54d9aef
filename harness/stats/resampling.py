"""Bootstrap of timings: rounds with replacement, then blocks of consecutive batches of each round."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
AT_ONCE = 20  # resamples in memory
BLOCKS = 4  # consecutive batches are resampled in blocks of a quarter of a round
FEWEST_BATCHES = 2 * BLOCKS  # for an interval from one round

Floats = npt.NDArray[np.float64]


def resampled(times: Floats, seed: int, statistic: Callable[[Floats], Floats]) -> Floats:
    """Return the statistic of RESAMPLES resamples of rounds and of blocks of batches.

    Args:
        times: (R, B), seconds.
        statistic: maps resamples, (n, R * B), to n values. It gets a few resamples at a time: all at
            once would take megabytes for every thousand batches.

    Raises:
        ValueError: a single round has fewer than FEWEST_BATCHES batches.
    """
    rounds, batches = times.shape
    if rounds == 1 and batches < FEWEST_BATCHES:
        raise ValueError(
            f"one round of {batches} batches carries no interval; {FEWEST_BATCHES} do at least"
        )
    rng = np.random.default_rng(seed)
    which = rng.integers(rounds, size=(RESAMPLES, rounds, 1))
    starts = rng.integers(batches, size=(RESAMPLES, rounds, BLOCKS, 1))  # a block may wrap around
    steps = np.arange(-(-batches // BLOCKS))
    values = []
    for at in range(0, RESAMPLES, AT_ONCE):
        part = slice(at, at + AT_ONCE)
        within = ((starts[part] + steps) % batches).reshape(-1, rounds, BLOCKS * len(steps))
        resamples = times[which[part], within[:, :, :batches]]
        values.append(statistic(resamples.reshape(len(resamples), -1)))
    return np.concatenate(values)


def narrowness(rounds: int) -> float:
    """Return the factor by which a bootstrap's standard error is too small."""
    units = rounds if rounds > 1 else BLOCKS
    return math.sqrt(units / (units - 1))
