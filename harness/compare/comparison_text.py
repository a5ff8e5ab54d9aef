"""A comparison as Markdown and as CSV."""

from __future__ import annotations

from typing import Any

from harness.compare import comparison_tables as tables
from harness.compare.comparison import ComparedRun, Comparison, Line, MethodInRun
from harness.compare.comparison_machines import machines
from harness.compare.grid import Grid, titles
from harness.render.escape import markdown, markdown_cell
from harness.render.markdown_table import markdown_table
from harness.table.csv_table import csv_text
from harness.table.metrics import INFERENCE_SPEEDUP, SPEEDUP, THROUGHPUT, TOP1, VS_FUSED

OF_ROW = (THROUGHPUT, INFERENCE_SPEEDUP, VS_FUSED, SPEEDUP)
HEADER = (
    "method",
    "label",
    "machine",
    "run",
    "instance_type",
    "outcome",
    TOP1.name,
    *(name for m in OF_ROW for name in (m.name, f"{m.name}_low", f"{m.name}_high")),
    *(name for n in ("ratio", "cost_per_million") for name in (n, f"{n}_low", f"{n}_high")),
    "price_per_hour",
    "share_of_roof",
    "share_missing",
)


def to_markdown(comparison: Comparison, prices: str) -> str:
    """Return what differs first, then the machines, methods by machines, and disagreements."""
    grids = [machines(comparison), *tables.methods(comparison)]
    forced = [tables.FORCED] if comparison.unlike else []
    if comparison.unlike:
        grids.insert(0, tables.settings_grid(comparison))
    if comparison.disagreements:
        grids.append(tables.pairs(comparison))
    names = titles(comparison)
    listed = [tables.images(pair, names) for pair in comparison.disagreements if pair.index.size]
    parts = [f"# {markdown_cell(' and '.join(run.name for run in comparison.runs))}", *forced]
    for grid in grids:
        parts += [f"## {markdown_cell(grid.title)}", markdown(grid.caption), _grid(grid)]
    parts.append(
        "\n".join(f"- {markdown(note)}" for note in tables.reading_notes(comparison, prices))
    )
    for grid in listed:
        parts += [
            f"### {markdown_cell(grid.title)}",
            *filter(None, [markdown(grid.caption)]),
            _grid(grid),
        ]
    return "\n\n".join(parts) + "\n"


def to_csv(comparison: Comparison) -> str:
    """Return one row a method and run, every number to the last digit; what is missing is empty."""
    body = [
        _row(line, run, entry)
        for line in comparison.lines
        for run, entry in zip(comparison.runs, line.entries)
    ]
    return csv_text(HEADER, body)


def disagreements_to_csv(comparison: Comparison) -> str:
    """Return every image on which two runs' predictions by one method differ."""
    header = ("method", "run_a", "run_b", "image", "label", "prediction_a", "prediction_b")
    body = [
        [pair.method, comparison.runs[pair.first].name, comparison.runs[pair.second].name, *row]
        for pair in comparison.disagreements
        for row in zip(*(a.tolist() for a in (pair.index, pair.label, pair.ours, pair.theirs)))
    ]
    return csv_text(header, body)


def _row(line: Line, run: ComparedRun, entry: MethodInRun) -> list[Any]:
    row = entry.row
    values: list[Any] = [row.top1 if row else None]
    for metric in OF_ROW:
        ends = row.intervals.get(metric.name) if row else None
        values += [
            getattr(row, metric.name) if row else None,
            *((ends.low, ends.high) if ends else (None, None)),
        ]
    for name, value in (("ratio", entry.ratio), ("cost", entry.cost)):
        ends = entry.intervals.get(name)
        values += [value, *((ends.low, ends.high) if ends else (None, None))]
    values += [run.price.per_hour, entry.share.value]
    instance = run.plan.machine.ec2
    kind = (instance and instance.instance_type) or ""
    names = [line.method, line.label, run.machine, run.plan.run, kind, entry.outcome]
    return [*names, *("" if v is None else v for v in values), entry.share.reason]


def _grid(grid: Grid) -> str:
    body = [[name, *map(str, cells)] for name, cells in grid.rows]
    return markdown_table(
        [grid.corner, *grid.headers], body, ["left", *["right"] * len(grid.headers)]
    )
