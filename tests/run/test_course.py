"""How far a run is and how long it takes, told from earlier runs and from its own rows."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from harness.facts.typed import changed, plain
from harness.render.progress import TRIALS, clock, count_of, said_left
from harness.run.course import (
    CONVERT,
    MEASURE,
    OPTIMIZE,
    PROFILE,
    VALIDATE,
    Course,
    Step,
    course_of,
    seconds_taken,
    serving,
)
from harness.storage.configuration import Server
from harness.storage.outcomes import NO_SOLUTION
from harness.storage.plan import RunPlan
from harness.storage.record import Outcome, Split
from harness.storage.store import COMMITTED, TRAJECTORY, RunFolder
from helpers.sample_run import made_run
from helpers.server_records import as_server, searched


@pytest.fixture(scope="module")
def plan() -> RunPlan:
    found = RunFolder(COMMITTED / "published").load_plan()
    assert found is not None
    return found


def of(plan: RunPlan, methods: list[str], rounds: int = 0) -> RunPlan:
    """Return the plan for some of its rows, with rounds."""
    config = changed(
        plan.config,
        protocol={**plan.config.protocol.stored, "rounds": rounds, "batches": 1},
        method={name: plan.methods[name].stored for name in methods},
    )
    return replace(plan, config=config)


def test_a_count_without_an_end_has_no_time_left() -> None:
    assert count_of(12, 0, TRIALS) == "trial 12"
    assert count_of(640, 1000, "images") == "640 of 1000 images"
    assert said_left(None) == ""


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (0, "10 s"),
        (44, "40 s"),
        (50, "1 min"),
        (290, "5 min"),
        (3600, "1 h 00 min"),
        (9000, "2 h 30 min"),
    ],
)
def test_time_left_is_as_exact_as_it_is_known(seconds: float, says: str) -> None:
    assert said_left(seconds) == f"; about {says} left in all"
    assert [clock(each) for each in (5, 65, 3725)] == ["0:05", "1:05", "1:02:05"]


def test_a_run_that_nobody_knows_says_nothing_until_a_row_told(plan: RunPlan) -> None:
    course = Course(of(plan, ["fp32", "fp32_fused"]), {})
    first = Step("fp32", OPTIMIZE)
    with course.taking(first):
        assert course.left(first, 1.0) is None
    for stage in (VALIDATE, PROFILE):
        with course.taking(Step("fp32", stage)):
            pass
    second = Step("fp32_fused", OPTIMIZE)
    with course.taking(second):
        left = course.left(second, 0.0)
        assert left is not None and 0 <= left < 60
        assert course.place(second) == "row 2 of 2, "


def test_a_search_says_nothing_unless_an_earlier_one_did(plan: RunPlan) -> None:
    methods = of(plan, ["fp32", "int8_inc_mse"])
    known = {Step("fp32", stage): 2.0 for stage in (OPTIMIZE, VALIDATE, PROFILE)}
    first = Step("fp32", OPTIMIZE)
    for search, expected in ((None, None), (30.0, 2 + 2 + 2 + 30 + 2 + 2)):
        course = Course(
            methods, known | ({} if search is None else {Step("int8_inc_mse", OPTIMIZE): search})
        )
        assert course.named(Step("int8_inc_mse", OPTIMIZE)) == "tuning"
        with course.taking(first):
            assert course.left(first, 0.0) == expected
            assert search is None or course.left(first, 1.5) == expected - 1.5
            assert search is None or course.left(first, 99.0) == expected - 2  # it takes longer


def test_a_search_within_another_method_is_one(plan: RunPlan) -> None:
    search = plan.methods["int8_inc_mse"].stored
    inner = {"_target_": "a.b", "label": "x", "method": search}
    config = changed(plan.config, method={"x": inner})
    assert Course(replace(plan, config=config), {}).named(Step("x", OPTIMIZE)) == "tuning"


@pytest.mark.parametrize("options", [{}, {"criterion": "relative"}])
def test_an_engines_conversion_is_a_step_which_may_search(
    plan: RunPlan, options: dict[str, str]
) -> None:
    engine = {"environment": "e", "_target_": "a.b", **options}
    config = changed(
        plan.config,
        protocol={**plan.config.protocol.stored, "rounds": 0},
        method={"x": {**plan.methods["fp32"].stored, "engine": engine}},
    )
    seconds = {OPTIMIZE: 2.0, VALIDATE: 3.0, PROFILE: 4.0}
    known = {Step("x", stage): taken for stage, taken in seconds.items()}
    first, second = Step("x", OPTIMIZE), Step("x", CONVERT)
    for convert in (None, 50.0):
        all_known = known | ({} if convert is None else {second: convert})
        course = Course(replace(plan, config=config), all_known)
        assert course.named(first) == "" and course.named(second) == ("tuning" if options else "")
        with course.taking(first):
            assert course.left(first, 0.0) == (None if convert is None else 2 + 50 + 3 + 4)
        with course.taking(second):
            assert course.left(second, 10.0) == (None if convert is None else 40 + 3 + 4)


def test_rounds_count_each_row_once_a_round(plan: RunPlan) -> None:
    course = Course(of(plan, ["fp32", "fp32_fused"], rounds=3), {Step("fp32", MEASURE): 10.0})
    last = Step("fp32_fused", MEASURE, 1)
    with course.taking(last):
        assert course.left(last, 0.0) == pytest.approx(60.0)  # six timings, this one among them
    with course.taking(last):  # a disturbed one is repeated
        pass
    course._own.clear()
    course.drop("fp32_fused")
    course.drop_round("fp32", 2)
    now = Step("fp32", MEASURE, 1)
    with course.taking(now):
        assert course.left(now, 0.0) == pytest.approx(20.0)


def test_earlier_runs_of_this_machine_tell(plan: RunPlan, tmp_path: Path) -> None:
    machine = tmp_path / "m"
    shutil.copytree(COMMITTED / "published", machine / "before")
    course = course_of(plan, RunFolder(machine / "now"))
    step = Step("fp32", OPTIMIZE)
    with course.taking(step):
        left = course.left(step, 0.0)
    assert left is not None and 100 < left < 1000
    for other in (
        replace(plan, config=changed(plan.config, max_cpu_isa="AVX2")),
        replace(plan, threads=changed(plan.threads, count=64)),
    ):
        course = course_of(other, RunFolder(machine / "now"))
        with course.taking(step):
            assert course.left(step, 0.0) is None
    elsewhere = course_of(plan, RunFolder(tmp_path / "another machine" / "now"))
    with elsewhere.taking(step):
        assert elsewhere.left(step, 0.0) is None


def test_a_search_without_a_solution_that_left_no_trials_hides_no_other_row(
    plan: RunPlan, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "m" / "before")
    shutil.copytree(COMMITTED / "published", folder.path)
    failed = [row.method for row in folder.load_records() if row.outcome.kind == NO_SOLUTION]
    assert failed
    for method in failed:
        (folder.method(method) / TRAJECTORY).unlink(missing_ok=True)
    taken = {step.method for step, _ in seconds_taken(plan, folder)}
    assert taken == set(plan.methods) - set(failed)


def test_a_damaged_earlier_run_tells_nothing(plan: RunPlan, tmp_path: Path) -> None:
    shutil.copytree(COMMITTED / "published", tmp_path / "m" / "before")
    (tmp_path / "m" / "before" / "records" / "00_fp32.json").write_text("{")
    (tmp_path / "m" / "worse").mkdir()
    (tmp_path / "m" / "worse" / "plan.json").write_text(json.dumps({"schema": 1}))
    course = course_of(plan, RunFolder(tmp_path / "m" / "now"))
    step = Step("fp32", OPTIMIZE)
    with course.taking(step):
        assert course.left(step, 0.0) is None


def test_searches_for_a_rate_are_ahead_until_they_are_on_disk(plan: RunPlan) -> None:
    made = of(plan, ["fp32", "fp32_fused"])
    server = Server(
        latency_ms=50, duration_s=20, queries=1000, precision=0.02, batch=1, delay_ms=0, seed=1
    )
    protocol = {**made.config.protocol.stored, "server": plain(server), "profile_batches": 0}
    made = replace(made, config=changed(made.config, protocol=protocol))
    one, two = Split(1, 2), Split(2, 2)
    known = {Step("fp32", stage): 1.0 for stage in (OPTIMIZE, VALIDATE)}
    course = Course(made, known, [one, two])
    last = Step("fp32_fused", VALIDATE)
    with course.taking(last):
        assert course.left(last, 0.0) is None  # nobody knows how long they take
    now = serving("fp32", one)
    with course.taking(now):
        pass
    course._own.update({now: 60.0, serving("fp32", two): 30.0})
    course.drop_step(serving("fp32", two))
    now = serving("fp32_fused", one)
    with course.taking(now):
        assert course.left(now, 10.0) == pytest.approx(50 + 30)


def test_searches_for_a_rate_stay_ahead_while_rounds_are_taken(plan: RunPlan) -> None:
    made = of(plan, ["fp32", "fp32_fused"], rounds=2)
    server = Server(
        latency_ms=50, duration_s=20, queries=1000, precision=0.02, batch=1, delay_ms=0, seed=1
    )
    protocol = {**made.config.protocol.stored, "server": plain(server), "profile_batches": 0}
    made = replace(made, config=changed(made.config, protocol=protocol))
    split = Split(1, 2)
    steps = [Step("fp32", MEASURE), Step("fp32", str(split)), serving("fp32", split)]
    known = dict(zip(steps, (1.0, 2.0, 60.0), strict=True))
    course = Course(made, known, [split])
    now = Step("fp32", MEASURE, 1)
    with course.taking(now):
        ahead = course.left(now, 0.0)
    assert ahead is not None and ahead > 2 * 60


def test_searches_of_an_earlier_run_tell_how_long_they_take(tmp_path: Path) -> None:
    folder = made_run(tmp_path)
    as_server(folder)
    found = searched("fp32")
    facts = [
        msgspec.structs.replace(one, seconds=seconds)
        for one, seconds in zip(found.facts or [], (60.0, 61.0), strict=True)
    ]
    folder.save(replace(found, facts=facts))
    lost = Outcome("failed", "it did")
    folder.save(searched("fp32_fused", outcome=lost, facts=None, highest=None, tried=[]))
    made = folder.load_plan()
    assert made is not None
    taken = dict(seconds_taken(made, folder))
    assert taken[serving("fp32", Split(2, 2))] == 61.0
    assert serving("fp32_fused", Split(2, 2)) not in taken


def test_an_engines_search_without_a_solution_tells_how_long_it_was(
    plan: RunPlan, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "m" / "before")
    shutil.copytree(COMMITTED / "published", folder.path)
    (failed,) = (row for row in folder.load_records() if row.outcome.kind == NO_SOLUTION)
    trials = [{"trial": 1, "accuracy": 0.5, "seconds": 7.0, "changed": {}}]
    (folder.method(failed.method) / TRAJECTORY).write_text(json.dumps(trials))
    engine = {"environment": "e", "_target_": "a.b"}
    methods = {name: method.stored for name, method in plan.methods.items()}
    methods[failed.method] = {**methods[failed.method], "engine": engine}
    of_engine = replace(plan, config=changed(plan.config, method=methods))
    folder.save_plan(of_engine)
    taken = dict(seconds_taken(of_engine, folder))
    assert taken[Step(failed.method, CONVERT)] == 7.0
    assert Step(failed.method, OPTIMIZE) not in taken
