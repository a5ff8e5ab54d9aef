"""How the time of a batch is distributed in each round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.render.drawing import (
    BLUE,
    PAGE,
    VERMILION,
    Drawing,
    Words,
    is_narrow,
    missing,
    render_figure,
    titled_panels,
)
from harness.storage.outcomes import OK
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord, RoundRecord
from harness.table.loaded_run import LoadedRun
from harness.table.samples import batch_seconds, counted, validation_samples

NAME, TITLE = "batch_times", "Time of a batch by round"
COLUMNS, NARROW_COLUMNS = 3, 2
FEW = 12  # rounds up to which every batch is drawn
MANY = 60  # batches of a round, from which on their dots are small


@dataclass(frozen=True)
class Round:
    """The counted attempt of one round at the workload's batch size.

    Attributes:
        ms: the forward pass of every batch, in order.
        quantiles: their 5, 25, 50, 75 and 95 % quantiles, in ms.
        disturbed: something disturbed it, and it counts all the same.
    """

    number: int
    ms: tuple[float, ...]
    quantiles: tuple[float, ...]
    disturbed: bool


@dataclass(frozen=True)
class Panel:
    """The rounds of one row."""

    method: str
    label: str
    rounds: tuple[Round, ...]


@dataclass(frozen=True)
class Batches:
    """The rounds of all rows; ``of_pass`` where the validation pass stands for one round."""

    of_pass: bool
    batch_size: int
    panels: tuple[Panel, ...]


def figure(run: LoadedRun) -> Drawing:
    """Return the figure of a run."""
    return draw(batches(run.plan, run.records, run.rounds))


def batches(
    plan: RunPlan, records: Sequence[MethodRecord], rounds: Sequence[RoundRecord]
) -> Batches:
    """Return the rounds that count, or the whole batches of the validation pass without rounds."""
    size = plan.workload.batch_size
    of_pass = not plan.config.protocol.rounds
    by_method: dict[str, list[Round]] = {}
    for timing in () if of_pass else counted(rounds):
        seconds = batch_seconds(timing, size)
        if seconds:
            one = _round(timing.round, seconds, bool(timing.disturbed))
            by_method.setdefault(timing.method, []).append(one)
    for record in records if of_pass else ():
        if record.outcome.kind == OK and record.validate:
            seconds = validation_samples(record, "forward_s").forward_s[0].tolist()
            disturbed = bool(record.validate.disturbed)
            by_method[record.method] = [_round(1, seconds, disturbed)]
    rows = [
        Panel(record.method, record.label, tuple(by_method[record.method]))
        for record in records
        if record.method in by_method and record.outcome.kind == OK
    ]
    return Batches(of_pass, size, tuple(rows))


def _round(number: int, seconds: Sequence[float], disturbed: bool) -> Round:
    ms = tuple(1e3 * batch for batch in seconds)
    quantiles = tuple(float(q) for q in np.percentile(ms, (5, 25, 50, 75, 95)))
    return Round(number, ms, quantiles, disturbed)


def draw(timings: Batches) -> Drawing:
    """Return the figure: one panel a row, each with its own scale."""
    if not timings.panels:
        return missing(NAME, TITLE, "No row has timed batches.")
    if timings.of_pass:
        source = (
            "The protocol has no rounds: what is shown as one round is the validation pass, its "
            "first batch included, batch after batch from left to right."
        )
    else:
        source = "One mark a round, each a fresh process; the attempt that counts."
    few = max(len(panel.rounds) for panel in timings.panels) <= FEW
    spread = (
        "Dots: batches in order; bar: the median."
        if few
        else "Thin bar: 5 to 95 % of the batches; thick: 25 to 75 %; dot: the median."
    )
    words = Words(
        NAME,
        TITLE,
        f"Forward pass of a batch of {timings.batch_size}, in ms, each panel on its own scale from "
        f"its median. {source} {spread} Hollow: something disturbed it, and it counts all the same.",
        " ".join(_described(panel) for panel in timings.panels),
        ("Method", "Round", "Batches", "5 %", "25 %", "Median ms", "75 %", "95 %", "Disturbed"),
        [
            (
                panel.label,
                str(r.number),
                str(len(r.ms)),
                *(f"{q:.3f}" for q in r.quantiles),
                "yes" if r.disturbed else "no",
            )
            for panel in timings.panels
            for r in panel.rounds
        ],
    )
    wide_in = 0.4 + 1.45 * -(-len(timings.panels) // COLUMNS)
    narrow_in = 0.4 + 1.2 * -(-len(timings.panels) // NARROW_COLUMNS)
    return render_figure(words, wide_in, lambda figure: _fill(figure, timings, few), narrow_in)


def _described(panel: Panel) -> str:
    medians = [r.quantiles[2] for r in panel.rounds]
    if len(medians) == 1:
        return f"{panel.label}: a median of {medians[0]:.2f} ms."
    return f"{panel.label}: medians of {min(medians):.2f} to {max(medians):.2f} ms."


def _fill(figure: Figure, timings: Batches, few: bool) -> None:
    labels = [panel.label for panel in timings.panels]
    across = NARROW_COLUMNS if is_narrow(figure) else COLUMNS
    xlabel = "Batches of the pass" if timings.of_pass else "Round"
    drawn = titled_panels(figure, labels, across, xlabel, "ms a batch")
    for axes, panel in zip(drawn, timings.panels):
        (_dots if few else _bars)(axes, panel)
        axes.set_ylim(bottom=0)
        if timings.of_pass:
            axes.set_xticks([])
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _dots(axes: Axes, panel: Panel) -> None:
    for r in panel.rounds:
        count = len(r.ms)
        across = [r.number - 0.36 + 0.72 * (n + 0.5) / count for n in range(count)]
        axes.plot(
            across,
            r.ms,
            linestyle="none",
            marker="o",
            markersize=3.4 if count < MANY else 2,
            markerfacecolor=PAGE if r.disturbed else BLUE,
            markeredgecolor=BLUE,
            markeredgewidth=0.4,
        )
        median = r.quantiles[2]
        axes.hlines(median, r.number - 0.42, r.number + 0.42, color=VERMILION, linewidth=1.3)


def _bars(axes: Axes, panel: Panel) -> None:
    numbers = [r.number for r in panel.rounds]
    q5, q25, _, q75, q95 = zip(*(r.quantiles for r in panel.rounds))
    axes.vlines(numbers, q5, q95, color=BLUE, linewidth=0.6)
    axes.vlines(numbers, q25, q75, color=BLUE, linewidth=1.8)
    for disturbed in (False, True):
        medians = [(r.number, r.quantiles[2]) for r in panel.rounds if r.disturbed is disturbed]
        axes.plot(
            [number for number, _ in medians],
            [median for _, median in medians],
            linestyle="none",
            marker="o",
            markersize=3.4 if disturbed else 2.2,
            markerfacecolor=PAGE if disturbed else VERMILION,
            markeredgecolor=VERMILION,
            markeredgewidth=0.7,
        )
