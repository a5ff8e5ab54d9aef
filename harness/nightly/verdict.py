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
from harness.table.metrics import Metric

Kind = Literal["regression", "improvement", "change", "none", "cannot tell", "missing", "new"]
BATCH = Metric("batch_s", "Batch s", 4, False)  # the median of a round's batches
EQUIVALENCE = 0.9  # level of the intervals: "none" is two one-sided tests at half of what is left
LEAST_RUNS = 3
LEAST_COST_S = 1.0
LEAST_P = 1e-9  # no noise is known well enough to tell smaller ones apart

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


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
        points: smallest difference of accuracy worth it, in points of 100; 0.07 lie between the
            published rows that pass for equal, and 0.5 must not be missed.
        rounds: fewest for a verdict; of fewer than 5, half are too few to know their noise.
    """

    alpha: float = 0.005
    suspicion: float = 0.1
    slower: float = 0.025
    dearer: float = 0.25
    points: float = 0.1
    rounds: int = 5

    def __post_init__(self) -> None:
        if not (0 < self.alpha < 0.5 and 0 < self.suspicion < 0.5):
            raise ValueError(
                f"alpha {self.alpha} and suspicion {self.suspicion}: both must be between 0 and 0.5"
            )
        if not min(self.slower, self.dearer, self.points) > 0:
            raise ValueError(
                f"thresholds {self.slower}, {self.dearer} and {self.points}: all must be positive"
            )
        if self.rounds < 3:
            raise ValueError(f"rounds is {self.rounds}; a verdict needs at least 3")


NIGHTLY = Settings()


@dataclass(frozen=True)
class Run:
    """The measurements of a run that verdicts use.

    Attributes:
        times: by method, (R, B) seconds: R rounds, each a fresh process, of B batches.
        correct: by accuracy and method, (n,) bool: whether each of the same n images was right.
        costs: by method, seconds of optimising.
    """

    times: Mapping[str, Floats]
    correct: Mapping[Metric, Mapping[str, Bools]] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """A verdict on one row.

    Attributes:
        estimate: times and costs: the ratio of the candidate's to the baseline's; accuracies: points
            of 100 gained. Its interval is that of ``EQUIVALENCE``; None where there is none.
        p_value: of no difference, for this row alone; None where it was not tested.
        adjusted_p: the same for the table; what is compared with alpha.
        threshold: smallest difference that matters: of the ratio from 1, or in points.
        reason: a sentence with the figures.
        suspected: the row may be worse by the threshold or more: measure it again.
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


@dataclass(frozen=True)
class Tested:
    """A row with its test, before the table's p-values are adjusted.

    Attributes:
        equal: the estimate of no difference.
        limits: the nearest estimates below and above it that matter.
        figures: what was found, as the start of a sentence.
        matters: the threshold in words.
        claims: whether a difference may be claimed: not from times of a single earlier run.
        rounds_p: times: the p-value if runs differed by their rounds only; a suspicion asks no more,
            since measuring again tells a slow hour from slow code.
    """

    method: str
    metric: Metric
    estimate: Interval
    p_value: float
    threshold: float
    equal: float
    limits: tuple[float, float]
    figures: str
    matters: str
    claims: bool = True
    rounds_p: float = 1.0

    def decide(self, adjusted_p: float, settings: Settings) -> Verdict:
        """Return the verdict: the noise gate, then the threshold."""
        alpha, (low, high) = settings.alpha, self.limits
        estimate, better = self.estimate.estimate, self.metric.higher_is_better
        is_worse = better is not None and (estimate <= low if better else estimate >= high)
        p = f"{adjusted_p:.1g}" if adjusted_p >= LEAST_P else f"below {LEAST_P:g}"
        chance = f"p {p} for the table, {alpha:g} allowed"
        if adjusted_p <= alpha and not self.claims:
            kind: Kind = "cannot tell"
            why = "one earlier run does not show how far runs of the same code lie apart"
        elif adjusted_p <= alpha:
            matters = not low < estimate < high
            if matters and better is not None:
                kind = "improvement" if (estimate > self.equal) == better else "regression"
            else:
                kind = "change"
            size = f"{self.matters} or more matters" if matters else f"it is below {self.matters}"
            why = f"noise does not explain it ({chance}) and {size}"
        elif low < self.estimate.low and self.estimate.high < high:
            kind, why = "none", f"noise explains it ({chance}) and {self.matters} is excluded"
        else:
            kind = "cannot tell"
            why = f"noise explains it ({chance}), but would hide {self.matters} as well"
        return Verdict(
            self.method,
            self.metric,
            kind,
            self.estimate,
            self.p_value,
            adjusted_p,
            self.threshold,
            f"{self.figures}; {why}.",
            suspected=kind == "regression" or (is_worse and self.rounds_p <= settings.suspicion),
        )
