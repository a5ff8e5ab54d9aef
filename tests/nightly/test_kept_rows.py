"""What a night keeps in one file, so that the history is made again without its records."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.files.whole_files import json_sha256, write_json
from harness.nightly.entry import NightEntry, build_entry
from harness.nightly.judgements import rebuilt
from harness.nightly.memory import kept_rows
from harness.nightly.memory.cells import row_cells
from harness.nightly.memory.database import NAME, opened
from harness.nightly.memory.kept_rows import keep_rows, load_rows, read_entry
from harness.storage.store import NIGHT, RunFolder
from helpers.sample_run import made_run

VERDICT = {"verdict": "none", "rows": [], "shifts": [], "schema": 2}


def written(entry: NightEntry, folder: Path) -> list[tuple[object, ...]]:
    """Return the tables of a history that has one night alone."""
    with opened(folder) as history:
        history.save(entry)
        connection = history._connection
        return [
            row
            for table in ("runs", "rows")
            for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3")
        ]


@pytest.fixture
def night(tmp_path: Path) -> RunFolder:
    folder = made_run(tmp_path / "results", rounds=5)
    write_json(folder.path / NIGHT, VERDICT)
    return folder


def test_the_file_says_what_the_records_say(night: RunFolder, tmp_path: Path) -> None:
    assert load_rows(night) is None
    of_records = replace(read_entry(night), trusts_disturbed=True, compared_with=9)
    keep_rows(night, of_records)
    of_file = load_rows(night)
    assert of_file is not None and of_file.trusts_disturbed and of_file.compared_with == 9
    assert written(of_file, tmp_path / "a") == written(of_records, tmp_path / "b")


@pytest.mark.parametrize(
    "changed", ["plan.json", "records/00_fp32.json", "rounds/001_fp32_1.json", "labels.npy"]
)
def test_a_file_of_other_records_does_not_count(night: RunFolder, changed: str) -> None:
    keep_rows(night, build_entry(night))
    assert load_rows(night) is not None
    path = night.path / changed
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert load_rows(night) is None


RULES = {2: "5fd6dc84f57e6692b3581f2f388d660b345af5e4938fe1828d018d1e631fd47e"}  # by VERSION


def test_what_is_kept_has_a_version_of_its_own(night: RunFolder) -> None:
    """Nights are compared by what is kept of them: with other rules, their records must be read again.

    If this fails, what a night's entry has was changed: raise VERSION, and add its digest here.
    """
    entry = build_entry(night)
    environment = {key: each for key, each in entry.environment.items() if key != "harness"}
    kept = json_sha256([entry.alike, environment, [str(row_cells(row)) for row in entry.rows]])
    assert kept == RULES[kept_rows.VERSION]


def test_a_round_more_is_read(night: RunFolder) -> None:
    read_entry(night)
    for path in list((night.path / "rounds").glob("005_fp32_*.json")):
        path.unlink()
    row = read_entry(night).row("fp32")
    assert row is not None and row.times is not None and len(row.times) == 4


@pytest.mark.parametrize("content", [b"", b"\x81", b"x" * 100, "link", "cut"])
def test_a_damaged_file_does_not_count(night: RunFolder, content: bytes | str) -> None:
    keep_rows(night, build_entry(night))
    path = night.path / kept_rows.NAME
    whole = path.read_bytes()
    path.unlink()
    if content == "link":
        path.symlink_to(night.path / "plan.json")
    else:
        path.write_bytes(content if isinstance(content, bytes) else whole[:-10])
    assert load_rows(night) is None
    assert read_entry(night).rows


def test_a_history_is_made_again_from_it(night: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    results = night.path.parents[1]
    (line,) = rebuilt(results)
    assert line.startswith("1 nights read")
    monkeypatch.setattr(kept_rows, "build_entry", lambda folder: pytest.fail("records are read"))
    (results / NAME).unlink()
    (again,) = rebuilt(results)
    assert again == line
    with opened(results) as history:
        (entry,) = history.load("machine")
    row = entry.row("int8_smart")
    assert row is not None and row.correct is not None and entry.verdict == "none"
    assert float(np.mean(row.correct[0])) == 0.6


def test_a_night_that_cannot_be_read_leaves_the_others(night: RunFolder) -> None:
    """They are written in one transaction."""
    results = night.path.parents[1]
    other = made_run(results, run="other")
    write_json(other.path / NIGHT, VERDICT)
    (other.path / "records" / "00_fp32.json").write_text("{")
    saved, left_out = rebuilt(results)
    assert saved.startswith("1 nights read") and "00_fp32.json" in left_out
    with opened(results) as history:
        assert [entry.run for entry in history.load("machine")] == ["made"]
