"""How the time of a batch is distributed in each round."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.report.batch_times import Batches, Panel
from harness.report.drawing import (
    BLUE,
    INK,
    PAGE,
    VERMILION,
    Drawing,
    Words,
    drawn,
    missing,
    panels,
    shortened,
)

NAME, TITLE = "batch_times", "Time of a batch by round"
COLUMNS = 3
FEW = 12  # rounds up to which every batch is drawn
MANY = 60  # batches of a round, from which on their dots are small


def draw(found: Batches) -> Drawing:
    """Return the figure: one panel a row, each with its own scale."""
    if not found.panels:
        return missing(NAME, TITLE, "No row has timed batches.")
    if found.of_pass:
        source = (
            "The protocol has no rounds: what is shown as one round is the validation pass, its "
            "first batch included, batch after batch from left to right."
        )
    else:
        source = "One mark a round, each a fresh process; the attempt that counts."
    few = max(len(panel.rounds) for panel in found.panels) <= FEW
    spread = (
        "Dots: batches in order; bar: the median."
        if few
        else "Thin bar: 5 to 95 % of the batches; thick: 25 to 75 %; dot: the median."
    )
    words = Words(
        NAME,
        TITLE,
        f"Forward pass of a batch of {found.batch_size}, in ms, each panel on its own scale from its "
        f"median. {source} {spread} Hollow: something disturbed it, and it counts all the same.",
        " ".join(_described(panel) for panel in found.panels),
        ("Method", "Round", "Batches", "5 %", "25 %", "Median ms", "75 %", "95 %", "Disturbed"),
        [
            (
                panel.label,
                str(r.number),
                str(len(r.ms)),
                *(f"{q:.3f}" for q in r.quantiles),
                "yes" if r.disturbed else "no",
            )
            for panel in found.panels
            for r in panel.rounds
        ],
    )
    height = 0.4 + 1.45 * -(-len(found.panels) // COLUMNS)
    return drawn(words, height, lambda figure: _fill(figure, found, few))


def _described(panel: Panel) -> str:
    medians = [r.quantiles[2] for r in panel.rounds]
    if len(medians) == 1:
        return f"{panel.label}: a median of {medians[0]:.2f} ms."
    return f"{panel.label}: medians of {min(medians):.2f} to {max(medians):.2f} ms."


def _fill(figure: Figure, found: Batches, few: bool) -> None:
    columns = min(COLUMNS, len(found.panels))
    axes = panels(figure, len(found.panels), columns)
    titles = shortened([panel.label for panel in found.panels])
    for number, (panel, each, title) in enumerate(zip(found.panels, axes, titles)):
        (_dots if few else _bars)(each, panel)
        each.set_title(title, color=INK)
        each.set_ylim(bottom=0)
        if found.of_pass:
            each.set_xticks([])
        else:
            each.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        if number % columns == 0:
            each.set_ylabel("ms a batch")
        if number >= len(found.panels) - columns:
            each.set_xlabel("Batches of the pass" if found.of_pass else "Round")


def _dots(axes: Axes, panel: Panel) -> None:
    for each in panel.rounds:
        count = len(each.ms)
        across = [each.number - 0.36 + 0.72 * (n + 0.5) / count for n in range(count)]
        axes.plot(
            across,
            each.ms,
            linestyle="none",
            marker="o",
            markersize=3.4 if count < MANY else 2,
            markerfacecolor=PAGE if each.disturbed else BLUE,
            markeredgecolor=BLUE,
            markeredgewidth=0.4,
        )
        middle = each.quantiles[2]
        axes.hlines(middle, each.number - 0.42, each.number + 0.42, color=VERMILION, linewidth=1.3)


def _bars(axes: Axes, panel: Panel) -> None:
    at = [each.number for each in panel.rounds]
    q5, q25, _, q75, q95 = zip(*(each.quantiles for each in panel.rounds))
    axes.vlines(at, q5, q95, color=BLUE, linewidth=0.6)
    axes.vlines(at, q25, q75, color=BLUE, linewidth=1.8)
    for disturbed in (False, True):
        some = [(r.number, r.quantiles[2]) for r in panel.rounds if r.disturbed is disturbed]
        axes.plot(
            [number for number, _ in some],
            [middle for _, middle in some],
            linestyle="none",
            marker="o",
            markersize=3.4 if disturbed else 2.2,
            markerfacecolor=PAGE if disturbed else VERMILION,
            markeredgecolor=VERMILION,
            markeredgewidth=0.7,
        )
