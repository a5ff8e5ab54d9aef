"""What measuring a night says of itself."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.facts.typed import changed
from harness.files.whole_files import write_json
from harness.nightly.measurement import EXPERIMENT, _goes_on, _named
from harness.nightly.one_software import check_going_on
from harness.render.progress import display
from harness.run.context import Context
from harness.run.lifecycle import fix_plan
from harness.storage.plan import RunPlan
from harness.storage.record import ROUND_FILES
from harness.storage.store import NIGHT, RunFolder
from helpers.sample_run import made_run


def test_the_command_that_goes_on_has_all_that_the_night_needs(tmp_path: Path) -> None:
    """All words before the night has a plan; then its checkout alone, whose code runs only if named."""
    own = ["method=[fp32]", f"nightly.pinned={tmp_path}"]
    words = [EXPERIMENT, *own, f"run.results={tmp_path}", "run.id=n1"]
    context = Context.of(words, [], display())
    before = shlex.split(_goes_on(context, RunFolder(tmp_path / "m" / "n1")))
    results = f"run.results={tmp_path}"
    assert before == ["./run.sh", "nightly", *own, "run.id=n1", results]
    planned = made_run(tmp_path)
    assert shlex.split(_goes_on(context, planned)) == [
        *("./run.sh", "nightly", own[1], f"run.id={planned.id}", results)
    ]


STOPPED = {"verdict": "stopped", "rows": [], "shifts": []}
OTHERS: dict[str, Callable[[RunPlan], RunPlan]] = {
    "code": lambda plan: replace(plan, code="0" * 64),
    "packages": lambda plan: replace(plan, packages={"numpy": "9"}),
    "machine.kernel": lambda plan: replace(plan, machine=changed(plan.machine, kernel="9.9")),
    "machine.microcode": lambda plan: replace(plan, machine=changed(plan.machine, microcode="9")),
}


def planned_run(results: Path, rounds: int = 3) -> tuple[RunFolder, RunPlan]:
    """Return a run whose plan names the software that measured it, and the plan."""
    folder = made_run(results, rounds=rounds)
    plan = folder.load_plan()
    assert plan is not None
    folder.save_plan(replace(plan, code="1" * 64, packages={"numpy": "1"}))
    known = folder.load_plan()
    assert known is not None
    return folder, known


@pytest.mark.parametrize("what", OTHERS)
def test_a_night_does_not_go_on_with_other_software(tmp_path: Path, what: str) -> None:
    """Its plan would name software that only a part of it had."""
    folder, plan = planned_run(tmp_path)
    notes: list[str] = []
    now = OTHERS[what](plan)
    write_json(folder.path / NIGHT, STOPPED)
    min(folder.path.glob(ROUND_FILES)).unlink()  # it is still to be measured
    check_going_on(folder, plan, notes.append)
    with pytest.raises(
        InputError, match=rf"began with other software \(.*{what}.*leave run\.id out"
    ):
        check_going_on(folder, now, notes.append)
    assert not notes
    write_json(folder.path / NIGHT, {**STOPPED, "verdict": "none"})  # a row is to be measured again
    with pytest.raises(InputError, match="began with other software"):
        check_going_on(folder, now, notes.append)
    assert not notes


def test_a_night_that_is_measured_is_judged_by_whatever_software(tmp_path: Path) -> None:
    folder, plan = planned_run(tmp_path, rounds=0)
    notes: list[str] = []
    check_going_on(folder, OTHERS["code"](plan), notes.append)
    (said,) = notes
    assert "was measured by other software than judges it now (code" in said
    suspected = {"method": "fp32", "metric": "batch_s", "kind": "regression"}
    write_json(folder.path / NIGHT, {**STOPPED, "verdict": "suspected", "rows": [suspected]})
    with pytest.raises(InputError, match="began with other software"):  # it is measured again
        check_going_on(folder, OTHERS["code"](plan), notes.append)


def test_a_judged_night_is_left_alone_and_new_versions_judge_none(tmp_path: Path) -> None:
    folder, plan = planned_run(tmp_path, rounds=0)
    notes: list[str] = []
    newer = replace(plan, versions=changed(plan.versions, numpy="9"))
    with pytest.raises(InputError, match=r"began with other software \(versions\.numpy"):
        check_going_on(folder, newer, notes.append)
    write_json(folder.path / NIGHT, {**STOPPED, "verdict": "none"})
    check_going_on(folder, newer, notes.append)
    assert not notes


def test_settings_on_the_command_line_are_no_software(tmp_path: Path) -> None:
    """Another check refuses them, and says to leave them out."""
    folder, plan = planned_run(tmp_path)
    seed = changed(plan.config.tuning, seed=plan.config.tuning.seed + 1).stored
    min(folder.path.glob(ROUND_FILES)).unlink()
    now = replace(plan, config=changed(plan.config, tuning=seed))
    check_going_on(folder, now, pytest.fail)
    with pytest.raises(InputError, match=r"planned otherwise \(config\.tuning\.seed"):
        fix_plan(now, folder, pytest.fail)
    notes: list[str] = []
    fix_plan(OTHERS["code"](plan), folder, notes.append)
    assert "began with other software (code: " in notes[0]


def test_a_night_that_goes_on_is_not_compared_with_itself(tmp_path: Path) -> None:
    """It would be unchanged in everything. The newest run is such a night once it has begun."""
    before, night = made_run(tmp_path, run="n1"), made_run(tmp_path, run="n2")

    def named(word: str) -> RunFolder | None:
        words = [EXPERIMENT, f"nightly.baseline={word}", f"run.results={tmp_path}"]
        return _named(Context.of(words, [], display()), night)

    with pytest.raises(InputError, match=r"is this night, .*: give nightly\.baseline=last"):
        named("n2")
    with pytest.raises(InputError, match="did you mean last, the last good nights"):
        named("latest")
    earlier = named("n1")
    assert earlier is not None and earlier.path == before.path
    assert named("last") is None
    made_run(tmp_path, run="latest")  # a run may have that id
    assert named("latest") is not None
