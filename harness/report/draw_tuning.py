"""The accuracy of every trial of every search."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.report.drawing import (
    BLUE,
    INK,
    MUTED,
    PAGE,
    VERMILION,
    Drawing,
    Words,
    drawn,
    missing,
    panels,
    shortened,
)
from harness.report.tuning import Trajectory

NAME, TITLE = "tuning", "Tuning trajectory"


def draw(found: Sequence[Trajectory]) -> Drawing:
    """Return the figure: one panel a search."""
    if not found:
        return missing(NAME, TITLE, "This run has no row that a strategy tuned.")
    known = any(each.target is not None for each in found)
    line = (
        "Solid line: the least that was accepted. Dashed: fp32."
        if known
        else "fp32's accuracy on these batches is not in the records, so no line of the criterion."
    )
    words = Words(
        NAME,
        TITLE,
        "Top-1 accuracy on the tuning batches of every model that a search evaluated, by trial. "
        f"Filled: it met the criterion. Stepped line: the best so far. {line}",
        " ".join(_described(each) for each in found),
        ("Method", "Trial", "Top-1", "Best so far", "Seconds", "Changed from the trial before"),
        [
            (
                each.label,
                str(t.number),
                f"{t.accuracy:.4f}",
                f"{t.best:.4f}",
                f"{t.seconds:.2f}",
                t.changed,
            )
            for each in found
            for t in each.trials
        ],
    )
    columns = min(2, len(found))
    height = 0.5 + 1.75 * -(-len(found) // columns)
    return drawn(words, height, lambda figure: _fill(figure, found, columns))


def _described(each: Trajectory) -> str:
    met = [t for t in each.trials if each.target is not None and t.accuracy >= each.target]
    best = each.trials[-1].best
    told = f"first met the criterion in trial {met[0].number}" if met else "never met the criterion"
    if each.target is None:
        told = "has no known criterion"
    return f"{each.label}: {len(each.trials)} trials, best {best:.4f}, {told} ({each.outcome})."


def _fill(figure: Figure, found: Sequence[Trajectory], columns: int) -> None:
    axes = panels(figure, len(found), columns, sharey=True)
    titles = shortened([each.label for each in found])
    for number, (each, panel, title) in enumerate(zip(found, axes, titles)):
        _panel(panel, each)
        panel.set_title(title, color=INK)
        if number % columns == 0:
            panel.set_ylabel("Top-1, tuning batches")
        if number >= len(found) - columns:
            panel.set_xlabel("Trial")


def _panel(axes: Axes, each: Trajectory) -> None:
    numbers = [trial.number for trial in each.trials]
    axes.step(
        numbers, [t.best for t in each.trials], where="post", color=BLUE, linewidth=0.9, alpha=0.6
    )
    for met, face in ((False, PAGE), (True, BLUE)):
        some = [
            t for t in each.trials if (each.target is not None and t.accuracy >= each.target) is met
        ]
        axes.plot(
            [t.number for t in some],
            [t.accuracy for t in some],
            linestyle="none",
            marker="o",
            markersize=5.5 if met else 3.6,
            markerfacecolor=face,
            markeredgecolor=BLUE,
            markeredgewidth=0.8,
            zorder=3,
        )
    if each.target is not None and each.baseline is not None:
        axes.axhline(each.target, color=VERMILION, linewidth=1)
        axes.axhline(each.baseline, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    last = max(numbers[-1], 3)
    axes.set_xlim(1 - 0.03 * last, 1.03 * last)
