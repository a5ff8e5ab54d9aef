"""What optimising costs once against how much faster inference becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from harness.render.drawing import (
    BLUE,
    INK,
    MUTED,
    PAGE,
    Drawing,
    Words,
    missing,
    panels,
    render_figure,
    short,
)
from harness.render.label_placement import Mark, place
from harness.stats.intervals import Interval
from harness.storage.plan import RunPlan
from harness.table.loaded_run import LoadedRun
from harness.table.metrics import INFERENCE_SPEEDUP, VS_FUSED, Metric
from harness.table.rows import Row
from harness.table.searches import is_accurate

NAME, TITLE = "cost_gain", "Cost against gain"
LEAST_S = 1e-3  # a logarithmic axis has no place for a cost of nothing


@dataclass(frozen=True)
class Gain:
    """The cost and the gain of a row.

    Attributes:
        speedup: of inference, over the reference.
        repaid_images: after how many images the faster inference has saved the cost, None where it
            is not faster.
        accurate: its validated top-1 meets the tuning's criterion, None where that is not known.
    """

    method: str
    label: str
    cost_s: float
    speedup: float
    interval: Interval | None
    repaid_images: float | None
    accurate: bool | None

    @property
    def is_sure(self) -> bool:
        """Whether the whole interval of the speedup is above 1; without one, the speedup itself."""
        return (self.interval.low if self.interval else self.speedup) > 1

    @property
    def repaid_shown(self) -> str:
        """The images after which the cost is saved, in words where it never is or may never be."""
        if self.repaid_images is None:
            return "never"
        return f"{self.repaid_images:,.0f}" if self.is_sure else "not known"


@dataclass(frozen=True)
class Gains:
    """The rows without the baseline, and the label of the row over which the gain is."""

    reference: str
    metric: Metric
    rows: tuple[Gain, ...]


def figure(run: LoadedRun) -> Drawing:
    """Return the figure of a run."""
    return draw(gains(run.plan, run.rows))


def gains(plan: RunPlan, rows: Sequence[Row]) -> Gains | None:
    """Return the cost and the gain of each row over the fused fp32, or over the baseline without it.

    None where neither was timed.
    """
    by_method = {row.method: row for row in rows}
    methods = [plan.config.fused, plan.config.baseline]
    for method, metric in zip(methods, (VS_FUSED, INFERENCE_SPEEDUP)):
        reference = by_method.get(method)
        if reference is not None and reference.images_per_s:
            optimised = [row for row in rows if row.method not in methods]
            compared = [_gain(plan, row, reference, metric) for row in optimised]
            return Gains(reference.label, metric, tuple(gain for gain in compared if gain))
    return None


def _gain(plan: RunPlan, row: Row, reference: Row, metric: Metric) -> Gain | None:
    speedup = getattr(row, metric.name)
    if row.cost_s is None or speedup is None or not row.images_per_s or not reference.images_per_s:
        return None
    saved_s = 1 / reference.images_per_s - 1 / row.images_per_s  # on every image
    return Gain(
        row.method,
        row.label,
        row.cost_s,
        speedup,
        row.intervals.get(metric.name),
        row.cost_s / saved_s if saved_s > 0 else None,
        is_accurate(row, plan.config.tuning),
    )


def draw(compared: Gains | None) -> Drawing:
    """Return the figure: what was optimised, filled where it is accurate enough."""
    if compared is None or not compared.rows:
        return missing(
            NAME, TITLE, "Neither the fused fp32 nor the baseline was timed beside another row."
        )
    words = Words(
        NAME,
        TITLE,
        f"The one-time cost of optimising against the inference speedup over {compared.reference} "
        "(bars: 95 % intervals). Filled: top-1 on all images meets the tuning's criterion; hollow: "
        "it does not, or that is not known.",
        _described(compared),
        ("Method", "Cost s", "Speedup", "95 % interval", "Paid back after images", "Accurate"),
        [
            (
                gain.label,
                f"{gain.cost_s:.2f}",
                f"{gain.speedup:.2f}",
                f"{gain.interval.low:.2f} to {gain.interval.high:.2f}" if gain.interval else "-",
                gain.repaid_shown,
                {True: "yes", False: "no", None: "-"}[gain.accurate],
            )
            for gain in compared.rows
        ],
    )
    return render_figure(words, 3.2, lambda figure: _fill(figure, compared), 3.6)


def _described(compared: Gains) -> str:
    repaid = [gain for gain in compared.rows if gain.repaid_images is not None and gain.accurate]
    if not repaid:
        return f"No row that is known to be accurate is faster than {compared.reference}."
    sure = [gain for gain in repaid if gain.is_sure]
    if not sure:
        return (
            f"No row that is known to be accurate is faster than {compared.reference} beyond its "
            "interval, so none is known to pay back."
        )
    soonest = min(sure, key=lambda gain: gain.repaid_images or 0.0)
    return (
        f"Of the accurate rows {soonest.label} pays its {soonest.cost_s:.2f} s back soonest, after "
        f"{soonest.repaid_images:,.0f} images at {soonest.speedup:.2f} times the speed of "
        f"{compared.reference}."
    )


def _fill(figure: Figure, compared: Gains) -> None:
    (axes,) = panels(figure, 1, 1)
    axes.set_xscale("log")
    costs = [max(gain.cost_s, LEAST_S) for gain in compared.rows]
    for cost, gain in zip(costs, compared.rows):
        axes.errorbar(
            cost,
            gain.speedup,
            yerr=_bars(gain),
            fmt="o" if gain.accurate else "s",
            markersize=6,
            markerfacecolor=BLUE if gain.accurate else PAGE,
            markeredgecolor=BLUE if gain.accurate else INK,
            ecolor=MUTED,
            elinewidth=0.8,
            capsize=2,
        )
    axes.axhline(1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_xlim(min(costs) / 3, max(costs) * 4)
    axes.margins(y=0.14)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, position: f"{value:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("Cost of optimising, s")
    axes.set_ylabel(f"Inference speedup over {short(compared.reference)}")
    marks = [
        Mark(
            gain.label,
            cost,
            gain.speedup,
            y_ends=(gain.interval.low, gain.interval.high) if gain.interval else None,
        )
        for cost, gain in zip(costs, compared.rows)
    ]
    place(figure, axes, marks)


def _bars(gain: Gain) -> list[list[float]] | None:
    if gain.interval is None:
        return None
    low, high = gain.interval.low, gain.interval.high
    return [[max(0.0, gain.speedup - low)], [max(0.0, high - gain.speedup)]]
