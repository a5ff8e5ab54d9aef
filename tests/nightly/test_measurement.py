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
from harness.nightly.one_software import require_one_software
from harness.render.progress import display
from harness.run.context import Context
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


@pytest.mark.parametrize("what", OTHERS)
def test_a_night_does_not_go_on_with_other_software(tmp_path: Path, what: str) -> None:
    """Its plan would name software that only a part of it had."""
    folder, notes = made_run(tmp_path), []
    folder.save_plan(replace(folder.load_plan(), packages={"numpy": "1"}))  # type: ignore[type-var]
    plan = folder.load_plan()
    assert plan is not None
    now = OTHERS[what](plan)
    write_json(folder.path / NIGHT, STOPPED)
    min(folder.path.glob(ROUND_FILES)).unlink()  # it is still to be measured
    require_one_software(folder, plan, notes.append)
    with pytest.raises(
        InputError, match=rf"began with other software \(.*{what}.*leave run\.id out"
    ):
        require_one_software(folder, now, notes.append)
    assert not notes
    write_json(folder.path / NIGHT, {**STOPPED, "verdict": "none"})  # it is judged
    require_one_software(folder, now, notes.append)
    assert not notes


def test_a_night_that_is_measured_is_judged_by_whatever_software(tmp_path: Path) -> None:
    folder, notes = made_run(tmp_path, rounds=0), []
    plan = folder.load_plan()
    assert plan is not None
    require_one_software(folder, OTHERS["code"](plan), notes.append)
    (said,) = notes
    assert "was measured by other software than judges it now (code" in said
    suspected = {"method": "fp32", "metric": "batch_s", "kind": "regression"}
    write_json(folder.path / NIGHT, {**STOPPED, "verdict": "suspected", "rows": [suspected]})
    with pytest.raises(InputError, match="began with other software"):  # it is measured again
        require_one_software(folder, OTHERS["code"](plan), notes.append)


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
