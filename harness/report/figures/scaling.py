"""How each row scales with the threads of one process, beside the ideal."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from harness.render.drawing import (
    AREAS,
    INK,
    MUTED,
    Drawing,
    Words,
    is_narrow,
    panels,
    render_figure,
    shortened,
)
from harness.table.instances.split_tables import SCALING, scaling_table
from harness.table.instances.splits import Scaled, scaling
from harness.table.loaded_run import LoadedRun

NAME, TITLE = "thread_scaling", "Scaling with threads"
MARKERS = "osD^vPX*<>"


def figure(run: LoadedRun) -> Drawing:
    """Return the figure of a run that measured several thread counts, at its own batch size."""
    size = run.plan.workload.batch_size
    return draw([one for one in scaling(run.splits) if one.row.batch_size == size])


def draw(scaled: Sequence[Scaled]) -> Drawing:
    """Return the figure: images/s over those with the fewest threads, a line a row."""
    lines: dict[str, list[Scaled]] = {}
    for one in scaled:
        lines.setdefault(one.row.method, []).append(one)
    headers, body = scaling_table(scaled)
    words = Words(
        NAME,
        TITLE,
        f"{SCALING} The dashed line is the ideal: twice the threads, twice the images/s.",
        " ".join(_described(line) for line in lines.values()),
        headers,
        body,
    )
    height = 3.2 + 0.19 * -(-len(lines) // 2)
    narrow = 3.0 + 0.19 * len(lines)
    return render_figure(words, height, lambda figure: _fill(figure, [*lines.values()]), narrow)


def _described(line: Sequence[Scaled]) -> str:
    most = line[-1]
    return (
        f"{most.row.label}: {most.times:.2f} times as fast with {most.row.split.threads} threads as with "
        f"{line[0].row.split.threads}, an efficiency of {100 * most.efficiency:.0f} %."
    )


def _fill(figure: Figure, lines: Sequence[Sequence[Scaled]]) -> None:
    (axes,) = panels(figure, 1, 1)
    counts = sorted({one.row.split.threads for line in lines for one in line})
    axes.plot(
        counts,
        [count / counts[0] for count in counts],
        color=MUTED,
        linestyle="--",
        label="ideal",
    )
    labels = shortened([line[0].row.label for line in lines])
    for number, (line, label) in enumerate(zip(lines, labels)):
        axes.plot(
            [one.row.split.threads for one in line],
            [one.times for one in line],
            marker=MARKERS[number % len(MARKERS)],
            markersize=4.5,
            color=AREAS[number % len(AREAS)],
            label=label,
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ScalarFormatter())
    axes.set_xticks(counts)
    axes.set_xlabel("Threads")
    axes.set_ylabel("Times as fast")
    columns = 1 if is_narrow(figure) else 2
    figure.legend(loc="outside lower center", ncols=columns, handlelength=1.6, labelcolor=INK)
