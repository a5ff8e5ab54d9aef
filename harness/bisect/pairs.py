"""Two versions of the project measured in turn: is one worse than the other?

Time, cost and memory take the test of a suspected slowdown (``harness/nightly/sequential_test.py``):
turn r of one is paired with turn r of the other, and each turn is a run of its own. Accuracies are
compared image by image, and one that lost is made anew before it counts.
"""

# No ``from __future__ import annotations``: msgspec evaluates the annotations, on Python 3.9 too.
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Optional

import numpy as np
import numpy.typing as npt

from harness.nightly import reasons
from harness.nightly.judge import judge
from harness.nightly.sequential_test import ALPHA, LOOKS, confirm
from harness.nightly.verdict import BATCH, NIGHTLY, ONCE, Floats, Run, Settings
from harness.table.metrics import Metric

ROUNDS = 8  # pairs a look; two looks are enough to confirm
FEWEST_ROUNDS = 5
ROW = "row"  # what the tests call the only one

Answer = Literal["good", "bad", "not separable", "not measured"]


class Unmeasured(Exception):
    """A version that cannot be measured, and why."""


@dataclass(frozen=True)
class Version:
    """A version of the project that can be measured.

    Attributes:
        name: a commit's id, or how many packages of the lock files are those of the bad run.
        said: what it is, for people.
    """

    name: str
    said: str


@dataclass(frozen=True)
class Comparison:
    """Two versions that were measured in turn.

    Attributes:
        before, now: their names.
        ratio: of the figures of now to those of before; of accuracies the points of 100 gained.
        low, high: the ends of its 90 % interval.
        p_value: of no difference; one-sided but for accuracies.
        allowed: what it is compared with.
        pairs: of turns.
        why: of a version that was not measured.
    """

    before: str
    now: str
    answer: Answer
    ratio: Optional[float] = None
    low: Optional[float] = None
    high: Optional[float] = None
    p_value: Optional[float] = None
    allowed: Optional[float] = None
    pairs: int = 0
    why: str = ""

    @property
    def said(self) -> str:
        """What it shows, in words."""
        if self.why:
            return f"not measured: {self.why}"
        if self.ratio is None or self.low is None or self.high is None:
            return self.answer
        if self.is_accuracy:
            ends = f"{self.low:+.2f} to {self.high:+.2f}"
            figures = f"{reasons.points_more(self.ratio)} (90 % interval {ends})"
        else:
            low, high = (100 * (end - 1) for end in (self.low, self.high))
            figures = (
                f"{reasons.percent_more(self.ratio)} (90 % interval {low:+.1f} to {high:+.1f} %), "
                f"{self.pairs} pairs"
            )
        p_value = "" if self.p_value is None else f", p = {max(self.p_value, 1e-9):.1g}"
        return f"{self.answer}: {figures}{p_value}"

    @property
    def is_accuracy(self) -> bool:
        return self.pairs == 0


Measure = Callable[[Version, bool], npt.NDArray[Any]]


@dataclass(frozen=True)
class Meter:
    """How versions are compared.

    Attributes:
        metric: the one that became worse.
        measure: measures a version once; whether its model is made anew. Returns (B,) figures of a
            turn, or (n,) whether each image was right. Raises Unmeasured.
        comparisons: how many share the error of ``ALPHA``.
        rounds: pairs of turns a look.
        note: shows a line of progress.
    """

    metric: Metric
    measure: Measure
    comparisons: int
    rounds: int = ROUNDS
    note: Callable[[str], None] = print

    @property
    def threshold(self) -> float:
        """The smallest difference that a night wakes anyone for."""
        if self.metric == BATCH:
            return NIGHTLY.slower
        return NIGHTLY.of_once(self.metric) if self.metric in ONCE else NIGHTLY.points

    def half_of(self, ends: Comparison) -> float:
        """Return the threshold between good and bad: half of the difference of the ends."""
        assert ends.ratio is not None
        is_ratio = self.metric == BATCH or self.metric in ONCE
        return math.sqrt(ends.ratio) - 1 if is_ratio else abs(ends.ratio) / 2

    def compare(self, before: Version, now: Version, threshold: float) -> Comparison:
        """Return whether a version is worse than another by a threshold.

        Args:
            threshold: of a ratio, less 1; or in points of 100.
        """
        try:
            if self.metric == BATCH or self.metric in ONCE:
                result = self._in_turn(before, now, threshold)
            else:
                result = self._by_images(before, now, threshold)
        except Unmeasured as error:
            result = Comparison(before.name, now.name, "not measured", why=str(error))
        self.note(f"{now.said} against {before.said}: {result.said}")
        return result

    def _in_turn(self, before: Version, now: Version, threshold: float) -> Comparison:
        settings = replace(NIGHTLY, slower=threshold)
        order = random.Random(f"{before.name}/{now.name}")
        anew = self.metric != BATCH  # the model is made once where only its time counts
        figures: dict[Version, list[Floats]] = {before: [], now: []}
        for look in range(1, LOOKS + 1):
            for _ in range(self.rounds):
                turns = [before, now]
                order.shuffle(turns)
                for version in turns:
                    figures[version].append(self.measure(version, anew))
            earlier, later = ({ROW: _same_length(figures[one])} for one in (before, now))
            (found,) = confirm(earlier, later, look, settings, self.comparisons)
            if found.state != "open":
                break
        answer: Answer = "not separable"
        if found.state == "confirmed":
            answer = "bad"
        elif found.ratio.high < 1 + threshold:
            answer = "good"
        return Comparison(
            before.name,
            now.name,
            answer,
            found.ratio.estimate,
            found.ratio.low,
            found.ratio.high,
            found.p_value,
            found.allowed,
            found.rounds,
        )

    def _by_images(self, before: Version, now: Version, threshold: float) -> Comparison:
        settings = Settings(alpha=ALPHA / self.comparisons, points=threshold)
        reference = Run({}, {self.metric: {ROW: self.measure(before, False)}})

        def judged(anew: bool) -> Comparison:
            candidate = Run({}, {self.metric: {ROW: self.measure(now, anew)}})
            (row,) = judge([reference], candidate, settings)
            points = row.estimate
            answer: Answer = "not separable"
            if row.kind == "regression":
                answer = "bad"
            elif points is not None and points.low > -threshold:
                answer = "good"  # though there may be a difference
            return Comparison(
                before.name,
                now.name,
                answer,
                ratio=points.estimate if points else None,
                low=points.low if points else None,
                high=points.high if points else None,
                p_value=row.p_value,
                allowed=settings.alpha,
            )

        first = judged(False)
        if first.answer != "bad":
            return first
        again = judged(True)
        return again if again.answer == "bad" else replace(again, answer="not separable")


def _same_length(turns: list[Floats]) -> Floats:
    """Return the figures of turns as (R, B), of as many as the shortest has."""
    shortest = min(map(len, turns))
    return np.array([turn[:shortest] for turn in turns])
