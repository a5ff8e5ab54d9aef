"""The benchmark of many nights runs from its command to its table."""

from __future__ import annotations

import pytest

from benchmarks.scale.__main__ import main


@pytest.mark.slow
def test_each_step_has_its_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["2", "3"]) == 0
    _, _, *rows = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in row.strip("| ").split("|")] for row in rows]
    steps = ["history", "judging a night", "rebuild"]
    assert [row[:2] for row in cells] == [[step, nights] for nights in "23" for step in steps]
    assert all(float(cell) > 0 for row in cells for cell in row[2:])
