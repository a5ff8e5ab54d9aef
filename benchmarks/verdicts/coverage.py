"""How often the intervals of a table hold the truth, and how often they see a difference."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.verdicts.figures import Figure
from benchmarks.verdicts.noise import KINDS, Floats, draw, typical
from harness.stats.intervals import Interval
from harness.stats.speed import speedup, throughput

PART = "Intervals"
ROUNDS = (5, 20)
OWN, SHARED = (
    0.02,
    0.03,
)  # standard deviations of log times: a method's own, and of the hour's drift
FASTER = (1.03, 1.05)


def measured(repeats: int, seed: int) -> Iterator[Figure]:
    """Yield coverage and power in percent, and the share of intervals with a doubt.

    A method's own noise is of the kind. For the speedup, both methods share normal drift as well; a
    reference has noise of the same kind, but with spikes on one side it has none: only one has spikes.
    """
    for kind in KINDS:
        middle = typical(kind)
        for rounds in ROUNDS:
            rng = np.random.default_rng((seed, KINDS.index(kind), rounds))
            shape = (repeats, rounds)
            logs = OWN * draw(rng, kind, shape)
            other_kind = "normal" if kind == "spikes on one side" else kind
            other = OWN * draw(rng, other_kind, shape)
            drift = SHARED * rng.standard_normal(shape)
            rates = [throughput(times, 1) for times in seconds(logs)]
            truth = float(np.exp(-OWN * middle))
            yield Figure(PART, kind, rounds, "throughput %", covered(rates, truth), 93, 97)
            reference, times = seconds(other + drift), seconds(logs + drift)
            middle_of_ratio = -OWN * middle if kind == "spikes on one side" else 0.0
            ratios = [speedup(*pair) for pair in zip(reference, times)]
            truth = float(np.exp(middle_of_ratio))
            yield Figure(PART, kind, rounds, "speedup %", covered(ratios, truth), 93, 97)
            doubts = 100 * float(np.mean([bool(ratio.doubt) for ratio in ratios]))
            yield Figure(PART, kind, rounds, "speedup in doubt %", doubts)
            for factor in FASTER:
                seen = [ratio.low * factor > 1 for ratio in ratios]
                name = f"{100 * (factor - 1):.0f} % seen %"
                yield Figure(PART, kind, rounds, name, 100 * float(np.mean(seen)))


def seconds(logs: Floats) -> Floats:
    """Return times of two batches a round, (..., R) to (..., R, 2)."""
    return np.asarray(np.exp(logs)[..., None] * np.ones(2))


def covered(intervals: list[Interval], truth: float) -> float:
    """Return the percentage of intervals that hold the truth."""
    return 100 * float(np.mean([each.low <= truth <= each.high for each in intervals]))
