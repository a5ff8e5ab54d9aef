"""A run by its id or as the latest, and the list of all."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from harness import PROJECT
from harness.cli import main
from harness.errors import InputError
from harness.storage.known_runs import find_run, like_run
from harness.storage.listing import list_runs
from harness.storage.store import AGAIN, COMMITTED, NIGHT, PINNED
from helpers.terminals import in_terminal


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return results with runs of two days on one machine, and one of another."""
    for name, created in (
        ("a/first", "2025-01-01T00:00:00Z"),
        ("a/zulu", "2024-01-01T00:00:00Z"),
        ("b/other", "2025-01-02T00:00:00Z"),
    ):
        folder = Path(shutil.copytree(COMMITTED / "published", tmp_path / name))
        plan = json.loads((folder / "plan.json").read_text())
        (folder / "plan.json").write_text(
            json.dumps({**plan, "run": folder.name, "created": created})
        )
    return tmp_path


def test_the_latest_is_the_one_that_was_planned_last(results: Path) -> None:
    assert find_run(results, "latest").id == "other"
    assert find_run(results, "a/latest").id == "first"
    (results / "b" / "other" / "plan.json").write_text("{")
    assert find_run(results, "latest").id == "first"
    with pytest.raises(InputError, match=r"no run c/latest .*list shows all"):
        find_run(results, "c/latest")


@pytest.mark.parametrize("end", [AGAIN, PINNED])
def test_the_latest_is_a_night_and_not_its_other_runs(results: Path, end: str) -> None:
    (results / "b" / "other").rename(results / "a" / f"first{end}")
    assert find_run(results, "latest").id == "first"
    assert find_run(results, f"first{end}").id == f"first{end}"
    (results / "a" / "first").rename(results / "a" / "second")
    assert find_run(results, "latest").id == f"first{end}"  # a user's own name


def test_a_run_of_that_name_comes_first(results: Path) -> None:
    (results / "a" / "zulu").rename(results / "a" / "latest")
    assert find_run(results, "latest").path == results / "a" / "latest"


def test_the_last_runs_are_those_that_were_planned_last(results: Path) -> None:
    (results / "b" / "another").mkdir()
    (results / "b" / "another" / "plan.json").write_text("{")
    with pytest.raises(InputError, match="the last ones are zulu, first, other;"):
        find_run(results, "qqq")


def test_a_new_id_that_is_near_a_known_one_may_be_mistyped(results: Path) -> None:
    assert like_run(results, "frist") == "first"
    assert like_run(results, "otehr") == "other"
    (results / "a" / "zulu").rename(results / "a" / "night3")
    assert like_run(results, "nigth3") == "night3"
    for series in ("night4", "night3", "night3-again", "nigh", "something"):
        assert like_run(results, series) == ""


def test_there_is_no_latest_without_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is none yet; \./run\.sh measures one"):
        find_run(tmp_path, "latest")


def test_the_list_has_a_line_for_each(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (results / "a" / "first" / "records" / "00_fp32.json").write_text("{")
    (results / "a" / "zulu" / "records" / "01_fp32_fused.json").unlink()
    (results / "b" / "other" / NIGHT).write_text('{"verdict": "regression"}')
    runs = {run.run: run for run in list_runs(results)}
    assert list(runs) == ["other", "first", "zulu"]
    assert runs["other"].verdict == "regression"
    assert runs["other"].ended == "9 ok, 1 no solution"
    assert runs["first"].ended == "8 ok, 1 damaged, 1 no solution"
    assert runs["zulu"].ended == "8 ok, 1 no solution, 1 not measured"
    assert all(run.bytes > 1e6 and run.experiment == "bundled, published" for run in runs.values())
    assert main(["list", f"run.results={results}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and "b/other" in lines[2] and "2025-01-02 00:00" in lines[2]
    (results / "b" / "other" / "plan.json").write_text("{")
    assert [run.experiment for run in list_runs(results)][-1] == "the plan is damaged"


@pytest.mark.slow
def test_no_terminal_is_so_narrow_that_it_breaks_an_id(results: Path) -> None:
    ids = ["a/20250101-000000-new-compiler-2", "a/zulu", "b/other"]
    (results / "a" / "first").rename(results / ids[0])
    (results / "a" / "zulu" / "records" / "01_fp32_fused.json").unlink()
    command = [sys.executable, "-m", "harness", "list", f"run.results={results}"]
    for width, last in ((62, "Rows"), (80, "Rows"), (100, "Experiment"), (140, "MB")):
        head, _, *lines = in_terminal(command, PROJECT, width).splitlines()
        assert {line.split()[0] for line in lines if line[0] != " "} == set(ids)
        assert last in head and max(map(len, lines)) <= width


def test_an_empty_list_says_what_to_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", f"run.results={tmp_path}"]) == 0
    assert "type ./run.sh demo" in capsys.readouterr().out
