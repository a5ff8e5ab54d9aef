"""The benchmark against the published procedure: both sides agree, and the report has all of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.vs_published.comparison import (
    COLD,
    MEMORY_IMAGES,
    REUSED,
    WARM,
    Scale,
    equalities,
    targets,
)
from benchmarks.vs_published.side import Row, Side
from harness import PROJECT
from helpers.command_line import PATIENCE_S, TINY, until

METHODS = ("fp32_fused", "int8_inc_basic")
FULL_SIZE = Scale(MEMORY_IMAGES, 576, 224)


def side(name: str, seconds: float, prepared: float, peak: int, row: Row) -> Side:
    return Side(
        name, seconds, peak, peak, (prepared,), {"all": seconds}, {"all": peak}, {"one": row}
    )


GOOD = Row("ok", 0.76994, 0.9340, 1.0, 2.0, (0.5, 0.25), {"tuning": {"random_seed": 1}})
PUBLISHED = side("published", 100.0, 18.0, 8_000, GOOD)
KEPT = (
    side(COLD, 100.0, 10.0, 2_000, GOOD),
    side(WARM, 90.0, 0.1, 2_000, GOOD),
    side(REUSED, 50.0, 0.1, 2_000, GOOD),
)


def verdicts(runs: Any, scale: Scale = FULL_SIZE) -> dict[str, bool | None]:
    found = targets(PUBLISHED, runs, equalities(PUBLISHED, runs), scale)
    return {each.what: each.met for each in found}


def test_targets_are_met_at_their_limits() -> None:
    assert set(verdicts(KEPT).values()) == {True}


@pytest.mark.parametrize(
    ("number", "change", "missed"),
    [
        (0, {"seconds": 100.1}, {f"time to the table, {COLD}"}),
        (1, {"seconds": 90.1}, {f"time to the table, {WARM}"}),
        (2, {"seconds": 50.1}, {f"time to the table, {REUSED}"}),
        (0, {"preparation_s": (10.1,)}, {"data preparation, one published pass / cold"}),
        (1, {"preparation_s": (0.6,)}, {"data preparation, warm"}),
        (1, {"peak_bytes": 2_001}, {"peak memory / published"}),
        (1, {"rows": {"one": replace(GOOD, top1=0.7698)}}, {"every accuracy equal"}),
        (1, {"rows": {"one": replace(GOOD, told={})}}, {"every accuracy equal"}),
        (1, {"rows": {"one": Row("no solution")}}, {"every accuracy equal"}),
        (1, {"rows": {}}, {"every accuracy equal"}),
    ],
)
def test_a_missed_target_is_said(number: int, change: dict[str, Any], missed: set[str]) -> None:
    runs = list(KEPT)
    runs[number] = replace(runs[number], **change)
    assert {what for what, met in verdicts(runs).items() if met is False} == missed


def test_what_the_table_does_not_print_makes_no_difference() -> None:
    runs = [replace(KEPT[0], rows={"one": replace(GOOD, top1=0.76991)}), *KEPT[1:]]
    assert verdicts(runs)["every accuracy equal"]


def test_memory_is_not_judged_on_few_images() -> None:
    small = replace(FULL_SIZE, images=MEMORY_IMAGES - 1)
    assert verdicts(KEPT, small)["peak memory / published"] is None


@pytest.mark.slow
def test_both_sides_give_the_same_table(tmp_path: Path) -> None:
    words = [f"method=[{','.join(METHODS)}]", "tuning.max_trials=2", "tuning.sampling_size=32"]
    command = [sys.executable, "-m", "benchmarks.vs_published", *words, *TINY]
    command += ["--out", str(tmp_path / "out"), "--scratch", str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (tmp_path / "out" / "vs_published.md").read_text()
    for part in (
        "## Targets",
        "## Accuracies",
        "## Seconds to the table, and memory",
        "## Seconds by method",
        "## Where the time went",
        f"**{REUSED}**",
    ):
        assert part in done.stdout
    found = json.loads((tmp_path / "out" / "vs_published.json").read_text())
    assert [run["name"] for run in found["runs"]] == [COLD, WARM, REUSED]
    assert found["targets"][0]["met"] is True
    inc = found["equalities"][1]
    assert (inc["method"], inc["same_options"], inc["same_trials"]) == (
        "int8_inc_basic",
        True,
        True,
    )
    for each in (found["published"], *found["runs"]):
        assert sum(each["phases"].values()) == pytest.approx(each["seconds"])
        assert min(each["phases"].values()) > -0.05
        assert 0 < max(each["peaks"].values()) <= each["peak_bytes"] <= each["together_bytes"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "nothing is left behind"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["workload.tuning.source=other.rec"], "leave it at head"),
        (["workload.no_such_key=1"], "no such key"),
        (["method=[fp32,mine]"], "nothing like my_method"),
    ],
)
def test_what_the_published_procedure_cannot_do(
    tmp_path: Path, words: list[str], said: str
) -> None:
    command = [sys.executable, "-m", "benchmarks.vs_published", *words, *TINY]
    command += ["--out", str(tmp_path / "out"), "--scratch", str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.slow
def test_a_terminated_comparison_leaves_nothing_running(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.vs_published", *TINY]
    command += ["--out", str(tmp_path / "out"), "--scratch", str(tmp_path)]
    process = subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True)

    def child() -> psutil.Process | None:
        return next(iter(psutil.Process(process.pid).children()), None)

    started = until(child, "the published procedure")
    process.terminate()
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 3
    assert "interrupted" in said
    assert until(lambda: not started.is_running(), "the end of what it started")
    assert not list(tmp_path.iterdir())
