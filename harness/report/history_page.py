"""The nights of every machine as one HTML page: their verdicts, and the times of each row by night.

Importing this imports matplotlib: set MPLCONFIGDIR before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness import __version__
from harness.render.drawing import (
    BLUE,
    INK,
    PAGE,
    VERMILION,
    Drawing,
    Words,
    is_narrow,
    panels,
    render_figure,
    shortened,
)
from harness.render.inline_figures import inline_figures
from harness.render.page import render

COLUMNS = 3
SHOWN = 60  # nights in the figure, the last ones; the table has all


@dataclass(frozen=True)
class Night:
    """A night as the page shows it.

    Attributes:
        regressions: its rows that were called regressions, with the metric.
        acknowledged: shifts that were acknowledged in it, with the reasons.
        link: to its verdict, relative to the page; empty where the run's folder is gone.
        milliseconds: the time of a batch that verdicts compare, by the label of the row.
    """

    created: str
    run: str
    verdict: str
    regressions: Sequence[str]
    acknowledged: Sequence[str]
    link: str
    milliseconds: Mapping[str, float]


def to_html(machines: Mapping[str, Sequence[Night]]) -> str:
    """Return the page.

    Args:
        machines: their nights, oldest first, by the machine's name.
    """
    drawings = {
        machine: draw(f"times-{number}", machine, nights)
        for number, (machine, nights) in enumerate(machines.items(), 1)
    }
    return render(
        "history.html.j2",
        machines=machines,
        drawings=drawings,
        inline=inline_figures(list(drawings.values())),
        contents=[(f"machine-{number}", name) for number, name in enumerate(machines, 1)],
        harness=__version__,
    )


def draw(name: str, machine: str, nights: Sequence[Night]) -> Drawing:
    """Return the figure of a machine: one panel a row, a dot a night."""
    title = f"Time of a batch by night: {machine}"
    last = nights[-SHOWN:]
    labels = list(dict.fromkeys(label for night in last for label in night.milliseconds))
    if not labels:
        return Drawing(Words(name, title, "", "", (), ()), absent="No night has times.")
    words = Words(
        name,
        title,
        "Time of a batch in ms, each row on its own scale, by night from left to "
        "right. Hollow and orange: the night called a regression of this row.",
        f"{len(last)} nights of {len(labels)} rows, the last one {last[-1].run}.",
        ("Row", "Night", "Batch ms", "Regression"),
        [
            (label, night.run, f"{night.milliseconds[label]:.3f}", _called(night, label))
            for label in labels
            for night in last
            if label in night.milliseconds
        ],
    )
    rows, narrow_rows = -(-len(labels) // COLUMNS), -(-len(labels) // 2)
    return render_figure(
        words,
        0.4 + 1.45 * rows,
        lambda figure: _fill(figure, last, labels),
        0.4 + 1.3 * narrow_rows,
    )


def _called(night: Night, label: str) -> str:
    return "yes" if any(one.startswith(f"{label}, ") for one in night.regressions) else "no"


def _fill(figure: Figure, nights: Sequence[Night], labels: Sequence[str]) -> None:
    columns = min(2 if is_narrow(figure) else COLUMNS, len(labels))
    axes = panels(figure, len(labels), columns)
    for number, (label, title, one) in enumerate(zip(labels, shortened(labels), axes)):
        points = [
            (at, night.milliseconds[label], _called(night, label) == "yes")
            for at, night in enumerate(nights, 1)
            if label in night.milliseconds
        ]
        one.plot(
            [at for at, _, _ in points], [ms for _, ms, _ in points], color=BLUE, linewidth=0.7
        )
        for called in (False, True):
            some = [(at, ms) for at, ms, is_called in points if is_called is called]
            one.plot(
                [at for at, _ in some],
                [ms for _, ms in some],
                linestyle="none",
                marker="s" if called else "o",
                markersize=5.5 if called else 3.4,
                markerfacecolor=PAGE if called else BLUE,
                markeredgecolor=VERMILION if called else BLUE,
            )
        one.set_title(title, color=INK)
        one.set_ylim(0, 1.15 * max(ms for _, ms, _ in points))
        one.set_xlim(0.5, len(nights) + 0.5)
        one.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        if number % columns == 0:
            one.set_ylabel("ms a batch")
        if number >= len(labels) - columns:
            one.set_xlabel("Night")
