"""The benchmark of engines: what a case says of a run, and its table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.engines import __main__ as engines
from benchmarks.engines import report
from benchmarks.strategies import DEFECTS, models

pytestmark = pytest.mark.slow
ABOUT = {"cpu": "A CPU", "isa": ["AVX2"], "tuning": 64, "held_back": 100}


def row(loss: float | None, **facts: Any) -> dict[str, Any]:
    known = {"outcome": "ok", "seconds": 2.0, **facts}
    return known if loss is None else {**known, "loss": [loss, loss - 1, loss + 1]}


def test_the_table_has_each_networks_loss_and_medians_of_what_it_took() -> None:
    cases = [
        {
            "defect": "none",
            "seed": 0,
            "fp32": 0.92,
            "rows": {"plain": row(0.4), "tuned": row(0.1, evaluations=2, excluded=["a", "b"])},
        },
        {
            "defect": "first",
            "seed": 0,
            "fp32": 0.93,
            "rows": {"plain": row(18.0, seconds=4.0), "tuned": row(None, outcome="no solution")},
        },
    ]
    text = report.to_markdown(cases, ABOUT)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    by_row = {cells[0]: cells[1:] for cells in lines if cells}
    assert by_row["row"][:3] == ["none 0", "first 0", "within 1.5 %"]
    assert by_row["plain"] == ["0.40", "18.00", "1/2", "3.0", "-", "-"]
    assert by_row["tuned"] == ["0.10", "-", "1/2", "2.0", "2", "2"]
    assert "first 0 0.9300" in text and "AVX2" in text


def test_the_names_of_defects_are_those_of_the_models() -> None:
    assert tuple(models.DEFECTS) == DEFECTS


def test_too_few_images_are_the_users_matter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert engines.main(["--images", "128", "--tuning", "2", "--out", str(tmp_path)]) == 2
    assert "--images 128" in capsys.readouterr().err


def test_a_case_is_a_run_of_the_harness(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--defects", "residual", "--rows", "int8_smart_naive", "--images", "128",
             "--tuning", "1", "--out", str(tmp_path))  # fmt: skip
    assert engines.main(words) == 0
    shown = capsys.readouterr().out
    assert "| int8_smart_naive" in shown and "residual 0" in shown
    (case,) = json.loads((tmp_path / "engines.json").read_text())["cases"]
    assert case["fp32"] > 0.8 and len(case["rows"]["int8_smart_naive"]["loss"]) == 3
    (run,) = tmp_path.glob("runs/*/residual_0")
    before = sorted(path.stat().st_mtime_ns for path in run.glob("records/*"))
    assert engines.main(words) == 0  # what is measured stays
    assert before == sorted(path.stat().st_mtime_ns for path in run.glob("records/*"))
