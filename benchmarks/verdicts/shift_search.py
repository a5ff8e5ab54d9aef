"""The search for shifts: its time, false alarms, and when a step or a drift is noted."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from benchmarks.verdicts.figures import Figure
from benchmarks.verdicts.noise import Floats
from harness.nightly.verdict import NIGHTLY
from harness.stats.changes import FEWEST, shifts

PART = "Shift search"
NOISE = 0.01  # log standard deviation from night to night


def measured(repeats: int, seed: int) -> Iterator[Figure]:
    """Yield seconds, percentages and delays in nights."""
    rng = np.random.default_rng((seed, 1))
    for count in (100, 200, 300):
        values = np.exp(NOISE * rng.standard_normal(count))
        values[count // 2 :] *= 1.06
        began = time.perf_counter()
        shifts(values.tolist(), NIGHTLY.slower)
        yield Figure(PART, f"{count} nights", None, "s", time.perf_counter() - began, most=1.0)
    quiet = np.exp(NOISE * rng.standard_normal((repeats, 60)))
    false = [bool(shifts(values.tolist(), NIGHTLY.slower)) for values in quiet]
    yield Figure(
        PART, "60 nights unchanged", None, "noted %", 100 * float(np.mean(false)), most=1.0
    )
    step = np.where(np.arange(45) < 30, 1.0, 1.05)
    yield Figure(
        PART, "+5 % at night 30", None, "nights until noted", noted(rng, step, repeats) - 30
    )
    drift = 1.005 ** (np.arange(160) // 7)
    nights = noted(rng, drift, max(repeats // 10, 5))
    yield Figure(PART, "+0.5 % a week", None, "nights until noted", nights)


def noted(rng: np.random.Generator, course: Floats, repeats: int) -> float:
    """Return the median number of nights after which a shift is first noted; all if it never is."""
    first = []
    for _ in range(repeats):
        values = (course * np.exp(NOISE * rng.standard_normal(len(course)))).tolist()
        counts = range(2 * FEWEST, len(values) + 1)
        noted_at = (
            n for n in counts if any(s.ratio > 1 for s in shifts(values[:n], NIGHTLY.slower))
        )
        first.append(next(noted_at, len(values)))
    return float(np.median(first))
