"""The sequential test of a suspected slowdown, from timings in turn with the earlier model.

The two are timed in the same shuffled rounds of the same hour, so that what changes from hour to hour
meets both, and none of these rounds raised the suspicion. So the two steps err independently: a table
of identical code wakes someone with at most the probability that any row is suspected times ``ALPHA``.

Round r of one is paired with round r of the other. A row is confirmed by two tests, each for its part:

- Labels: if the code is the same, the two timings of a round may be swapped. Among all swaps the
  slowdown must be as rare as the p-value allows (a permutation test; Fisher, "The Design of
  Experiments", 1935, section 21). That needs no distribution, so it holds for processes that are
  slow or fast by chance, and for any drift that both share. Where not one swap is slower, that is 1 in
  2^R, and the second test decides alone: with ``FEWEST`` pairs that is 0.003 %.
- Student's, of ``contrast``, its error larger where the differences of successive rounds resemble each
  other: by up to 6 times in 20 rounds, less in more. So drift of one process's own is not
  taken for code. Fewer than ``FEWEST`` pairs do not show it, and confirm nothing.

With 20 rounds a look, 0.0 to 0.9 % of rows of identical code are confirmed, whether rounds are normal,
bimodal or of autocorrelation 0.5 or 0.8, all of it or half of it a method's own; Student's test alone,
which was used before, confirms up to 19 %.

The rounds come in up to ``LOOKS`` equal parts, and after each the row may be decided: confirmed, if the
one-sided p-value is at most ``ALPHA`` over all looks and rows (Bonferroni) and the slowdown is as large
as the threshold; cleared, if the one-sided 95 % bound of it is below the threshold, or if the last look
did not confirm it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from harness.nightly.verdict import EQUIVALENCE, Floats, Settings
from harness.stats.dependence import START, autocorrelation, widening
from harness.stats.intervals import Interval
from harness.stats.night_noise import (
    SAME_HOUR,
    Contrast,
    Level,
    contrast,
    level,
    quick_batch,
)

LOOKS = 4
ALPHA = 0.01
FEWEST = 15  # pairs of rounds: in fewer, drift of one process's own does not show
SWAPS = 4000  # drawn, of 2^R
ENOUGH = 20  # pairs; in fewer, autocorrelation is found too small, so less of it counts

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
        rounds = min(len(times), len(before[method]))
        earlier, later = (
            np.log(quick_batch(np.asarray(side[:rounds]))) for side in (before[method], times)
        )
        excess = _widened(excess, later - earlier)
        difference = float(excess.difference)
        p_value = float(excess.p_value) / 2 if difference > 0 else 1 - float(excess.p_value) / 2
        if rounds < FEWEST:
            p_value = max(p_value, 2.0**-rounds)
        elif p_value <= allowed:
            p_value = max(p_value, _swapped(earlier, later))
        ratio, least = excess.ratio(EQUIVALENCE), 1 + settings.slower
        state: State = "open"
        if rounds >= FEWEST and p_value <= allowed and ratio.estimate >= least:
            state = "confirmed"
        elif ratio.high < least or look >= LOOKS:
            state = "cleared"
        confirmations.append(Confirmation(method, state, ratio, p_value, allowed, rounds))
    return tuple(confirmations)


def _widened(excess: Contrast, differences: Floats) -> Contrast:
    """Return a contrast with the error that the autocorrelation of its rounds asks for.

    Args:
        differences: (R,), log times of the rounds' pairs, later less earlier code.
    """
    count = len(differences)
    start = START - 0.04 * max(ENOUGH - count, 0)
    factor = widening(autocorrelation(differences), min(6.0, 3 + 60 / count), start)
    return replace(excess, rounds_error=excess.rounds_error * factor)


def _swapped(earlier: Floats, later: Floats) -> float:
    """Return the one-sided p-value of later code being slower, from swaps within rounds.

    Args:
        earlier, later: (R,), log times of rounds.

    Returns:
        0 where no swap that was drawn is as slow.
    """
    swaps = np.random.default_rng(len(earlier)).random((SWAPS, len(earlier))) < 0.5
    slowdowns = _fast_half(np.where(swaps, earlier, later))
    slowdowns -= _fast_half(np.where(swaps, later, earlier))
    measured = _fast_half(later[None]) - _fast_half(earlier[None])
    slower = int((slowdowns >= measured - 1e-12).sum())
    return (1 + slower) / (1 + SWAPS) if slower else 0.0


def _fast_half(rounds: Floats) -> Floats:
    """Return the mean of the faster half, as ``Level.value`` is; (n, R) to (n,)."""
    count = rounds.shape[-1]
    kept = count - count // 2
    halves: Floats = np.partition(rounds, kept - 1, axis=-1)[:, :kept].mean(axis=-1)
    return halves
