"""The report as one HTML page; nothing is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from harness import __version__
from harness.render.inline_svg import inline_svg
from harness.render.page import THEMED, render
from harness.report.drawing import Drawing
from harness.report.evidence import Evidence
from harness.report.latex import PREAMBLE
from harness.storage.outcomes import OK
from harness.storage.plan import RunPlan
from harness.storage.same_run import UNDETERMINING
from harness.table.beyond import Beyond
from harness.table.kernels import Profile
from harness.table.markdown import beyond_rows, kernel_rows
from harness.table.metrics import ADDED, BY_SIZE, PUBLISHED
from harness.table.published import Compared
from harness.table.rows import Row, SizeRow


@dataclass(frozen=True)
class Page:
    """Everything that the page shows.

    Attributes:
        best: the fastest row that is accurate enough, if there is one.
        differences: how the workload differs from the published one.
        published: the published environment.
        command_notes: what to know of the command that repeats the run.
    """

    plan: RunPlan
    rows: Sequence[Row]
    sizes: Sequence[SizeRow]
    profiles: Sequence[tuple[str, Profile]]
    notes: Sequence[str]
    beyond: Beyond | None
    best: Row | None
    compared: Sequence[Compared]
    differences: Sequence[str]
    published: dict[str, Any]
    drawings: Sequence[Drawing]
    evidence: Sequence[Evidence]
    methods: str
    command: str
    command_notes: Sequence[str]
    config_digest: str
    plan_digest: str


def to_html(page: Page) -> str:
    """Return the page."""
    inline = {
        words.name: Markup(
            inline_svg(drawing.svg, words.name, words.title, words.description, THEMED)
        )
        for drawing in page.drawings
        for words in [drawing.words]
        if not drawing.absent
    }
    headers, kernels = kernel_rows(page.profiles)
    contents = [
        ("results", "Results"),
        ("published", "Beside the published table"),
        *([("beyond", "Beyond the published table")] if page.beyond else []),
        ("figures", "Figures"),
        *([("kernels", "How each row ran")] if kernels else []),
        *([("sizes", "By batch size")] if page.sizes else []),
        ("methods", "Methods"),
        ("records", "Records"),
        ("files", "Files"),
    ]
    shown = {k: value for k, value in vars(page).items() if k not in ("profiles", "beyond")}
    return render(
        "report.html.j2",
        **shown,
        contents=contents,
        metrics=(*PUBLISHED, *ADDED),
        published_metrics=PUBLISHED,
        size_metrics=BY_SIZE,
        has_intervals=any(row.intervals for row in page.rows),
        inline=inline,
        beyond=beyond_rows(page.beyond) if page.beyond else None,
        kernels={"headers": headers, "rows": kernels},
        outcomes=_outcomes(page.rows),
        undigested=UNDETERMINING,
        best_told=_told(page.best),
        latex_preamble=PREAMBLE,
        harness=__version__,
    )


def _outcomes(rows: Sequence[Row]) -> dict[str, Any]:
    others = [f"{row.label}: {row.outcome}" for row in rows if row.outcome != OK]
    return {"ok": len(rows) - len(others), "others": "; ".join(others)}


def _told(best: Row | None) -> str:
    if best is None or best.images_per_s is None:
        return ""
    parts = [f"{best.images_per_s:.1f} images/s"]
    for value, over in ((best.inference_speedup, "the baseline"), (best.speedup_vs_fused, "fused")):
        if value is not None:
            parts.append(f"{value:.2f} times {over}")
    if best.top1 is not None:
        parts.append(f"top-1 {best.top1:.4f}")
    return ", ".join(parts)
