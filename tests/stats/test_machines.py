"""Types of machines: coverage and false claims where the truth is known, and what must always hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.verdicts.machine_types import MACHINES, SPREADS, claims, coverage, typical_rounds
from harness.stats.machines import differences, ratio, side_of, typical_machine
from harness.stats.speed import signed_rank_interval

RATES = st.lists(st.floats(1, 1e4), min_size=2, max_size=6)


@pytest.fixture(scope="module")
def typical() -> dict[str, np.ndarray]:
    """Return the log times of typical rounds of machines, from five real rounds each."""
    return dict(typical_rounds(np.random.default_rng(0), 5))


@pytest.mark.slow
@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("count", MACHINES)
def test_the_interval_of_a_type_covers(
    typical: dict[str, np.ndarray], count: int, spread: float
) -> None:
    rng = np.random.default_rng((count, round(100 * spread)))
    assert 93 <= coverage(rng, typical, count, spread, 3000) <= 97


@pytest.mark.slow
@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("count", MACHINES)
def test_rankings_claim_wrongly_in_less_than_a_twentieth(
    typical: dict[str, np.ndarray], count: int, spread: float
) -> None:
    rng = np.random.default_rng((7, count, round(100 * spread)))
    for spreads in ((spread,) * 3, (spread, spread / 10, spread / 10), (spread,) * 2):
        assert claims(rng, typical, count, spreads, 900) < 5


def test_two_machines_are_students_t() -> None:
    """The quantile of one degree of freedom is tan(0.475 pi) = 12.706."""
    interval = typical_machine([100.0, 104.0])
    half = math.tan(0.475 * math.pi) * math.log(1.04) / 2
    assert interval.estimate == pytest.approx(math.sqrt(100 * 104))
    assert math.log(interval.high / interval.estimate) == pytest.approx(half)
    assert math.log(interval.estimate / interval.low) == pytest.approx(half)


@settings(max_examples=50)
@given(RATES, RATES, st.floats(0.1, 10))
def test_what_holds_for_any_machines(one: list[float], other: list[float], factor: float) -> None:
    interval = typical_machine(one)
    assert interval.low <= interval.estimate * (1 + 1e-12)
    assert interval.estimate <= interval.high * (1 + 1e-12)
    scaled = typical_machine([factor * value for value in one])
    assert scaled.low == pytest.approx(factor * interval.low)
    logs = np.log(one)
    assert math.log(interval.high) == pytest.approx(signed_rank_interval(logs, 0.95)[2])
    sides = [side_of(typical_machine(values), len(values)) for values in (one, other)]
    there, back = ratio(*sides), ratio(*reversed(sides))
    assert there.estimate * back.estimate == pytest.approx(1)
    (pair,) = differences(sides)
    assert 0 <= pair.p_value <= 1
    if pair.p_value < 0.999999 and there.high < 1e100:
        assert pair.holds == (not there.low <= 1 <= there.high) or abs(pair.p_value - 0.05) < 1e-6


def test_equal_machines() -> None:
    same, other = (side_of(typical_machine([value] * 3), 3) for value in (5.0, 6.0))
    assert differences([same, same])[0].p_value == 1
    assert differences([same, other])[0].p_value == 0


def test_pairs_of_types_are_adjusted_for_their_number() -> None:
    """By hand: the least times 3, the next times 2, never less than the one before, and 1 at most."""
    sides = [
        side_of(typical_machine([factor * one for one in (1.0, 1.02, 0.99)]), 3)
        for factor in (1.0, 1.05, 1.2)
    ]
    alone = sorted(
        differences([sides[first], sides[second]])[0].p_value
        for first, second in ((0, 1), (0, 2), (1, 2))
    )
    by_hand = np.maximum.accumulate(np.minimum(np.multiply(alone, [3, 2, 1]), 1))
    together = [pair.p_value for pair in differences(sides)]
    assert sorted(together) == pytest.approx(list(by_hand))
    assert all(type(p_value) is float for p_value in together)
    assert differences(sides[:1]) == []


@pytest.mark.parametrize("values", [[1.0], [], [1.0, 0.0], [1.0, math.nan], [[1.0, 2.0]]])
def test_values_that_are_none(values: list[float]) -> None:
    with pytest.raises(ValueError, match="machines"):
        typical_machine(values)
