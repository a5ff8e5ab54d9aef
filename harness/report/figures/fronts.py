"""Throughput against latency: each row in all splits into instances and batch sizes, and its front."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.render.drawing import (
    BLUE,
    INK,
    MUTED,
    PAGE,
    VERMILION,
    Drawing,
    Words,
    is_narrow,
    render_figure,
    titled_panels,
)
from harness.render.label_placement import Mark, place
from harness.table.instances.split_tables import rate_text
from harness.table.instances.splits import SplitRow, by_method
from harness.table.loaded_run import LoadedRun

NAME, TITLE = "throughput_latency", "Throughput against latency"
ROOM = 1.5  # the axis of latency ends at so many times the slowest, for labels
PANEL_IN, ENDS_IN = 2.2, 0.5
ACROSS = 2  # panels in a row of the wide figure


def figure(run: LoadedRun) -> Drawing:
    """Return the figure of a run that measured splits."""
    return draw(run.splits, run.plan.config.protocol.latency_ms)


def draw(splits: Sequence[SplitRow], latency_ms: float | None) -> Drawing:
    """Return the figure: a panel for each row, its front filled and joined.

    Args:
        latency_ms: drawn as a line, if there is such a limit.
    """
    methods = by_method([row for row in splits if row.p99_ms is not None])
    limit = f" The line is the limit of {latency_ms:g} ms." if latency_ms is not None else ""
    words = Words(
        NAME,
        TITLE,
        "Images per second of all instances together against the 99th percentile of a batch's time, by "
        "split and batch size: 2×8 b64 is two instances that have 8 threads together, with batches of "
        "64. Filled and joined: the row's front, where no other split has more images/s at no higher "
        f"p99. Bars are 95 % intervals.{limit}",
        " ".join(_described(rows) for rows in methods),
        ("Method", "Split", "Batch", "Images/s", "p99 ms", "On the front"),
        [
            (
                *(row.label, str(row.split), str(row.batch_size), rate_text(row)),
                *(f"{row.p99_ms:.2f}", "yes" if row.on_front else "no"),
            )
            for rows in methods
            for row in rows
        ],
    )
    heights = [ENDS_IN + PANEL_IN * -(-len(methods) // across) for across in (ACROSS, 1)]
    return render_figure(
        words, heights[0], lambda figure: _fill(figure, methods, latency_ms), heights[1]
    )


def _described(rows: Sequence[SplitRow]) -> str:
    front = sorted((row for row in rows if row.on_front), key=_latency)
    named = ", ".join(f"{row.name} ({row.images_per_s:.0f} images/s)" for row in front)
    return f"{rows[0].label}, from low to high latency: {named}."


def _latency(row: SplitRow) -> float:
    assert row.p99_ms is not None  # others are not drawn
    return row.p99_ms


def _fill(figure: Figure, methods: Sequence[Sequence[SplitRow]], latency_ms: float | None) -> None:
    labels, across = [rows[0].label for rows in methods], 1 if is_narrow(figure) else ACROSS
    drawn = titled_panels(figure, labels, across, "p99 of a batch, ms", "Images/s")
    for axes, rows in zip(drawn, methods):
        _points(figure, axes, rows, latency_ms)


def _points(figure: Figure, axes: Axes, rows: Sequence[SplitRow], latency_ms: float | None) -> None:
    axes.set_xscale("log")
    for row in rows:
        ends, rate = row.interval, row.images_per_s
        bars = [[max(0.0, rate - ends.low)], [max(0.0, ends.high - rate)]] if ends else None
        axes.errorbar(
            _latency(row),
            rate,
            yerr=bars,
            fmt="o",
            markersize=5.5,
            markerfacecolor=BLUE if row.on_front else PAGE,
            markeredgecolor=BLUE if row.on_front else INK,
            ecolor=MUTED,
            elinewidth=0.8,
            capsize=2,
        )
    front = sorted((_latency(row), row.images_per_s) for row in rows if row.on_front)
    axes.plot([x for x, _ in front], [y for _, y in front], color=BLUE, zorder=1)
    if latency_ms is not None:
        axes.axvline(latency_ms, color=VERMILION, linestyle="--", linewidth=1)
    axes.margins(0.1, 0.18)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * ROOM)
    axes.set_ylim(bottom=0)
    marks = [
        Mark(
            f"{row.split.instances}×{row.split.threads} b{row.batch_size}",
            _latency(row),
            row.images_per_s,
            None,
            (row.interval.low, row.interval.high) if row.interval else None,
        )
        for row in rows
    ]
    place(figure, axes, marks, front)
