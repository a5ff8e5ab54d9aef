"""What optimising costs once against how much faster inference becomes."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from harness.report.drawing import (
    BLUE,
    INK,
    MUTED,
    PAGE,
    Drawing,
    Words,
    drawn,
    missing,
    panels,
    short,
)
from harness.report.gain import Gain, Gains
from harness.report.label_placement import Mark, place

NAME, TITLE = "cost_gain", "Cost against gain"
LEAST_S = 1e-3  # a logarithmic axis has no place for a cost of nothing


def draw(found: Gains | None) -> Drawing:
    """Return the figure: what was optimised, filled where it is accurate enough."""
    if found is None or not found.rows:
        return missing(
            NAME, TITLE, "Neither the fused fp32 nor the baseline was timed beside another row."
        )
    words = Words(
        NAME,
        TITLE,
        f"The one-time cost of optimising against the inference speedup over {found.reference} "
        "(bars: 95 % intervals). Filled: top-1 on all images meets the tuning's criterion; hollow: "
        "it does not. The table says after how many images the faster inference has paid the cost "
        f"back, compared with {found.reference}.",
        _described(found),
        ("Method", "Cost s", "Speedup", "95 % interval", "Paid back after images", "Accurate"),
        [
            (
                each.label,
                f"{each.cost_s:.2f}",
                f"{each.speedup:.2f}",
                f"{each.interval.low:.2f} to {each.interval.high:.2f}" if each.interval else "-",
                f"{each.repaid_images:,.0f}" if each.repaid_images is not None else "never",
                {True: "yes", False: "no", None: "-"}[each.accurate],
            )
            for each in found.rows
        ],
    )
    return drawn(words, 3.2, lambda figure: _fill(figure, found))


def _described(found: Gains) -> str:
    repaid = [
        each for each in found.rows if each.repaid_images is not None and each.accurate is not False
    ]
    if not repaid:
        return f"No accurate row is faster than {found.reference}."
    soonest = min(repaid, key=lambda each: each.repaid_images or 0.0)
    return (
        f"Of the accurate rows {soonest.label} pays its {soonest.cost_s:.2f} s back soonest, after "
        f"{soonest.repaid_images:,.0f} images at {soonest.speedup:.2f} times the speed of "
        f"{found.reference}."
    )


def _fill(figure: Figure, found: Gains) -> None:
    (axes,) = panels(figure, 1, 1)
    axes.set_xscale("log")
    costs = [max(each.cost_s, LEAST_S) for each in found.rows]
    for cost, each in zip(costs, found.rows):
        axes.errorbar(
            cost,
            each.speedup,
            yerr=_bars(each),
            fmt="s" if each.accurate is False else "o",
            markersize=6,
            markerfacecolor=PAGE if each.accurate is False else BLUE,
            markeredgecolor=INK if each.accurate is False else BLUE,
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
    axes.set_ylabel(f"Inference speedup over {short(found.reference)}")
    marks = [
        Mark(
            each.label,
            cost,
            each.speedup,
            y_ends=(each.interval.low, each.interval.high) if each.interval else None,
        )
        for cost, each in zip(costs, found.rows)
    ]
    place(figure, axes, marks)


def _bars(each: Gain) -> list[list[float]] | None:
    if each.interval is None:
        return None
    low, high = each.interval.low, each.interval.high
    return [[max(0.0, each.speedup - low)], [max(0.0, high - each.speedup)]]
