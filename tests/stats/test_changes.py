"""Shifts in a series: steps are found where they are, spikes and noise are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from harness.stats.changes import FEWEST, PENALTY, searched, segment_ends, shifts

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


def test_segments_are_those_of_pelt() -> None:
    from ruptures import Pelt

    for seed in range(20):
        values = np.log(series(seed, 40, 1.0))
        values[10 + seed :] += seed % 4
        penalty = PENALTY * float(np.log(40))
        expected = Pelt(model="l1", min_size=FEWEST, jump=1).fit(values).predict(pen=penalty)
        assert segment_ends(values, penalty) == expected


def test_a_drift_in_small_steps_is_a_shift_once_it_is_large_enough() -> None:
    """Half a percent a week: no step reaches the threshold, all together do."""
    week = np.arange(160) // 7
    nights = []
    for seed in range(8):
        values = series(seed, 160, 0.008) * 1.005**week
        nights.append(next(n for n in range(8, 161) if shifts(list(values[:n]), LEAST)))
    assert np.median(nights) <= 70


def test_neighbours_of_a_weak_boundary_are_tested_anew() -> None:
    """A small step before a large one: the small one is merged, and the large one stays."""
    values = series(3, 45, 0.001)
    values[15:] *= 1.01
    values[30:] *= 1.05
    (shift,) = shifts(list(values), LEAST)
    assert shift.at == 30
    assert shift.ratio == pytest.approx(1.055, abs=0.01)  # against the middle of both before


@pytest.mark.parametrize("count", [12, 30, 60])
def test_the_p_value_allows_for_the_search(count: int) -> None:
    """The best place of a series without a change has a small p-value no more often than it says."""
    rng = np.random.default_rng(count)
    places = range(FEWEST, count - FEWEST + 1)
    best = []
    for values in rng.standard_normal((400, count)):
        ranks = np.cumsum(values.argsort().argsort() + 1.0)
        firsts = np.array(places)
        means = firsts * (count + 1) / 2
        sds = np.sqrt(firsts * (count - firsts) * (count + 1) / 12)
        at = places[int(np.abs((ranks[firsts - 1] - means) / sds).argmax())]
        best.append(mannwhitneyu(values[:at], values[at:]).pvalue)
    adjusted = np.array([searched(p_value, count) for p_value in best])
    assert (
        np.mean(np.array(best) <= 0.05) > 0.08
    )  # what the search costs where nothing allows for it
    assert np.mean(adjusted <= 0.05) <= 0.075  # and three standard errors of 400


def test_three_hundred_nights_are_searched() -> None:
    values = series(4, 300)
    values[150:] *= 1.06
    (shift,) = shifts(list(values), LEAST)
    assert shift.at == pytest.approx(150, abs=2)
    assert 0 < shift.p_value < 1e-9
