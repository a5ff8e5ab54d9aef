"""The 99th percentile of a query's latency over the rate of queries, of every trial of the searches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

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
from harness.storage.configuration import Server
from harness.table.loaded_run import LoadedRun
from harness.table.served.rates import ServedRow, TrialLatency

NAME, TITLE = "query_latency", "Latency of queries against their rate"
MARKERS = "osD^vP"
COLOURS = (BLUE, INK, MUTED)
PANEL_IN, ENDS_IN = 2.2, 0.5
ACROSS = 2  # panels in a row of the wide figure


def figure(run: LoadedRun) -> Drawing | None:
    """Return the figure of a run; None if no trial was served to its end."""
    server = run.plan.config.protocol.server
    rows = [row for row in run.served if _whole(row)]
    return draw(rows, server) if server and rows else None


def draw(rows: Sequence[ServedRow], server: Server) -> Drawing:
    """Return the figure: a panel for each method, a line for each split.

    Args:
        rows: those of one method follow each other; each has a trial that was served to its end.
    """
    methods = [list(several) for _, several in groupby(rows, key=lambda row: row.method)]
    words = Words(
        NAME,
        TITLE,
        "The 99th percentile of the time from a query's arrival to its answer, by the rate of queries, "
        "in each trial that was served to its end; a trial with too many late queries ends early and "
        f"has none. Filled: at most the target of {server.latency_ms:g} ms, which is the line.",
        " ".join(_described(row, server) for row in rows),
        ("Method", "Split", "Queries/s", "p99 ms", "Target kept"),
        [
            (
                *(row.label, row.split, f"{trial.rate:.2f}", f"{_p99(trial):.2f}"),
                "yes" if _p99(trial) <= server.latency_ms else "no",
            )
            for row in rows
            for trial in _whole(row)
        ],
    )
    heights = [ENDS_IN + PANEL_IN * -(-len(methods) // across) for across in (ACROSS, 1)]
    return render_figure(words, heights[0], lambda to: _fill(to, methods, server), heights[1])


def _whole(row: ServedRow) -> list[TrialLatency]:
    whole = [trial for trial in row.trials if trial.percentiles is not None]
    return sorted(whole, key=lambda trial: trial.rate)


def _p99(trial: TrialLatency) -> float:
    assert trial.percentiles is not None  # others are not drawn
    return trial.percentiles[-1]


def _described(row: ServedRow, server: Server) -> str:
    if row.highest is None:
        return f"{row.label}, {row.split}: no rate kept the target."
    return (
        f"{row.label}, {row.split}: up to {row.highest:.2f} queries/s at p99 below "
        f"{server.latency_ms:g} ms."
    )


def _fill(figure: Figure, methods: Sequence[Sequence[ServedRow]], server: Server) -> None:
    labels, across = [rows[0].label for rows in methods], 1 if is_narrow(figure) else ACROSS
    drawn = titled_panels(figure, labels, across, "Queries/s", "p99 of a query, ms")
    for axes, rows in zip(drawn, methods):
        _lines(axes, rows, server)


def _lines(axes: Axes, rows: Sequence[ServedRow], server: Server) -> None:
    for number, row in enumerate(rows):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        trials = _whole(row)
        axes.plot([trial.rate for trial in trials], [_p99(one) for one in trials], color=colour)
        for trial in trials:
            axes.plot(
                trial.rate,
                _p99(trial),
                marker,
                markersize=5,
                markerfacecolor=colour if _p99(trial) <= server.latency_ms else PAGE,
                markeredgecolor=colour,
            )
        axes.plot([], [], marker, color=colour, linestyle="-", label=row.split)
    axes.axhline(server.latency_ms, color=VERMILION, linestyle="--", linewidth=1)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(loc="best")
