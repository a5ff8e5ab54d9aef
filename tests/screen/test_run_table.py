"""What a terminal shows of a run: its conclusion, the columns that fit, and the committed captures."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.captures.__main__ import main as write_captures
from harness import PROJECT
from harness.facts.typed import changed
from harness.screen.conclusion import conclude
from harness.screen.printing import wrapped
from harness.screen.run_table import COLUMNS, fitted_table, print_run
from harness.stats.intervals import Interval
from harness.storage.plan import RANDOM_WEIGHTS
from harness.storage.store import COMMITTED, RunFolder
from harness.table.loaded_run import LoadedRun, load_run
from harness.table.rows import Row
from harness.table.searches import best_accurate


@pytest.fixture(scope="module")
def run() -> LoadedRun:
    return load_run(RunFolder(COMMITTED / "published"))


def shown(run: LoadedRun, width: int, intervals: bool | None = None) -> list[str]:
    out = io.StringIO()
    print_run(run, intervals, Console(file=out, width=width))
    return out.getvalue().splitlines()


def asking(run: LoadedRun, **tuning: Any) -> Any:
    """Return the run's plan with another criterion."""
    asked = {**run.plan.config.tuning.stored, **tuning}
    return replace(run.plan, config=changed(run.plan.config, tuning=asked))


