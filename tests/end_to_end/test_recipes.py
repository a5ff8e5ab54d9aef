"""What ARCHITECTURE.md says a new figure, report section and table column take: two files each."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness import PROJECT
from helpers.command_line import PATIENCE_S
from helpers.sample_run import SECONDS, UNSOLVED, made_run

pytestmark = pytest.mark.slow

FIGURE = '''\
"""The top-1 of each row."""

from matplotlib.figure import Figure

from harness.render.drawing import Drawing, Words, render_figure, panels
from harness.table.loaded_run import LoadedRun


def figure(run: LoadedRun) -> Drawing:
    """Return the figure of a run."""
    rows = [row for row in run.rows if row.top1 is not None]
    words = Words(
        "top1_alone", "Top-1 alone", "One bar a row.", "Bars.", ("Method", "Top-1"),
        [(row.label, f"{row.top1:.4f}") for row in rows],
    )

    def fill(canvas: Figure) -> None:
        (axes,) = panels(canvas, 1, 1)
        axes.bar(range(len(rows)), [row.top1 for row in rows])

    return render_figure(words, 2.0, fill)
'''
Edits = Mapping[str, Mapping[str, str]]  # by file: what stands there, and what takes its place

NEW_FIGURE: Edits = {
    "harness/report/figures/top1_alone.py": {"": FIGURE},
    "harness/report/all_figures.py": {
        "    shares,\n    trials,\n": "    shares,\n    top1_alone,\n    trials,\n",
        "    shares.figure,\n": "    shares.figure,\n    top1_alone.figure,\n",
    },
}
NEW_SECTION: Edits = {
    "harness/report/html_report.py": {
        "SECTIONS = (": "def _fastest(report: Report) -> Values:\n"
        "    rates = {row.label: row.images_per_s or 0.0 for row in report.run.rows}\n"
        '    return {"label": max(rates, key=rates.__getitem__)}\n\n\nSECTIONS = (',
        '    Section("files"': '    Section("fastest", "The fastest row", _fastest),\n'
        '    Section("files"',
    },
    "harness/render/templates/report.html.j2": {
        '<section class="on-screen" aria-labelledby="files">': '<section aria-labelledby="fastest">\n'
        '<h2 id="fastest">The fastest row</h2>\n<p>It is {{ fastest.label }}.</p>\n</section>\n\n'
        '<section class="on-screen" aria-labelledby="files">'
    },
}
NEW_COLUMN: Edits = {
    "harness/table/metrics.py": {
        "ADDED = (": 'ERRORS = Metric("top1_errors", "Top-1 errors", 0, False)\nADDED = (ERRORS, '
    },
    "harness/table/rows.py": {
        "    log: str | None = None\n": "    log: str | None = None\n"
        "    top1_errors: int | None = None\n",
        "        top5=float(mine.correct5.mean()),\n": "        top5=float(mine.correct5.mean()),\n"
        "        top1_errors=int((~mine.correct1).sum()),\n",
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Follow the recipes in one copy of the project; return a made run with its tables and report."""
    place = tmp_path_factory.mktemp("recipes")
    project = place / "project"
    for name in ("harness", "conf", "benchmarks/published"):
        shutil.copytree(
            PROJECT / name, project / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    recipes = (NEW_FIGURE, NEW_SECTION, NEW_COLUMN)
    assert all(len(recipe) <= 2 for recipe in recipes)
    assert (
        len({name for recipe in recipes for name in recipe}) == 6
    )  # none leans on another's edits
    for name, edits in (item for recipe in recipes for item in recipe.items()):
        path = project / name
        text = path.read_text() if path.exists() else ""
        for old, new in edits.items():
            assert text.count(old) == 1
            text = text.replace(old, new)
        path.write_text(text)
    run = made_run(place / "results")
    places = [f"run.results={place / 'results'}", f"run.cache={place / 'cache'}"]
    for verb in ("report", "table"):
        ended = subprocess.run(
            [sys.executable, "-m", "harness", verb, f"run={run.id}", *places],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(project)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert ended.returncode == 0, ended.stderr
    return run.path


def test_a_figure(folder: Path) -> None:
    figures = folder / "report" / "figures"
    assert {"top1_alone.svg", "top1_alone.pdf"} < {path.name for path in figures.iterdir()}
    page = (folder / "report" / "report.html").read_text()
    assert '<h3 id="top1_alone-figure">Top-1 alone</h3>' in page
    assert "Top-1 alone: the drawn values" in page
    assert 'href="figures/top1_alone.svg"' in page


def test_a_section(folder: Path) -> None:
    page = (folder / "report" / "report.html").read_text()
    assert '<a href="#fastest">The fastest row</a>' in page
    assert '<h2 id="fastest">The fastest row</h2>\n<p>It is int8_smart.</p>' in page


def test_a_column(folder: Path) -> None:
    assert "Top-1 errors" in (folder / "table.md").read_text()
    with (folder / "table.csv").open(newline="") as handle:
        errors = {row["method"]: row["top1_errors"] for row in csv.DictReader(handle)}
    assert list(errors) == [*SECONDS, UNSOLVED]
    assert (errors["fp32"], errors["int8_smart"], errors[UNSOLVED]) == ("100", "400", "")
    page = (folder / "report" / "report.html").read_text()
    assert '<th scope="col">Top-1 errors</th>' in page
