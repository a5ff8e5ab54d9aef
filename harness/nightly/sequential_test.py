"""The sequential test of a suspected slowdown, from timings in turn with the earlier model.

The two are timed in the same shuffled rounds of the same hour, so that what changes from hour to hour
meets both, and none of these rounds raised the suspicion. So the two steps err independently: a table
of identical code wakes someone with at most the probability that any row is suspected times ``ALPHA``.

The rounds come in up to ``LOOKS`` equal parts, and after each the row may be decided: confirmed, if the
one-sided p-value is at most ``ALPHA`` over all looks and rows (Bonferroni) and the slowdown is as large
as the threshold; cleared, if the one-sided 95 % bound of it is below the threshold, or if the last look
did not confirm it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.nightly.verdict import EQUIVALENCE, Floats, Settings
from harness.stats.intervals import Interval
from harness.stats.night_noise import SAME_HOUR, Level, contrast, level

LOOKS = 4
ALPHA = 0.01

State = Literal["confirmed", "cleared", "open"]


@dataclass(frozen=True)
class Confirmation:
    """The state of a row that is measured again.

    Attributes:
        ratio: of the row's time to that of the model before, with a 90 % interval.
        p_value: one-sided, of no slowdown; for this row at this look.
        allowed: what it is compared with.
        rounds: fewest of either model.
    """

    method: str
    state: State
    ratio: Interval
    p_value: float
    allowed: float
    rounds: int


def confirm(
    before: Mapping[str, Floats],
    now: Mapping[str, Floats],
    look: int,
    settings: Settings,
    rows: int | None = None,
) -> tuple[Confirmation, ...]:
    """Return the state of each suspected row after a look.

    Args:
        before: by method, (R, B) seconds of the earlier run's model, measured again.
        now: the same of the suspected rows' own.
        look: from 1 to ``LOOKS``; all rounds so far are given.
        rows: how many were suspected, where some are decided already; None for those given.

    Raises:
        ValueError: times that ``level`` refuses, or a method of one only.
    """
    if set(before) != set(now):
        raise ValueError(f"{sorted(before)} measured before, {sorted(now)} now")
    allowed = ALPHA / LOOKS / max(rows or len(now), 1)
    confirmations = []
    for method, times in now.items():
        baseline = Level.stack([level(before[method])])
        excess = contrast(level(times), baseline, SAME_HOUR.sum_of_squares, SAME_HOUR.freedom)
        difference = float(excess.difference)
        p_value = float(excess.p_value) / 2 if difference > 0 else 1 - float(excess.p_value) / 2
        ratio, least = excess.ratio(EQUIVALENCE), 1 + settings.slower
        state: State = "open"
        if p_value <= allowed and ratio.estimate >= least:
            state = "confirmed"
        elif ratio.high < least or look >= LOOKS:
            state = "cleared"
        rounds = min(len(times), len(before[method]))
        confirmations.append(Confirmation(method, state, ratio, p_value, allowed, rounds))
    return tuple(confirmations)
