"""The report as one HTML page, section by section.

A section has its markup in ``report.html.j2`` and its entry in SECTIONS here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness import __version__
from harness.render.inline_figures import inline_figures
from harness.render.page import render
from harness.report.artifact.checklist import counts
from harness.report.choice import engine_table
from harness.report.contents import Report
from harness.report.latex import PREAMBLE
from harness.storage.outcomes import OK
from harness.storage.same_run import UNDETERMINING
from harness.table.instances.split_tables import (
    INSTANCES,
    SCALING,
    best_table,
    scaling_table,
    split_table,
)
from harness.table.instances.splits import scaling
from harness.table.kernels import common_name
from harness.table.markdown import beyond_rows, kernel_rows
from harness.table.metrics import ADDED, BY_SIZE, PUBLISHED
from harness.table.notes.condition_notes import condition_rows, policies_text, row_conditions
from harness.table.notes.footnotes import used_timings
from harness.table.plan_words import machine_text, system_text
from harness.table.published.baselines import verdict
from harness.table.rows import Row
from harness.table.served.served_tables import HEADERS, about, cells

Values = Mapping[str, Any]  # whatever the markup of a section shows, by name


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        anchor: the name of its values in the template, and of its place in the page.
        title: in the table of contents.
        values: returns the values that its markup shows; None where the report has no such section.
    """

    anchor: str
    title: str
    values: Callable[[Report], Values | None]


def to_html(report: Report, records: str) -> str:
    """Return the page.

    Args:
        records: the way from the page's folder to the run's, for links.
    """
    values = {section.anchor: section.values(report) for section in SECTIONS}
    return render(
        "report.html.j2",
        **values,
        plan=report.run.plan,
        machine=machine_text(report.run.plan.machine),
        system=system_text(report.run.plan.machine),
        records_at=records,
        headline=report.headline,
        outcomes=_outcomes(report.run.rows),
        config_digest=report.digests.config,
        contents=[
            (section.anchor, section.title)
            for section in SECTIONS
            if values[section.anchor] is not None
        ],
        harness=__version__,
    )


def _engines(report: Report) -> Values | None:
    if report.engines is None:
        return None
    return {"which": report.engines, "grid": engine_table.to_grid(report.engines)}


def _results(report: Report) -> Values:
    return {
        "rows": report.run.rows,
        "metrics": (*PUBLISHED, *ADDED),
        "has_intervals": any(row.intervals for row in report.run.rows),
        "notes": report.run.notes,
    }


def _published(report: Report) -> Values:
    return {
        "rows": report.published.rows,
        "metrics": PUBLISHED,
        "differences": report.published.differences,
        "environment": report.published.environment,
        "speedups": report.run.speedups,
        "verdict": verdict(report.run.speedups) if report.run.speedups else "",
    }


def _beyond(report: Report) -> Values | None:
    if report.run.beyond is None:
        return None
    headers, rows = beyond_rows(report.run.beyond)
    return {"headers": headers, "rows": rows}


def _figures(report: Report) -> Values:
    return {"drawings": report.drawings, "inline": inline_figures(report.drawings)}


def _kernels(report: Report) -> Values | None:
    headers, rows = kernel_rows(report.run.profiles)
    if not rows:
        return None
    return {"headers": headers, "rows": rows, "engine": common_name(report.run.profiles)}


def _sizes(report: Report) -> Values | None:
    return {"rows": report.run.sizes, "metrics": BY_SIZE} if report.run.sizes else None


def _instances(report: Report) -> Values | None:
    rows = report.run.splits
    if not rows:
        return None
    tables = [
        ("All splits", INSTANCES, split_table(rows)),
        (
            "Best split of each row",
            "",
            best_table(rows, report.run.plan.config.protocol.latency_ms),
        ),
    ]
    scaled = scaling(rows)
    if scaled:
        tables.append(("By threads", SCALING, scaling_table(scaled)))
    return {
        "tables": [
            {"title": title, "said": said, "headers": headers, "rows": body}
            for title, said, (headers, body) in tables
        ]
    }


def _conditions(report: Report) -> Values | None:
    run = report.run
    policies = policies_text(run.plan.machine)
    used = used_timings(run.records, run.rounds)
    headers, rows = condition_rows(row_conditions(run.records, used))
    if not policies and not rows:
        return None
    return {"policies": policies, "headers": headers, "rows": rows}


def _queries(report: Report) -> Values | None:
    server = report.run.plan.config.protocol.server
    rows = report.run.served
    if server is None or not rows:
        return None
    return {
        "said": about(server),
        "headers": HEADERS,
        "rows": [cells(row) for row in rows],
    }


def _methods(report: Report) -> Values:
    return {"text": report.methods}


def _records(report: Report) -> Values:
    return {
        "command": report.command,
        "command_notes": report.command_notes,
        "results_digest": report.digests.results,
        "plan_digest": report.digests.plan,
        "undigested": UNDETERMINING,
        "evidence": report.evidence,
    }


def _checklist(report: Report) -> Values:
    return {"lists": report.checklists, "counts": counts(report.checklists)}


def _files(report: Report) -> Values:
    return {"drawings": report.drawings, "latex_preamble": PREAMBLE}


SECTIONS = (  # in the order of the template
    Section(engine_table.ANCHOR, engine_table.TITLE, _engines),
    Section("results", "Results", _results),
    Section("published", "Beside the published table", _published),
    Section("beyond", "Beyond the published table", _beyond),
    Section("figures", "Figures", _figures),
    Section("kernels", "How each row ran", _kernels),
    Section("sizes", "By batch size", _sizes),
    Section("instances", "By instances", _instances),
    Section("queries", "Queries that arrive at random", _queries),
    Section("conditions", "Conditions", _conditions),
    Section("files", "Files", _files),
    Section("methods", "Methods", _methods),
    Section("checklist", "Checklist", _checklist),
    Section("records", "Records", _records),
)


def _outcomes(rows: list[Row]) -> dict[str, int | str]:
    others = [f"{row.label}: {row.outcome}" for row in rows if row.outcome != OK]
    return {"ok": len(rows) - len(others), "all": len(rows), "others": "; ".join(others)}
