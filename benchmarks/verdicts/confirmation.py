"""How often the sequential test confirms a slowdown: of identical code, and of slower code."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.verdicts.coverage import seconds
from benchmarks.verdicts.figures import Figure
from benchmarks.verdicts.noise import Floats, draw
from harness.nightly.sequential_test import LOOKS, confirm
from harness.nightly.verdict import NIGHTLY

PART = "Confirmation"
ROUNDS = (5, 20)
KINDS = (
    "normal",
    "bimodal",
    "spikes on one side",
    "AR 0.5",
    "AR 0.8",
    HALF := "AR 0.8, half shared",
)
LOUD, QUIET = 0.03, 0.015  # own noise of identical code, and of slower code; log sd
SLOWER = 1.05


def measured(repeats: int, seed: int) -> Iterator[Figure]:
    """Yield the percentage of rows confirmed, and the mean number of looks that it took."""
    for kind in KINDS:
        for rounds in ROUNDS:
            rng = np.random.default_rng((seed, KINDS.index(kind), rounds))
            false, _ = confirmed(rng, kind, rounds, repeats, LOUD, 1.0)
            margin = 300 * (0.01 * 0.99 / repeats) ** 0.5  # three standard errors of the simulation
            yield Figure(PART, kind, rounds, "identical code %", false, most=1 + margin)
            true, looks = confirmed(rng, kind, rounds, max(repeats // 4, 50), QUIET, SLOWER)
            yield Figure(PART, kind, rounds, "5 % slower %", true)
            yield Figure(PART, kind, rounds, "looks at slower code", looks)


def confirmed(
    rng: np.random.Generator, kind: str, rounds: int, repeats: int, sd: float, slower: float
) -> tuple[float, float]:
    """Return the percentage of rows that are confirmed, and the mean number of looks."""
    shape = (repeats, LOOKS * rounds)
    before, now = (sd * noise for noise in two_sides(rng, kind, shape))
    states, looks = 0, 0
    for earlier, later in zip(seconds(before), slower * seconds(now)):
        for look in range(1, LOOKS + 1):
            upto = look * rounds
            (row,) = confirm({"a": earlier[:upto]}, {"a": later[:upto]}, look, NIGHTLY)
            looks += 1
            if row.state != "open":
                states += row.state == "confirmed"
                break
    return 100 * states / repeats, looks / repeats


def two_sides(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    if kind != HALF:
        return draw(rng, kind, shape), draw(rng, kind, shape)
    shared, *own = (draw(rng, "AR 0.8", shape) for _ in range(3))
    return (shared + own[0]) / 2**0.5, (shared + own[1]) / 2**0.5
