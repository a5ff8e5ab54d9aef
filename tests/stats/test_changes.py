"""Shifts in a series: steps are found where they are, spikes and noise are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from harness.stats.changes import FEWEST, shifts

LEAST = 0.025


def series(seed: int, count: int, sd: float = 0.01) -> np.ndarray:
    return np.exp(sd * np.random.default_rng(seed).standard_normal(count))


def test_a_step_is_found_where_it_is() -> None:
    found = []
    for seed in range(50):
        values = series(seed, 20)
        values[12:] *= 1.06
        found += [shift for shift in shifts(list(values), LEAST) if abs(shift.at - 12) <= 1]
    assert len(found) >= 47
    assert np.median([shift.ratio for shift in found]) == pytest.approx(1.06, abs=0.01)


def test_steps_up_and_down() -> None:
    values = series(1, 30, 0.003)
    values[10:20] *= 1.08
    up, down = shifts(list(values), LEAST)
    assert (up.at, down.at) == (10, 20)
    assert up.ratio == pytest.approx(1.08, abs=0.01) == 1 / down.ratio


@pytest.mark.slow
@pytest.mark.parametrize("sd", [0.002, 0.01, 0.03])
def test_noise_and_single_spikes_are_none(sd: float) -> None:
    noisy = spiky = 0
    for seed in range(150):
        values = series(seed, 25, sd)
        noisy += bool(shifts(list(values), LEAST))
        values[seed % 25] *= 1.4
        spiky += bool(shifts(list(values), LEAST))
    assert noisy <= 3 and spiky <= 3


def test_a_small_shift_and_a_short_history_are_none() -> None:
    values = series(2, 40, 0.001)
    values[20:] *= 1.01
    assert shifts(list(values), LEAST) == ()
    assert shifts([1.0] * (2 * FEWEST - 1), LEAST) == ()
    assert shifts([], LEAST) == ()
    assert shifts([1.0] * 30, LEAST) == ()


@hypothesis_settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(1e-3, 1e3), min_size=8, max_size=25), st.floats(1e-3, 1e3))
def test_the_unit_does_not_matter(values: list[float], factor: float) -> None:
    found = shifts(values, LEAST)
    scaled = shifts([factor * value for value in values], LEAST)
    assert [shift.at for shift in found] == [shift.at for shift in scaled]
    assert all(FEWEST <= shift.at <= len(values) - FEWEST for shift in found)


def test_times_are_positive() -> None:
    with pytest.raises(ValueError, match="not positive"):
        shifts([1.0, 0.0], LEAST)
