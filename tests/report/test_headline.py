"""The headline of a report: its intervals, and what disturbed the timings that it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.report.headline import Headline, headline
from harness.storage.store import RunFolder
from harness.table.loaded_run import load_run
from helpers.other_machine import edit
from helpers.sample_records import LOAD
from helpers.sample_run import made_run


def headline_of(folder: RunFolder) -> Headline:
    made = headline(load_run(RunFolder(folder.path)))
    assert made is not None and made.row.method == "int8_custom"
    return made


def test_the_gain_has_its_interval(tmp_path: Path) -> None:
    made = headline_of(made_run(tmp_path))
    over_fp32, over_fused = (
        made.row.intervals[name] for name in ("inference_speedup", "speedup_vs_fused")
    )
    assert f"[{over_fp32.low:.2f}, {over_fp32.high:.2f}] times fp32" in made.gain
    assert f"[{over_fused.low:.2f}, {over_fused.high:.2f}] times fp32_fused" in made.gain
    assert made.disturbed == ""


@pytest.mark.parametrize(("engine", "told"), [({}, True), ({"fp32": "openvino"}, False)])
def test_reference_kernels_of_another_engine_are_no_defect(
    tmp_path: Path, engine: dict[str, str], told: bool
) -> None:
    run = load_run(made_run(tmp_path, engines=engine))
    made = headline(run)
    assert made is not None and ("is a defect of fp32" in made.defect) is told
    assert any("slow reference kernels of this MXNet" in note for note in run.notes) is told


@pytest.mark.parametrize(("method", "named"), [("fp32", True), ("int8_mse", False)])
def test_disturbed_passes_of_its_rows_are_named(tmp_path: Path, method: str, named: bool) -> None:
    folder = made_run(tmp_path, rounds=0)

    def disturb(record: Any) -> None:
        record["validate"]["disturbed"] = [LOAD]

    (path,) = (folder.path / "records").glob(f"*_{method}.json")
    edit(path, disturb)
    said = headline_of(folder).disturbed
    assert said.startswith("The validation passes of fp32 were disturbed (core_load)") is named
    assert bool(said) is named  # other rows' disturbances are in the notes alone


def test_disturbed_rounds_that_count_are_named(tmp_path: Path) -> None:
    folder = made_run(tmp_path)

    def disturb(record: Any) -> None:
        record["facts"]["timed"][0]["disturbed"] = [LOAD]

    edit(folder.path / "rounds" / "002_int8_custom_1.json", disturb)
    assert headline_of(folder).disturbed.startswith("Rounds of int8_custom were disturbed")