@pytest.mark.parametrize("width", [40, 60, 72, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(run: LoadedRun, width: int) -> None:
    for intervals in (False, True):
        lines = shown(run, width, intervals)
        assert max(map(len, lines)) <= width
        (head,) = [line for line in lines if line.startswith("method ") and "outcome" in line]
        assert "outcome" in head and len(head.split("  ")) > 1
    kept = {column.title for column in COLUMNS if column.title in " ".join(shown(run, width))}
    assert ("vs fused" in kept) and (len(kept) >= {40: 1, 60: 2, 72: 2, 80: 4}.get(width, 6))


def test_intervals_are_shown_where_all_columns_fit_with_them(run: LoadedRun) -> None:
    assert any("15.9 [13.6, 18.5]" in line for line in shown(run, 160, intervals=True))
    assert not any("15.9 [" in line for line in shown(run, 100, intervals=True))
    assert not any("15.9 [" in line for line in shown(run, 160, intervals=False))


@pytest.mark.parametrize("width", range(20, 60))
def test_no_line_ends_inside_an_interval_or_before_a_unit(width: int) -> None:
    text = (
        "Fastest within 1.5 % of top-1: int8, 2.13 times fp32 [0.72, 3.38], made in 99.66 s. (83 %)"
    )
    lines = wrapped(text, width).split("\n")
    assert " ".join(lines) == text and max(map(len, lines)) <= width
    for whole in ("1.5 %", "2.13 times", "[0.72, 3.38]", "99.66 s.", "83 %"):
        assert sum(whole in line for line in lines) == 1


def test_reasons_and_what_changes_a_reading_stand_below(run: LoadedRun) -> None:
    text = " ".join(" ".join(shown(run, 100)).split())
    assert "int8 INC bayesian: no solution in 25 trials (log: methods/" in text
    assert "it would be 5.9 times as fast" in text and "8 of 9 passes were disturbed" in text
    assert "accuracies of calibrated" in text
    assert "Costs are below those of the tutorial's calls" not in text
    assert "./run.sh table example/published full=true" in text


def test_text_of_a_file_commands_no_terminal(run: LoadedRun) -> None:
    row = Row("x", "[red]r[/]\x1b[2J\nnext", "failed: \x1b]0;x\x07")
    out = io.StringIO()
    Console(file=out, width=80, force_terminal=True).print(fitted_table([row], 80, None))
    assert "[red]r[/]" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue() and "\x1b]" not in out.getvalue()


# --- the conclusion


def test_the_fastest_row_within_the_criterion(run: LoadedRun) -> None:
    found = conclude(run.plan, run.rows)
    assert found.method == "int8_inc_mse"
    assert found.sentence == (
        "Fastest within 1.5 % of top-1: int8 INC mse, 2.13 times fp32 fused [1.68, 2.69], made in "
        "8.02 s."
    )


def test_the_criterion_is_the_configured_one(run: LoadedRun) -> None:
    loose = conclude(asking(run, tolerance=0.4), run.rows)
    assert loose.method == "int8_full_naive" and "within 40 % of top-1" in loose.sentence
    absolute = conclude(asking(run, criterion="absolute", tolerance=0.2), run.rows)
    assert absolute.method == "int8_inc_mse" and "within 0.2 of top-1" in absolute.sentence
    slack = conclude(asking(run, criterion="absolute", tolerance=0.31), run.rows)
    assert slack.method == "int8_full_naive"


def test_a_loss_that_is_just_allowed_is_within_the_criterion(run: LoadedRun) -> None:
    """As INC accepts it, and as the report's headline: 990 right of 1000, where 1 % may be lost."""
    base, other = (row for row in run.rows if row.method in ("fp32", "int8_inc_mse"))
    rows = [
        replace(base, top1=1000 / 2000),
        replace(other, top1=990 / 2000, top1_rel_loss_pct=100 * (1000 - 990) / 1000),
    ]
    plan = asking(run, tolerance=0.01)
    assert conclude(plan, rows).method == "int8_inc_mse"
    assert best_accurate(plan, rows) is rows[1]


def test_no_row_within_it(run: LoadedRun) -> None:
    rows = [row for row in run.rows if row.method in ("fp32", "int8_full_naive")]
    found = conclude(run.plan, rows)
    assert found.method is None
    assert "No other row stays within 1.5 % of top-1 of fp32 no optimization" in found.sentence
    assert "int8 full naive, which loses 32.80 %" in found.sentence
    assert found.sentence.startswith("2 of 10 rows so far. ")


def test_without_fused_the_baseline_is_compared(run: LoadedRun) -> None:
    rows = [replace(row, speedup_vs_fused=None) for row in run.rows if row.method != "fp32_fused"]
    assert (
        "int8 INC mse, 15.9 times fp32 no optimization [13.6, 18.5]"
        in conclude(run.plan, rows).sentence
    )


def test_what_cannot_be_concluded(run: LoadedRun) -> None:
    assert "No row has a speed yet" in conclude(run.plan, []).sentence
    assert "Only fp32 no optimization" in conclude(run.plan, run.rows[:1]).sentence
    without = conclude(run.plan, run.rows[1:3])
    assert (
        without.method == "int8_full_naive" and "no loss is known without fp32" in without.sentence
    )
    unmeasured = Row("fp32", "fp32", "failed: x")
    assert conclude(run.plan, [unmeasured]).method is None


def test_random_weights_have_no_loss(run: LoadedRun) -> None:
    plan = replace(run.plan, warnings=(RANDOM_WEIGHTS,))
    found = conclude(plan, run.rows)
    assert found.method == "int8_full_naive" and "with random weights" in found.sentence


def test_an_interval_is_that_of_the_row(run: LoadedRun) -> None:
    rows = [
        replace(row, intervals={"speedup_vs_fused": Interval(2.1, 2.05, 2.15, 0.95)})
        for row in run.rows
    ]
    assert "[2.05, 2.15]" in conclude(run.plan, rows).sentence


# --- the captures in docs/


def test_the_captures_are_what_their_command_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    assert write_captures([str(tmp_path)]) == 0
    committed = PROJECT / "docs" / "terminal"
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {path.name for path in committed.iterdir()}
    for name in names:
        text = (tmp_path / name).read_text()
        assert text == (committed / name).read_text(), name
        assert "https://" not in text, "it loads from the network"
        if name.endswith(".txt"):
            width = int(name.removesuffix(".txt").rpartition("-")[2])
            assert max(map(len, text.splitlines())) <= width
