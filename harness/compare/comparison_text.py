"""A comparison as Markdown and as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.compare import comparison_tables as tables
from harness.compare.columns.column import Column
from harness.compare.columns.method_values import MethodInRun
from harness.compare.comparison import Comparison, Line
from harness.compare.comparison_machines import machines
from harness.compare.comparison_notes import reading_notes
from harness.compare.grid import Grid, titles
from harness.compare.winners import Winner
from harness.render.escape import markdown, markdown_cell
from harness.render.markdown_table import markdown_table
from harness.table.csv_table import csv_text
from harness.table.metrics import INFERENCE_SPEEDUP, QUERIES, SPEEDUP, THROUGHPUT, TOP1, VS_FUSED

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
    "machines",
    "split",
    *(QUERIES.name, f"{QUERIES.name}_low", f"{QUERIES.name}_high", "server_split"),
    *("server_machines", "server_machines_without"),
)
MACHINES_HEADER = (
    *("method", "column", "machine", "run", "images_per_s", "low", "high", "split"),
    *(QUERIES.name, "server_split"),
)


def to_markdown(comparison: Comparison, answers: Sequence[Winner], prices: str) -> str:
    """Return what differs first, then the winners, the machines, methods and disagreements."""
    grids = [tables.winners_grid(answers), machines(comparison), *tables.methods(comparison)]
    forced = [tables.FORCED] if comparison.unlike else []
    if comparison.unlike:
        grids.insert(0, tables.settings_grid(comparison))
    grids += tables.rankings(comparison)
    pairs = tables.pairs(comparison)
    if pairs.rows:
        grids.append(pairs)
    names = titles(comparison)
    listed = [tables.images(pair, names) for pair in comparison.disagreements if pair.index.size]
    parts = [f"# {markdown_cell(' and '.join(run.name for run in comparison.runs))}", *forced]
    for grid in grids:
        parts += [f"## {markdown_cell(grid.title)}", markdown(grid.caption), _grid(grid)]
    parts.append("\n".join(f"- {markdown(note)}" for note in reading_notes(comparison, prices)))
    for grid in listed:
        parts += [
            f"### {markdown_cell(grid.title)}",
            *filter(None, [markdown(grid.caption)]),
            _grid(grid),
        ]
    return "\n\n".join(parts) + "\n"


def to_csv(comparison: Comparison) -> str:
    """Return one row a method and column, every number to the last digit; what is missing is empty.

    A column of several machines has its type as the machine, and all of its runs.
    """
    body = [
        _row(line, column, entry)
        for line in comparison.lines
        for column, entry in zip(comparison.columns, line.entries)
    ]
    return csv_text(HEADER, body)


def machines_to_csv(comparison: Comparison) -> str:
    """Return one row a method and run: what each machine of a column did."""
    body = []
    for line in comparison.lines:
        for column in comparison.columns:
            for run, machine in zip(column.runs, column.machines):
                rate = run.rates.get(line.method)
                ends = rate.interval if rate else None
                values = (
                    (rate.images_per_s, *((ends.low, ends.high) if ends else ("", "")))
                    if rate
                    else ("",) * 3
                )
                split = rate.split if rate else ""
                one = run.served.get(line.method)
                served = (one.highest, one.split) if one and one.highest else ("", "")
                names = (line.method, column.title, machine + 1, run.name)
                body.append([*names, *values, split, *served])
    return csv_text(MACHINES_HEADER, body)


def disagreements_to_csv(comparison: Comparison) -> str:
    """Return every image on which two runs' predictions by one method differ."""
    header = ("method", "run_a", "run_b", "image", "label", "prediction_a", "prediction_b")
    firsts = [column.first for column in comparison.columns]
    body = [
        [pair.method, firsts[pair.first].name, firsts[pair.second].name, *row]
        for pair in comparison.disagreements
        for row in zip(*(a.tolist() for a in (pair.index, pair.label, pair.ours, pair.theirs)))
    ]
    return csv_text(header, body)


def _row(line: Line, column: Column, entry: MethodInRun) -> list[Any]:
    row, run = entry.row, column.first
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
    machine = column.title if column.is_pooled else run.machine
    ids = " ".join(one.plan.run for one in column.runs)
    names = [line.method, line.label, machine, ids, kind, entry.outcome]
    behind = [entry.share.reason, len(entry.machines), entry.split, *_served(entry)]
    return [*names, *("" if v is None else v for v in [*values, *behind])]


def _served(entry: MethodInRun) -> list[Any]:
    served = entry.served
    if served is None:
        return [None] * 6
    ends = entry.intervals.get(QUERIES.name)
    low, high = (ends.low, ends.high) if ends else (None, None)
    counts = (served.machines, served.without)
    return [served.queries_per_s, low, high, served.split, *counts]


def _grid(grid: Grid) -> str:
    body = [[name, *map(str, cells)] for name, cells in grid.rows]
    side = "left" if grid.in_words else "right"
    return markdown_table([grid.corner, *grid.headers], body, ["left", *[side] * len(grid.headers)])
