"""Detectors of shifts: each finds a clean slowdown, sees the past only, and is scored as described."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.verdicts import detectors
from benchmarks.verdicts.alarms import Alarm, nightly
from benchmarks.verdicts.detectors import DETECTORS, HORIZON, OURS, WARM, Trial, f1, score
from benchmarks.verdicts.noise import Floats
from benchmarks.verdicts.public_series import load_series
from benchmarks.verdicts.searches import best_split

PLACE = 32


def quiet(seed: int = 0, count: int = 52) -> Floats:
    times: Floats = np.exp(0.005 * np.random.default_rng(seed).standard_normal(count))
    return times


@pytest.mark.parametrize("name", DETECTORS)
def test_a_clean_slowdown_is_found(name: str) -> None:
    found = score(Trial(quiet(), PLACE), DETECTORS[name], 0.10)
    assert found.delay is not None and found.delay <= 13
    assert found.false <= 1


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_sees_the_past_only(name: str) -> None:
    times = quiet(1)
    times[PLACE:] *= 1.06
    alarms = DETECTORS[name](times, WARM)
    count = PLACE + 4
    before = DETECTORS[name](times[:count], WARM)
    assert before == [alarm for alarm in alarms if alarm.night < count]


@pytest.mark.parametrize("name", DETECTORS)
def test_faster_is_no_alarm(name: str) -> None:
    times = quiet(2)
    times[PLACE:] *= 0.9
    assert len(DETECTORS[name](times, WARM)) <= 1


def test_a_place_is_reported_once() -> None:
    detect = nightly(lambda times: [30 if len(times) < 40 else 32] if len(times) > 33 else [], 90)
    assert detect(np.ones(50), WARM) == [Alarm(33, 30)]


def test_a_place_known_before_the_watch_is_no_alarm() -> None:
    assert nightly(lambda times: [10], 90)(np.ones(50), WARM) == []


def test_places_are_those_of_the_series_where_only_its_latest_nights_are_searched() -> None:
    detect = nightly(lambda times: np.flatnonzero(times > 1).tolist(), 10)
    times = np.ones(40)
    times[33] = 2
    assert detect(times, 30) == [Alarm(33, 33)]


@pytest.mark.parametrize(
    ("alarms", "delay", "false"),
    [
        ([], None, 0),
        ([Alarm(PLACE, PLACE)], 1, 0),
        ([Alarm(PLACE + 4, PLACE - 5)], 5, 0),
        ([Alarm(PLACE + 4, PLACE - 6)], None, 1),
        ([Alarm(PLACE - 1, PLACE)], None, 1),
        ([Alarm(PLACE + 2)], 3, 0),
        ([Alarm(PLACE + HORIZON)], None, 1),
        ([Alarm(PLACE + HORIZON, PLACE)], None, 0),  # right, but too late
        ([Alarm(25), Alarm(PLACE + 2), Alarm(PLACE + 3)], 3, 1),
    ],
)
def test_alarms_are_scored(alarms: list[Alarm], delay: int | None, false: int) -> None:
    scored = score(Trial(quiet(), PLACE), lambda times, first: alarms, 0.05)
    assert (scored.delay, scored.false, scored.nights) == (delay, false, 52 - WARM)


def test_f1_is_of_precision_and_recall() -> None:
    trial = Trial(quiet(), PLACE)
    found = score(trial, lambda times, first: [Alarm(PLACE), Alarm(25)], 0.05)
    missed = score(trial, lambda times, first: [], 0.05)
    assert f1([found, missed]) == pytest.approx(2 * 0.5 * 0.5 / (0.5 + 0.5))


def test_the_best_split_is_the_largest_energy_of_all_places_and_ends() -> None:
    values = np.random.default_rng(3).standard_normal(9)
    distances = np.abs(values[:, None] - values[None, :])

    def energy(place: int, end: int) -> float:
        left, right = values[:place], values[place:end]
        count, other = len(left), len(right)
        between = sum(abs(a - b) for a in left for b in right)
        within = [
            sum(abs(a - b) for a, b in itertools.combinations(part, 2)) for part in (left, right)
        ]
        total = 2 / (count + other) * between
        if count > 1:
            total -= 2 * other / ((count + other) * (count - 1)) * within[0]
        if other > 1:
            total -= 2 * count / ((count + other) * (other - 1)) * within[1]
        return float(total)

    largest = max((energy(at, end), at) for at in range(1, 9) for end in range(at + 1, 10))
    place, value = best_split(distances)
    assert value == pytest.approx(largest[0])
    assert place == largest[1]


def test_the_public_series_are_whole() -> None:
    loaded = load_series()
    assert len(loaded) >= 20
    assert len({series.source for series in loaded}) >= 3
    for series in loaded:
        assert np.isfinite(series.times).all() and (series.times > 0).all()
        assert list(series.shifts) == sorted(set(series.shifts))
        assert all(0 < place < len(series.times) for place in series.shifts)


def test_the_figures_compare_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: DETECTORS[name] for name in ("CUSUM", "EWMA")}
    monkeypatch.setattr(detectors, "DETECTORS", {OURS: DETECTORS["CUSUM"], **few})
    figures = list(detectors.measured(1, seed=1))
    best = [figure for figure in figures if figure.what == "F1" and figure.case == OURS]
    assert len(best) == 2 * len(detectors.SIZES)  # of all series and of the noisy ones
    for figure in best:
        f1s = [other.value for other in figures if (other.part, other.what) == (figure.part, "F1")]
        assert figure.least == max(f1s[1:])
    assert {figure.most for figure in figures if figure.what == "delay in nights"} == {None, 5}
