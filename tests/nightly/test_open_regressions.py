"""What nights remember: a regression stays red until it is fixed or acknowledged, and drift adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as xml

import numpy as np
import pytest

from benchmarks.verdicts.years import (
    BATCH,
    HOSTS,
    METHODS,
    QUIET,
    Course,
    Year,
    red,
    step,
)
from harness.nightly.baseline import first_good, last_good
from harness.nightly.entry import NightEntry, NightRow, build_entry, opened_by
from harness.nightly.memory.control import Control
from harness.nightly.memory.lasting import LastingShift, is_new, lasting_shifts
from harness.nightly.memory.levels import outside_levels
from harness.nightly.memory.regressions import carried, opened, settle
from harness.nightly.night import MeasuredShift, Night, Regression, headline
from harness.nightly.nightly_report import to_json, to_junit
from harness.nightly.notices.next_steps import steps
from harness.nightly.remeasure import folder_of_again
from harness.nightly.verdict import BATCH as BATCH_S
from harness.nightly.verdict import Verdict
from harness.stats.intervals import Interval
from harness.storage.known_runs import find_run
from harness.storage.store import RunFolder
from helpers.sample_run import made_run

ROW = "int8"
QUIET_TIMES = np.exp(1e-3 * np.random.default_rng(0).standard_normal((5, 3)))
BEGIN = 9  # few nights before: what is tested is what is kept after


def year(course: Course, nights: int, software: str = "fixed", seed: int = 1) -> list[Night]:
    return Year(QUIET, software, course, nights, seed).judge()


def entry(run: int, time_s: float = 1.0, **changes: object) -> NightEntry:
    """Return a night of a method whose rounds hardly differ."""
    times = QUIET_TIMES * time_s * (1 + 1e-4 * (run % 3))
    row = NightRow(ROW, ROW, "ok", 2.0, times, None, f"model {run}", 0)
    night = NightEntry(
        "m", f"n{run:02d}", f"2026-01-{run:02d}T00:00:00Z", "", {}, {}, (row,), "none"
    )
    return replace(night, **changes)  # type: ignore[arg-type]


def test_a_confirmed_regression_stays_red_where_nothing_changes_any_more() -> None:
    course = Course(model={ROW: step(1.05, BEGIN)}, events=[BEGIN])
    nights = year(course, BEGIN + 8)
    assert red(nights, ROW) == list(range(BEGIN, BEGIN + 8))
    first, second = nights[BEGIN], nights[BEGIN + 1]
    assert "(confirmed)" in headline(first) and "still open" not in headline(first)
    assert f"still open since run {first.run} (2026-01-10)" in headline(second)
    assert "(confirmed)" not in headline(second)
    assert second.verdict == "regression" and second.again is None  # it is not measured again
    assert steps(second)[0].text.startswith("Act: repair what is open; it closes once")
    assert xml.fromstring(to_junit(second)).find(".//failure") is not None
    (stored,) = to_json(second)["open"]
    assert (stored["method"], stored["since"], stored["in_turn"]) == (ROW, first.run, True)
    assert stored["level"] == [night.run for night in nights[BEGIN - 5 : BEGIN]]


def test_a_revert_closes_it_and_the_same_regression_opens_anew() -> None:
    back, again = BEGIN + 4, BEGIN + 8
    slow = lambda night: 1.05 if BEGIN <= night < back or night >= again else 1.0  # noqa: E731
    nights = year(Course(model={ROW: slow}, events=[BEGIN, back, again]), again + 3)
    closed = next(at for at, night in enumerate(nights) if night.fixed)
    assert back <= closed <= back + 1
    assert headline(nights[closed]).startswith("fixed: int8 takes ")
    assert red(nights, ROW) == [*range(BEGIN, closed), *range(again, again + 3)]
    assert nights[-1].open[0].since == nights[again].run


def test_an_acknowledged_regression_is_the_level_that_counts() -> None:
    course = Course(model={ROW: step(1.05, BEGIN)}, events=[BEGIN], acknowledged=[BEGIN])
    nights = year(course, BEGIN + 4)
    assert red(nights, ROW) == [BEGIN]
    assert not nights[-1].open and not nights[-1].fixed


def test_a_failed_row_does_not_close_it() -> None:
    failed = {ROW: range(BEGIN + 2, BEGIN + 4)}
    course = Course(model={ROW: step(1.05, BEGIN)}, events=[BEGIN], failed=failed)
    nights = year(course, BEGIN + 6)
    assert [night.verdict for night in nights[BEGIN:]] == ["regression"] * 6


def test_failed_nights_use_up_no_baseline() -> None:
    nights = [entry(run) for run in (1, 2, 3)]
    failed = [
        replace(entry(run), rows=(NightRow(ROW, ROW, "failed: killed"),)) for run in range(4, 10)
    ]
    assert [each.run for each in last_good([*nights, *failed], {}, 5).entries] == [
        "n01",
        "n02",
        "n03",
    ]
    course = Course(model={ROW: step(1.08, BEGIN)}, events=[BEGIN],
                    failed={ROW: range(BEGIN - 5, BEGIN)})  # fmt: skip
    assert red(year(course, BEGIN + 3), ROW) == list(range(BEGIN, BEGIN + 3))


def test_nights_of_an_open_regression_are_no_baseline_also_from_before_it_was_noted() -> None:
    open_ = (Regression(ROW, BATCH, "n03", "2026-01-03T00:00:00Z", "worse", ("n01", "n02")),)
    nights = [*map(entry, (1, 2, 3, 4)), entry(5, open=open_), entry(6)]
    timed = {run.run for run, rows in _counted(nights) if ROW in rows}
    assert timed == {"n01", "n02", "n06"}
    known = {(ROW, BATCH): "meant"}
    nights[2] = entry(3, acknowledged=known)
    assert {run.run for run, rows in _counted(nights) if ROW in rows} == {
        "n03",
        "n04",
        "n05",
        "n06",
    }


def _counted(nights: Sequence[NightEntry]) -> list[tuple[NightEntry, set[str]]]:
    found = last_good(nights, {}, 9)
    return [(each, set(run.times)) for each, run in zip(found.entries, found.runs, strict=True)]


def test_a_regression_of_a_version_that_kept_no_level_gets_the_one_before_it() -> None:
    nights = [*map(entry, (1, 2, 3)), entry(4, 1.2, regressions=frozenset({(ROW, BATCH)}))]
    nights[-1] = replace(nights[-1], open=opened_by(nights[-1]), verdict="regression")
    (regression,) = carried(nights, entry(5), 2)
    assert (regression.key, regression.level) == ((ROW, BATCH), ("n02", "n03"))
    settled = settle([regression], nights, entry(5), Control(nights, entry(5)))
    (regression,) = settled.open
    assert regression.back == 1
    assert settle([regression], nights, entry(6), Control(nights, entry(6))).fixed == (regression,)


def test_a_cost_that_is_repaired_to_less_than_is_judged_closes_it() -> None:
    def costing(run: int, cost_s: float) -> NightEntry:
        night = entry(run)
        return replace(night, rows=(replace(night.rows[0], cost_s=cost_s),))

    level = [costing(run, 1.05) for run in (1, 2, 3, 4)]
    worse = Regression(
        ROW, "cost_s", "n05", "2026-01-05T00:00:00Z", "worse", ("n01", "n02", "n03", "n04")
    )
    nights = [*level, replace(costing(5, 1.6), verdict="regression", open=(worse,))]
    now = costing(6, 0.97)
    (still,) = settle([worse], nights, now, Control(nights, now)).open
    assert still.back == 1
    assert settle([still], nights, now, Control(nights, now)).fixed == (still,)


def test_a_level_that_is_no_night_closes_it_as_well(tmp_path: Path) -> None:
    pinned = made_run(tmp_path, rounds=5, run="n1-pinned")
    now = replace(build_entry(pinned), run="n2")
    worse = Regression("int8_smart", BATCH, "n1", now.created, "worse", (pinned.id,))
    night = replace(now, run="n1", verdict="regression", open=(worse,))
    assert settle([worse], [night], now, Control([night], now)).open[0].back == 0
    outside = outside_levels([night], now, tmp_path)
    assert [run.run for run in outside] == [pinned.id]
    assert settle([worse], [night], now, Control([night], now), outside).fixed == (worse,)
    assert outside_levels([night], replace(now, alike={"task": "other"}), tmp_path) == []


def test_other_suspects_are_measured_again_beside_the_first(tmp_path: Path) -> None:
    made_run(tmp_path, rounds=5, run="n1")
    again = made_run(tmp_path, rounds=5, run="n1-again")
    plan = again.load_plan()
    assert plan is not None
    night = RunFolder(again.path.with_name("n1"))
    methods = {name: chosen.stored for name, chosen in plan.methods.items()}
    assert folder_of_again(night, methods, 5).id == "n1-again"
    fewer = {"int8_smart": methods["int8_smart"]}
    other = {**methods, "int8_smart": {**methods["int8_smart"], "label": "int8 of run n0"}}
    assert folder_of_again(night, fewer, 5).id == "n1-again-2"
    assert folder_of_again(night, other, 5).id == "n1-again-2"
    assert folder_of_again(night, methods, 0).id == "n1-again-2"
    made_run(tmp_path, rounds=5, run="n1-again-2")
    assert find_run(tmp_path, "latest").id == "n1", "the others are a night's own"


@pytest.mark.parametrize(
    ("ratio", "tonight", "since"),
    [
        (1.026, 1.051, "n09"),  # the machine became slower before, and the row tonight
        (1.06, 1.051, "n03"),  # the whole step was there before
        (1.026, 1.01, "n03"),  # tonight alone shows little of it
    ],
)
def test_a_small_shift_before_does_not_take_a_regression_of_tonight(
    ratio: float, tonight: float, since: str
) -> None:
    nights = [entry(run) for run in range(1, 9)]
    shift = LastingShift(ROW, nights[2], nights[0], ratio, ("n01", "n02"))
    turn = Interval(1.064, 1.056, 1.071, 0.9)
    row = Verdict(
        ROW, BATCH_S, "regression", replace(turn, estimate=tonight), None, None, 0.025, "", in_turn=turn
    )  # fmt: skip
    found = opened(row, entry(9), last_good(nights, {}, 5), {}, shift)
    assert found.since == since
    assert found.level == (("n04", "n05", "n06", "n07", "n08") if since == "n09" else shift.level)


def test_small_losses_of_accuracy_and_cost_add_up() -> None:
    lost = Course(lost={ROW: lambda night: 5 * night}, images=10_000)
    nights = year(lost, 12, "nightly")
    (first, *rest) = red(nights, ROW, "top1")
    assert rest == list(range(first + 1, 12))
    (row,) = (row for row in nights[first].regressions if row.metric.name == "top1")
    assert row.reason.startswith("In steps too small for a single night, since run n000: Top-1")
    dearer = Course(cost={ROW: lambda night: 2 ** (night / 35)})
    assert red(year(dearer, 22, "nightly"), ROW, "cost_s")


def test_the_level_that_counts_begins_anew_where_a_row_became_better() -> None:
    key = (ROW, "cost_s")
    nights = [*map(entry, (1, 2)), entry(3, improved=frozenset({key})), entry(4)]
    assert [each.run for each in first_good(nights, {}, 5)[key]] == ["n03", "n04"]
    nights[3] = entry(4, acknowledged={key: "new"})
    assert [each.run for each in first_good(nights, {}, 5)[key]] == ["n04"]


def test_drift_is_a_shift_from_the_level_that_counts() -> None:
    nights = [entry(run, 1.0015**run) for run in range(1, 29)]
    (shift,) = [each for each in lasting_shifts(nights[:-1], nights[-1], 5) if each.ratio > 1][:1]
    assert shift.ratio > 1.025
    assert shift.before.run < shift.since.run


def test_a_shift_is_told_from_others_by_its_place() -> None:
    earlier = [entry(run) for run in range(1, 25)]
    shift = LastingShift(ROW, earlier[20], earlier[10], 1.04)
    assert is_new(shift, earlier)
    earlier[5] = entry(6, shifted=frozenset({MeasuredShift(ROW, "n05", 1.06)}))
    assert is_new(shift, earlier)  # one of long before
    earlier[22] = entry(23, shifted=frozenset({MeasuredShift(ROW, "n20", 1.04)}))
    assert not is_new(shift, earlier)
    assert is_new(replace(shift, ratio=1.05), earlier)  # it grew
    assert is_new(replace(shift, is_controlled=True), earlier)  # beside the other methods
    assert is_new(replace(shift, method="fp32"), earlier)
    earlier[23] = entry(24, acknowledged={(ROW, BATCH): "known"})
    assert is_new(shift, earlier)


def test_a_shift_is_timed_against_the_middle_of_the_segment_before() -> None:
    nights = [entry(run, 1.04 if run > 12 else 1.0) for run in range(1, 19)]
    (shift,) = lasting_shifts(nights[:-1], nights[-1], 5)
    assert (shift.since.run, shift.before.run) == ("n13", "n07")
    assert shift.level == ("n08", "n09", "n10", "n11", "n12")


def test_a_library_is_blamed_beside_the_other_methods_in_a_second_night() -> None:
    course = Course(library={ROW: step(1.08, BEGIN)}, events=[BEGIN])
    nights = year(course, BEGIN + 5)
    reds = red(nights, ROW)
    assert reds == list(range(BEGIN + 1, BEGIN + 5))
    (row,) = nights[BEGIN + 1].regressions
    assert "beside the other methods of the same nights" in row.advice
    (first,) = (row for row in nights[BEGIN].rows if row.key == (ROW, BATCH))
    assert (first.kind, first.gap) == ("cannot tell", "machine")


def test_all_methods_at_once_wake_nobody() -> None:
    every = Course(library=dict.fromkeys(METHODS, step(1.08, BEGIN)), events=[BEGIN])
    nights = year(every, BEGIN + 3)
    assert not any(night.regressions for night in nights)
    assert "NOT judged (the machine or the environment: not separable)" in headline(nights[BEGIN])


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_nothing_wakes_where_nothing_happens(host: str) -> None:
    nights = Year(HOSTS[host], "nightly", Course(), 14, 5).judge()
    assert not any(night.regressions for night in nights)


def test_drift_is_red_once_it_adds_up() -> None:
    course = Course(model={ROW: lambda night: 1.003 ** (night // 2)})
    nights = year(course, 28)
    reds = red(nights, ROW)
    assert reds and reds == list(range(reds[0], 28))


@pytest.mark.parametrize("before", ["nothing", "improved", "acknowledged"])
def test_two_steps_below_the_threshold_are_red_together(before: str) -> None:
    factor = {"nothing": 1.0, "improved": 0.94, "acknowledged": 1.06}[before]
    known = [6] if before == "acknowledged" else []
    two = lambda night: step(factor, 6)(night) * 1.02 ** ((night >= 14) + (night >= 20))  # noqa: E731
    course = Course(model={ROW: two}, events=[6, 14, 20], acknowledged=known)
    nights = year(course, 32)
    assert red(nights, ROW)[-1] == 31
    assert not set(red(nights, ROW)) & set(range(7, 14))


def test_a_library_on_a_shared_host_is_found() -> None:
    course = Course(library={ROW: step(1.08, BEGIN)}, events=[BEGIN])
    nights = Year(HOSTS["shared"], "fixed", course, BEGIN + 8, 2).judge()
    assert red(nights, ROW)[-1] == BEGIN + 7
