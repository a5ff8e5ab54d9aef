"""The committed example: its tables are those of its records, and it can be read without its models."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness import PROJECT
from harness.packs.verify import verify
from harness.storage.store import RunFolder
from harness.table.tables import write_tables

EXAMPLE = PROJECT / "results" / "example" / "published"


@pytest.fixture
def copied(tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(EXAMPLE, tmp_path / "example" / "published")))


def test_its_tables_are_those_of_its_records(copied: RunFolder) -> None:
    kept = {name: (EXAMPLE / name).read_text() for name in ("table.md", "table.csv", "kernels.csv")}
    write_tables(copied)
    assert {name: (copied.path / name).read_text() for name in kept} == kept
    assert len(copied.load_records()) == 10
    assert {record.outcome.finished for record in copied.load_records()} == {True}


def test_the_readme_shows_its_table() -> None:
    """Every row's published columns, as the example has them."""
    shown = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in (PROJECT / "README.md").read_text().splitlines()
        if line.startswith(("| fp32", "| int8"))
    ]
    lines = [line for line in (EXAMPLE / "table.md").read_text().splitlines() if line[:1] == "|"]
    header, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    columns = [header.index(name) for name in
               ("Method", "Top-1", "Top-5", "Top-1 rel. loss %", "Top-5 rel. loss %", "Cost s",
                "Validation s", "Speedup")]  # fmt: skip
    expected = [[row[at] for at in columns] for row in rows if len(row) == len(header)]
    assert [row[: len(columns)] for row in shown[:10]] == expected[1:]  # after the rule


def test_only_its_models_are_left_out(copied: RunFolder) -> None:
    found = verify(copied)
    assert all("model-" in line and line.endswith("is missing") for line in found.wrong), (
        found.wrong
    )
    assert found.files > 10
