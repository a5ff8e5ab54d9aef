"""What measuring a night says of itself."""

from __future__ import annotations

import shlex
from pathlib import Path

from harness.nightly.measurement import EXPERIMENT, _goes_on
from harness.render.progress import display
from harness.run.context import Context
from harness.storage.store import RunFolder
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
