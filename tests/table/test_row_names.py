"""Rows are told apart by what they are called, whatever their labels are."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.compare.compared_run import compared_run
from harness.compare.comparison import compare
from harness.compare.comparison_text import to_csv
from harness.compare.pricing.prices import Price
from harness.report.all_figures import draw_all
from harness.report.figures.batch_times import batches
from harness.report.figures.gain import Gains, gains
from harness.report.figures.pareto import pareto
from harness.report.figures.shares import shares
from harness.report.figures.trials import stored_trials, trajectories
from harness.report.published import shared_rows
from harness.report.report_writer import write_report
from harness.table.loaded_run import LoadedRun, load_run
from harness.table.row_names import LONGEST, _seen, names_of
from harness.table.tables import write_tables
from helpers.sample_run import SECONDS, UNSOLVED, made_run

METHODS = (*SECONDS, UNSOLVED)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("x", "y"), ("x", "y")),
        (("x", "x"), ("x (a)", "x (b)")),
        (("int8 | n", "INT8 | N"), ("int8 | n (a)", "INT8 | N (b)")),
        (("x\u00ad", "x"), ("x\u00ad (a)", "x (b)")),  # a soft hyphen
        (("x\ufe0f y", " x  y"), ("x\ufe0f y (a)", "x y (b)")),
        (("\uff58", "x"), ("\uff58 (a)", "x (b)")),  # of full width
        (("", "\u3164 \u200d"), ("a", "b")),
        (("b", ""), ("b (a)", "b (b)")),
        (("x\ny", "x"), ("x y", "x")),
    ],
)
def test_labels_that_look_alike_have_their_methods(
    labels: tuple[str, str], expected: tuple[str, str]
) -> None:
    assert tuple(names_of(dict(zip("ab", labels, strict=True))).values()) == expected


def test_a_label_may_look_like_another_rows_name() -> None:
    found = names_of({"a": "x", "b": "x", "c": "x (a)"})
    assert len({_seen(name) for name in found.values()}) == 3


@given(
    st.lists(st.sampled_from(["x", "X", "", " ", "x\u200b", "x (a)", "a", "x" * 500]), max_size=5)
)
def test_no_two_rows_look_alike_and_no_label_breaks_a_table(labels: list[str]) -> None:
    found = names_of(dict(zip("abcde", labels, strict=False)))
    assert len({_seen(name) for name in found.values()}) == len(labels)
    assert all(name.strip() and len(name) <= LONGEST + 4 for name in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("label", ["int8 | naive", "", "x" * 400, "fp32"])
def test_equal_labels_lose_no_row(tmp_path: Path, label: str) -> None:
    folder = made_run(tmp_path, labels=dict.fromkeys(METHODS, label))
    write_tables(folder)
    run = load_run(folder)
    names = list(names_of(dict.fromkeys(METHODS, label)).values())
    assert [row.label for row in run.rows] == names and len(set(names)) == 6
    assert [row.method for row in run.profiles] == list(SECONDS)
    for file, column, expected in (
        ("kernels.csv", "method", names[:5]),
        ("sizes.csv", "method", names[:5]),
        ("table.csv", "method", names),
    ):
        with (folder.path / file).open(newline="") as handle:
            found = [row[column] for row in csv.DictReader(handle)]
        assert list(dict.fromkeys(found)) == expected
    write_report(folder, tmp_path / "figures")
    page = (folder.path / "report" / "report.html").read_text()
    latex = (folder.path / "report" / "table.tex").read_text()
    assert latex.count(r"\\") >= 8  # two of the head, six rows
    assert page.count('<div id="row-') == 6
    for name in ("batch_times", "time_shares", "accuracy_speedup", "tuning"):
        root = ET.parse(folder.path / "report" / "figures" / f"{name}.svg").getroot()
        drawn = [
            text for text in root.itertext() if text.strip() and (label[:12] or "int8") in text
        ]
        assert len(drawn) == len(set(drawn)), name


@pytest.mark.slow
def test_two_methods_of_one_label_lose_nothing(tmp_path: Path) -> None:
    same = {"int8_smart": "int8", "int8_mse": "int8"}
    names = [f"int8 ({method})" for method in same]
    run = load_run(made_run(tmp_path, labels=same))
    tables: dict[str, list[tuple[str, str]]] = {
        "rows": [(row.method, row.label) for row in run.rows],
        "sizes": [(row.method, row.label) for row in run.sizes],
        "kernels": [(row.method, row.label) for row in run.profiles],
        "pareto": [(p.method, p.label) for p in pareto(run.rows, run.plan.config.tuning).points],
        "gain": [(g.method, g.label) for g in _gains(run).rows],
        "batches": [
            (panel.method, panel.label)
            for panel in batches(run.plan, run.records, run.rounds).panels
        ],
        "shares": [(row.method, row.label) for row in shares(run.profiles).rows],
        "published": [
            (row.method, row.label)
            for row in shared_rows(run.rows, {method: {} for method in same})
        ],
    }
    for table, rows in tables.items():
        assert [label for method, label in rows if method in same] == names, table
    assert run.beyond is None  # none of INC's rows is here
    searched = trajectories(run.plan, run.records, stored_trials(run))
    assert [row.method for row in searched] == ["int8_mse", "int8_custom", UNSOLVED]
    for drawing in draw_all(run):
        own = {line[0] for line in drawing.words.body}
        expected = {
            "tuning": set(names[1:]),
            "operator_influence": set(),
        }.get(drawing.words.name, set(names))
        assert {name for name in own if name.startswith("int8 ")} == expected, drawing.words.name


def _gains(run: LoadedRun) -> Gains:
    compared = gains(run.plan, run.rows)
    assert compared is not None
    return compared


@pytest.mark.slow
def test_a_comparison_has_a_line_a_method(tmp_path: Path) -> None:
    runs: Any = [
        compared_run(
            load_run(made_run(tmp_path, labels=dict.fromkeys(METHODS, "same"), run=name)),
            Price(None, ""),
        )
        for name in ("one", "two")
    ]
    found = compare(runs)
    assert [line.label for line in found.lines] == [f"same ({method})" for method in METHODS]
    assert len({each.name for each in found.disagreements}) == 5
    assert all(run.profiles.keys() == set(SECONDS) for run in runs)
    cells = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert [cell["method"] for cell in cells] == [name for name in METHODS for _ in runs]
    rates = [
        cell["images_per_s"] for cell in cells if cell["run"] == "one" and cell["images_per_s"]
    ]
    assert len(set(rates)) == len(SECONDS)  # each its own
