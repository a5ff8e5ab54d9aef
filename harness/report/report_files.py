"""The files of a report, in the folder of its run.

Importing this imports matplotlib: set MPLCONFIGDIR before.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from harness.compare.pricing.prices import Prices
from harness.files import whole_files
from harness.report.artifact.checklist import to_markdown
from harness.report.artifact.references import cited, to_bibtex
from harness.report.choice import engine_table
from harness.report.contents import Report, collect
from harness.report.html_report import to_html
from harness.report.latex import paragraph
from harness.report.latex_figures import to_figures
from harness.report.latex_table import to_latex
from harness.report.published import pairs_to_csv
from harness.table.csv_table import to_csv
from harness.table.loaded_run import LoadedRun
from harness.table.markdown import table
from harness.table.metrics import PUBLISHED
from harness.table.plan_words import machine_text
from harness.table.tables import has_intervals

FOLDER = "report"


def write_files(
    run: LoadedRun,
    folders: Sequence[str],
    code: str,
    into: Path | None = None,
    prices: Prices | None = None,
    intervals: bool | None = None,
) -> list[Path]:
    """Write the report of a run and return the paths of its files, the page first.

    Nothing is written before everything is derived. Arguments and errors as ``contents.collect``.

    Args:
        into: the folder to write; None: ``FOLDER`` in the run's.
        intervals: whether the tables show them; None where the protocol has rounds.
    """
    report = collect(run, folders, code, prices)
    folder = into or run.folder.path / FOLDER
    records = Path(os.path.relpath(run.folder.path.resolve(), folder.resolve())).as_posix()
    files: dict[str, str | bytes] = {
        "report.html": to_html(report, records),
        **_tables(report, has_intervals(run, intervals)),
        "published.csv": pairs_to_csv(report.published.rows),
        "methods.txt": report.methods + "\n",
        "methods.tex": cited(paragraph(report.methods)) + "\n",
        "checklist.md": to_markdown(report.checklists),
        "figures.tex": to_figures(report.drawings),
        "references.bib": to_bibtex(report.run.plan, report.digests),
    }
    if report.engines is not None:
        files["engines.csv"] = engine_table.to_csv(report.engines)
    for drawing in report.drawings:
        files |= drawing.files
    for name, content in files.items():
        whole_files.write_atomically(folder / name, content, "to")
    return [folder / name for name in files]


def _tables(report: Report, intervals: bool) -> dict[str, str | bytes]:
    plan, rows = report.run.plan, report.run.rows
    caption = (
        f"{plan.workload.name}: accuracy, one-time cost and speed of each method on "
        f"{machine_text(plan.machine)}"
        + (", with 95 % intervals." if intervals and any(r.intervals for r in rows) else ".")
    )
    source = [
        f"run {plan.run}, measured {plan.created}, configuration SHA-256 {report.digests.config}",
        f"./run.sh report run={plan.run}",
    ]
    return {
        "table.csv": to_csv(rows, exact=True),
        "table.md": table(rows, intervals, PUBLISHED) + "\n",
        "table.tex": to_latex(rows, caption, source, intervals),
    }
