"""What a night is blamed on: the run that a suspicion is timed against, and the other methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.verdicts.years import BATCH
from harness.nightly.baseline import first_good, last_good
from harness.nightly.disturbed import Disturbances
from harness.nightly.entry import NightEntry, NightRow
from harness.nightly.judge import judge
from harness.nightly.memory.control import Control
from harness.nightly.memory.lasting import WINDOW, LastingShift, lasting_shifts
from harness.nightly.memory.levels import against_all
from harness.nightly.night import Night, headline
from harness.nightly.reasons import percent_more
from harness.nightly.remeasure import Again
from harness.nightly.sequential_test import Confirmation, State
from harness.nightly.suspects import Means, Seen, _origins, judge_night
from harness.nightly.verdict import EQUIVALENCE, Run
from harness.stats.intervals import Interval
from harness.table.metrics import COST

METHODS = ("fp32", "fused", "int8", "smart", "mse")
ROW = "int8"
NOISE = 0.001
BEFORE = 10  # nights of a level


def entry(
    number: int,
    factors: Mapping[str, float] | None = None,
    methods: Sequence[str] = METHODS,
    cost_s: float = 10.0,
    **changes: object,
) -> NightEntry:
    """Return a night of new software; its times differ by a thousandth, but for the factors."""
    random = np.random.default_rng(number)
    rows = []
    for method in methods:
        times = np.exp(NOISE * random.standard_normal((6, 1)) + np.zeros((6, 3)))
        times *= (factors or {}).get(method, 1.0)
        rows.append(NightRow(method, method, "ok", cost_s, times, None, f"model {number}", 0))
    date = f"2026-{number // 28 + 1:02d}-{number % 28 + 1:02d}T00:00:00Z"
    night = NightEntry(
        "m", f"n{number:03d}", date, "", {}, {"code": number}, tuple(rows), verdict="none"
    )
    return replace(night, **changes)  # type: ignore[arg-type]


def slow_since(
    first: int, last: int, factors: Mapping[str, float], methods: Sequence[str] = METHODS
) -> list[NightEntry]:
    return [entry(n, factors if n >= first else None, methods) for n in range(last + 1)]


def control_of(nights: Sequence[NightEntry], open_: Sequence[str] = ()) -> Control:
    return Control(nights[:-1], nights[-1], open_)


def test_a_method_that_is_slower_than_the_others_in_two_nights_is_a_shift() -> None:
    nights = slow_since(BEFORE, BEFORE + 1, {ROW: 1.05})
    (shift,) = control_of(nights).shifts(5)
    assert (shift.method, shift.since.run, shift.before.run) == (ROW, "n010", "n005")
    assert shift.ratio == pytest.approx(1.05, abs=0.005) and shift.is_controlled
    assert shift.level == tuple(night.run for night in nights[5:BEFORE])
    assert not control_of(nights[:-1]).shifts(5)  # one night is not enough


def test_what_all_methods_share_is_no_shift_of_one() -> None:
    assert not control_of(slow_since(BEFORE, BEFORE + 3, dict.fromkeys(METHODS, 1.1))).shifts(5)


def test_others_that_became_faster_make_none_slower() -> None:
    faster = dict.fromkeys(set(METHODS) - {ROW}, 0.9)
    assert not control_of(slow_since(BEFORE, BEFORE + 3, faster)).shifts(5)


def test_a_control_takes_three_methods_without_an_open_regression() -> None:
    nights = slow_since(BEFORE, BEFORE + 2, {ROW: 1.05})
    assert control_of(nights, ["mse"]).shifts(5)
    assert not control_of(nights, ["mse", "smart"]).shifts(5)
    few = slow_since(BEFORE, BEFORE + 2, {ROW: 1.05}, methods=METHODS[:3])
    assert not control_of(few).shifts(5)


def test_machines_that_take_turns_are_pooled_with_their_spread() -> None:
    """Two instances, 4 % apart, that are not alike to all methods: two nights may meet one of them."""
    turns = {method: 1.04 + 0.01 * number for number, method in enumerate(METHODS)}
    nights = [entry(n, turns if n % 2 or n == 16 else None) for n in range(18)]
    assert not control_of(nights).shifts(5)
    assert not lasting_shifts(nights[:-1], nights[-1], 5)


def test_the_ratio_beside_the_others_is_that_of_the_method_alone() -> None:
    every = {**dict.fromkeys(METHODS, 1.2), ROW: 1.2 * 1.05}
    nights = slow_since(BEFORE, BEFORE, every)
    level = [night.run for night in nights[:BEFORE]]
    ratio = control_of(nights).ratio(ROW, level)
    assert ratio is not None and ratio.low < 1.05 < ratio.high < 1.06
    assert control_of(nights).ratio(ROW, level[:2]) is None
    assert control_of(nights).ratio("gone", level) is None


def test_steps_are_looked_for_in_the_latest_nights() -> None:
    nights = [entry(n, {ROW: 1.05} if n >= 20 else None, ("int8",)) for n in range(WINDOW + 30)]
    assert {shift.since.run for shift in lasting_shifts(nights[:60], nights[60], 5)} == {"n020"}
    (old,) = lasting_shifts(nights[:-1], nights[-1], 5)  # the first nights say what the level was
    assert old.level == tuple(night.run for night in nights[3:8])


def test_an_improvement_hides_no_step_after_it() -> None:
    slower = {**{n: 0.94 for n in range(8, 16)}, **{n: 0.98 for n in range(16, 24)}}
    nights = [entry(n, {ROW: slower.get(n, 1.0)}) for n in range(24)]
    found = {shift.since.run: shift for shift in lasting_shifts(nights[:-1], nights[-1], 5)}
    assert found["n008"].ratio < 1 < found["n016"].ratio
    assert found["n016"].before.run == "n012"


def test_origins() -> None:
    """A time is compared with the latest run or the middle before its shift, a cost with its level."""
    nights = [entry(n, {ROW: 1.04 if n >= 8 else 1.0}, cost_s=10.0 + n % 2) for n in range(13)]
    tonight = entry(13, {ROW: 1.04, "mse": 1.1}, cost_s=30.0)
    baseline, levels = last_good(nights, {}, 5), first_good(nights, {}, 5)
    verdicts = against_all(baseline, levels, tonight)
    (shift,) = lasting_shifts(nights, tonight, 5)
    origins = _origins(verdicts, baseline, levels, {ROW: shift})
    assert not verdicts[ROW, BATCH].suspected
    assert {key: run.run for key, run in origins.items()} == {
        (ROW, BATCH): "n004",
        ("mse", BATCH): "n012",
        **{(method, "cost_s"): "n004" for method in METHODS},
    }
    gone = LastingShift("gone", nights[8], nights[4], 1.04)
    assert ("gone", BATCH) not in _origins(verdicts, baseline, levels, {"gone": gone})


def judged(nights: Sequence[NightEntry], state: State, ratio: float) -> tuple[Night, list[str]]:
    """Return the last night as it is judged, and the methods that were timed in turn."""
    timed: list[str] = []
    *earlier, tonight = nights

    def remeasure(slower: Mapping[str, NightEntry], other: Sequence[str]) -> Again:
        timed.extend(slower)
        interval = Interval(ratio, ratio - 0.01, ratio + 0.01, EQUIVALENCE)
        states = {m: Confirmation(m, state, interval, 0.5, 0.01, 20) for m in slower}
        runs = {method: before.run for method, before in slower.items()}
        return Again("again", tonight, states, runs)

    means = Means(remeasure, lambda night: None, lambda line: None, 5)
    baseline = last_good(earlier, {}, 5)
    return judge_night(tonight, earlier, baseline, Seen(Disturbances()), means), timed


def test_timing_in_turn_decides_and_not_the_suspicion() -> None:
    nights = slow_since(BEFORE, BEFORE, {ROW: 1.05})
    confirmed, timed = judged(nights, "confirmed", 1.05)
    assert timed == [ROW] and confirmed.verdict == "regression"
    cleared, _ = judged(nights, "cleared", 1.0)
    (row,) = (row for row in cleared.rows if row.key == (ROW, BATCH))
    assert cleared.verdict != "regression" and not cleared.open
    assert (row.kind, row.gap) == ("cannot tell", "machine")  # slow with either model, seen once
    same = [replace(night, environment={}) for night in nights]
    (row,) = (row for row in judged(same, "cleared", 1.0)[0].rows if row.key == (ROW, BATCH))
    assert row.kind == "none"


def test_the_second_night_blames_the_environment_where_the_others_stay() -> None:
    nights = slow_since(BEFORE, BEFORE + 1, {ROW: 1.05})
    night, _ = judged(nights, "cleared", 1.0)
    (regression,) = night.open
    assert (regression.since, regression.in_turn) == ("n010", False)
    (row,) = night.regressions
    estimate = row.estimate
    assert estimate is not None and estimate.low <= estimate.estimate <= estimate.high
    more = percent_more(estimate.estimate)
    assert more in headline(night)
    finding = f"The time of {ROW} is {more} since run n010 than before it, beside the other methods"
    assert row.reason.startswith(finding) and row.adjusted_p is None  # that of another comparison
    (measured,) = night.tested
    assert measured.is_controlled and measured.since == "n010"
    every = slow_since(BEFORE, BEFORE + 1, dict.fromkeys(METHODS, 1.05))
    assert not judged(every, "cleared", 1.0)[0].open


def test_rare_slow_rounds_are_not_suspected() -> None:
    """One round in ten takes half as long again, as often as in the nights before."""
    random = np.random.default_rng(3)

    def spiky(night: NightEntry) -> NightEntry:
        rows = []
        for row in night.rows:
            assert row.times is not None
            spikes = np.where(random.random((20, 1)) < 0.1, 1.5, 1.0)
            times = np.repeat(row.times, 4, axis=0)[:20] * spikes
            rows.append(replace(row, times=times * np.exp(0.01 * random.standard_normal((20, 1)))))
        return replace(night, rows=tuple(rows))

    nights = [spiky(entry(n)) for n in range(12)]
    for last in range(4, 12):
        night, _ = judged(nights[: last + 1], "confirmed", 1.05)
        assert not night.regressions, last


def test_drift_is_timed_against_the_level_that_counts() -> None:
    """Two steps of 2 %, of which the first is no step of its own: the middle before the second has it."""
    level = [0.94, 0.94 * 1.02, 0.94 * 1.02**2]
    nights = [entry(n, {ROW: 1.0 if n < 8 else level[(n >= 18) + (n >= 33)]}) for n in range(40)]
    found = [s for s in lasting_shifts(nights[:-1], nights[-1], 5) if s.method == ROW]
    assert found[0].ratio < 1
    assert found[-1].ratio == pytest.approx(1.02**2, abs=0.003)
    assert found[-1].before.run < "n018"


def test_a_cost_that_is_made_anew_is_judged_by_the_spread_of_all() -> None:
    """One method's own five nights say little of how far its costs lie apart."""
    random = np.random.default_rng(0)
    costs = 10 * np.exp(0.05 * random.standard_normal((5, len(METHODS))))
    runs = [Run({}, {}, {COST: dict(zip(METHODS, map(float, row), strict=True))}) for row in costs]
    dear = {method: 10 * 1.4 for method in METHODS}
    (alone,) = judge(runs, Run({}, {}, {COST: {ROW: dear[ROW]}}))
    beside = {row.method: row for row in judge(runs, Run({}, {}, {COST: dear}))}[ROW]
    assert alone.p_value is not None and alone.p_value == beside.p_value
