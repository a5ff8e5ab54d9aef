"""The table and the CSV of the section "Which engine?"; nothing is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.compare.grid import DASH, Cell, Grid
from harness.report.choice.which_engine import EngineRow, Speed, WhichEngine
from harness.report.figures.pareto import top1_ends
from harness.stats.intervals import Interval
from harness.table.csv_table import csv_text
from harness.table.metrics import THROUGHPUT, TOP1, TOP1_LOSS, Metric

ANCHOR, TITLE = "engines", "Which engine?"
HEADER = (
    *("method", "engine", "batch_size", "images_per_s", "images_per_s_low", "images_per_s_high"),
    *("top1", "top1_low", "top1_high", "top1_rel_loss_pct", "top1_rel_loss_pct_low"),
    *("top1_rel_loss_pct_high", "accurate_enough", "on_front", "fastest_over_it"),
    *("fastest_over_it_low", "fastest_over_it_high"),
    *("cost_of_million", "cost_of_million_low", "cost_of_million_high", "currency"),
)


def to_grid(which: WhichEngine) -> Grid:
    """Return the rows as a table, the fastest at the workload's batch size marked."""
    has_costs = which.price.per_hour is not None
    at = [f"batches of {size}" for size in which.sizes]
    headers = ["Engine", *(f"Images/s, {size}" for size in at), "Top-1", "Top-1 loss %"]
    headers += ["Accurate enough", "On the front at batches of"]
    headers += [f"{which.price.currency} for a million images, {size}" for size in at * has_costs]
    return Grid(
        ANCHOR,
        TITLE,
        "Images/s of the forward passes and accuracy of all measured rows; 95 % intervals under the "
        "values.",
        "Method",
        headers,
        [(one.row.label, _cells(one, which.sizes, has_costs)) for one in which.rows],
        best=which.fastest[0].row.label if which.fastest else "",
    )


def _cells(one: EngineRow, sizes: Sequence[int], has_costs: bool) -> list[Cell]:
    row, speeds = one.row, [one.speeds.get(size) for size in sizes]
    front = [str(size) for size in sizes if size in one.speeds and one.speeds[size].on_front]
    ends = top1_ends(row)
    cells = [
        Cell(one.engine),
        *(_rate(speed) for speed in speeds),
        Cell(TOP1.shown(row.top1, DASH), f"[{ends[0]:.4f}, {ends[1]:.4f}]" if ends else ""),
        _cell(TOP1_LOSS, row.top1_rel_loss_pct, row.intervals.get(TOP1_LOSS.name)),
        Cell("yes" if one.accurate else "no"),
        Cell(" and ".join(front) or DASH),
    ]
    if has_costs:
        cells += [_cost(speed) for speed in speeds]
    return cells


def _cell(metric: Metric, value: float | None, interval: Interval | None) -> Cell:
    if value is None or interval is None:
        return Cell(metric.shown(value, DASH))
    ends = (metric.shown(end, DASH) for end in (interval.low, interval.high))
    return Cell(metric.shown(value, DASH), f"[{', '.join(ends)}]")


def _rate(speed: Speed | None) -> Cell:
    if speed is None:
        return Cell(DASH)
    return _cell(THROUGHPUT, speed.images_per_s, speed.interval)


def _cost(speed: Speed | None) -> Cell:
    if speed is None or speed.cost is None:
        return Cell(DASH)
    ends = speed.cost_ends
    return Cell(f"{speed.cost:.3g}", f"[{ends.low:.3g}, {ends.high:.3g}]" if ends else "")


def to_csv(which: WhichEngine) -> str:
    """Return each row at each batch size, to the last digit; what is not known is empty."""
    return csv_text(HEADER, _lines(which))


def _lines(which: WhichEngine) -> Iterator[list[Any]]:
    leads = {one.batch_size: {lead.row.method: lead for lead in one.leads} for one in which.fastest}
    for one in which.rows:
        row = one.row
        loss = row.intervals.get(TOP1_LOSS.name)
        for size, speed in one.speeds.items():
            lead = leads.get(size, {}).get(row.method)
            values = [
                *(size, speed.images_per_s, *_ends(speed.interval)),
                *(row.top1, *(top1_ends(row) or (None, None))),
                *(row.top1_rel_loss_pct, *_ends(loss)),
                *("yes" if flag else "no" for flag in (one.accurate, speed.on_front)),
                *((lead.times, *_ends(lead.interval)) if lead else (None,) * 3),
                *(speed.cost, *_ends(speed.cost_ends), which.price.currency or None),
            ]
            shown = ("" if value is None else value for value in values)
            yield [row.label, one.engine, *shown]


def _ends(interval: Interval | None) -> tuple[float | None, float | None]:
    return (interval.low, interval.high) if interval else (None, None)
