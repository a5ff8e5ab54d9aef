"""One verdict per method and metric of a run against earlier ones: whom to wake, and why.

First the noise gate: is there a difference at all? The p-values of all rows, times and accuracies, are
adjusted by Holm's method, so that a table of identical code shows any difference with probability at
most ``Settings.alpha``. Only then the threshold: is it one that matters?

============ ================================================================================
regression   a difference, for the worse, of the threshold or more
improvement  the same for the better
change       a difference below the threshold, or of a metric without a better direction
none         no difference, and one as large as the threshold is excluded
cannot tell  no difference found, yet one as large as the threshold may be there
missing, new the row was measured before or is measured now, not both
============ ================================================================================

``none`` is a test of its own: the 90 % interval lies within the threshold either way, which is two
one-sided tests at 5 % (Schuirmann, "A comparison of the two one-sided tests procedure
and the power approach", Journal of Pharmacokinetics and Biopharmaceutics 15, 1987). It needs no
adjustment: that nothing changed is claimed row by row, and of a table only if every row says so
(Berger, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24, 1982).

Rows with not one image judged differently cannot be significant, whatever alpha, and do not count
among the tests (Tarone, "A modified Bonferroni method for discrete data", Biometrics 46, 1990). So
identical predictions cost times no power.

Apart from its kind a row can be *suspected*: of being slower, by a test that is not adjusted for the
table. A suspicion is only a reason to measure again; see ``confirm``.

What is not covered: that a method tuned anew by INC may come out differently with the same code. Its
images are then judged as those of other code, which they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from harness.stats.intervals import Interval
from harness.table.metrics import COST, MEGABYTES, SECONDS, Metric

Kind = Literal["regression", "improvement", "change", "none", "cannot tell", "missing", "new"]
Gap = Literal[
    "noise", "disturbed", "few rounds", "few runs", "nothing before", "not repeated", "machine"
]
BATCH = Metric("batch_s", "Batch s", 4, False, unit=SECONDS)  # "time of a batch" in docs/nightly.md
# the most memory that the process of a stage held at once; 1 MB is 1,000,000 bytes
OPTIMIZE_MEMORY = Metric("optimize_mb", "Optimising MB", 0, False, unit=MEGABYTES)
VALIDATE_MEMORY = Metric("validate_mb", "Validation MB", 0, False, unit=MEGABYTES)
MEMORY = (OPTIMIZE_MEMORY, VALIDATE_MEMORY)
ONCE = (COST, *MEMORY)  # a run has one figure of each, without rounds
EQUIVALENCE = 0.9  # level of the intervals: "none" is two one-sided tests at half of what is left
LEAST_RUNS = 3
LEAST_COST_S = 1.0
LEAST = {COST: LEAST_COST_S}  # of figures that are judged

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Key = tuple[str, str]  # method and metric


@dataclass(frozen=True)
class Settings:
    """The thresholds and error rates of verdicts.

    Attributes:
        alpha: chance of any difference, however small, in a table of identical code. Half a percent
            rather than one: the normal distribution, which it is computed with, is not quite that
            of machines.
        suspicion: twice the chance that a row of identical code is measured again as slower.
        slower: smallest ratio of times, less 1, worth waking anyone. About what identical code
            differs by on hosted machines, and half of the 5 % that must not be missed.
        dearer: the same of the cost of optimising; a cost is measured once a run, so it takes
            ``LEAST_RUNS`` earlier ones to know its noise, and is judged from ``LEAST_COST_S`` on.
        larger: the same of the peak memory of a stage, which is measured once a run as well. Runs of
            identical code differ by up to 5 % in it.
        points: smallest difference of accuracy worth it, in points of 100; 0.07 lie between the
            published rows that pass for equal, and 0.5 must not be missed.
        rounds: fewest for a verdict; of fewer than 5, half are too few to know their noise.
    """

    alpha: float = 0.005
    suspicion: float = 0.1
    slower: float = 0.025
    dearer: float = 0.25
    larger: float = 0.1
    points: float = 0.1
    rounds: int = 5

    def __post_init__(self) -> None:
        if not (0 < self.alpha < 0.5 and 0 < self.suspicion < 0.5):
            raise ValueError(
                f"alpha {self.alpha} and suspicion {self.suspicion}: both must be between 0 and 0.5"
            )
        if not min(self.slower, self.dearer, self.larger, self.points) > 0:
            raise ValueError(
                f"thresholds {self.slower}, {self.dearer} and {self.points}, and {self.larger} of "
                "memory: all must be positive"
            )
        if self.rounds < 3:
            raise ValueError(f"rounds is {self.rounds}; a verdict needs at least 3")

    def of_once(self, metric: Metric) -> float:
        """Return the threshold of a figure of ``ONCE``."""
        return self.dearer if metric == COST else self.larger


NIGHTLY = Settings()


@dataclass(frozen=True)
class Run:
    """The measurements of a run that verdicts use.

    Attributes:
        times: by method, (R, B) seconds: R rounds, each a fresh process, of B batches.
        correct: by accuracy and method, (n,) bool: whether each of the same n images was right.
        once: by metric of ``ONCE`` and method, the figure of the run.
    """

    times: Mapping[str, Floats]
    correct: Mapping[Metric, Mapping[str, Bools]] = field(default_factory=dict)
    once: Mapping[Metric, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """A verdict on one row.

    Attributes:
        estimate: times, costs and memory: the ratio of the candidate's to the baseline's; accuracies:
            points of 100 gained. Its interval is that of ``EQUIVALENCE``; None where there is none.
        p_value: of no difference, for this row alone; None where it was not tested.
        adjusted_p: the same for the table; what is compared with alpha.
        threshold: smallest difference that matters: of the ratio from 1, or in points.
        reason: the finding, with its figures, in a sentence or two.
        suspected: the row may be worse by the threshold or more: measure it again.
        advice: what the finding means, and what to do.
        gap: why it is ``cannot tell``; None for other kinds.
        in_turn: the ratio of times to those of an earlier model, timed in turn with it.
    """

    method: str
    metric: Metric
    kind: Kind
    estimate: Interval | None
    p_value: float | None
    adjusted_p: float | None
    threshold: float
    reason: str
    suspected: bool = False
    advice: str = ""
    gap: Gap | None = None
    in_turn: Interval | None = None

    @property
    def key(self) -> Key:
        return self.method, self.metric.name

    @property
    def interval(self) -> Interval | None:
        """The estimate with its interval; None where only the ratio was kept, which is not exact."""
        known = self.estimate
        is_alone = known is not None and known.low == known.high and self.p_value is None
        return None if is_alone else known

    @property
    def sentences(self) -> str:
        """The finding, its meaning and what to do."""
        return f"{self.reason} {self.advice}".rstrip()
