"""The figure: what each row spent against what its models lose and how fast they are.

Importing this imports matplotlib: set MPLCONFIGDIR before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from benchmarks.strategies.report import CSV, TOLERATED, Case, csv_rows, lines
from harness.render.drawing import AREAS, MUTED, Drawing, Words, render_figure

MARKERS = "osD^vPX*<>p"
NO_MODEL = 30.0  # percent: where a search without a model is drawn
LEAST = 0.05
NOT_TUNED = ("fp32_fused",)


def figure(cases: Sequence[Case], labels: dict[str, str]) -> Drawing:
    """Return the drawing; ``labels`` names the rows."""
    found = [line for line in lines(cases) if line.name not in NOT_TUNED]
    words = Words(
        "strategies",
        "What tuning costs, and what the model is worth",
        "Left: images run through a network while tuning and the top-1 lost on held-back images, one "
        "mark a case; the dashed line is the criterion, hollow marks are searches without a model. "
        f"Right: speed against fp32 fused, geometric mean of the cases with a model, and in how many "
        f"cases that lost at most {TOLERATED} %.",
        "Marks further left cost less; marks below the line meet the criterion.",
        CSV,
        [[str(value) for value in row] for row in csv_rows(cases)],
    )

    def fill(page: Figure) -> None:
        panels: Any = page.subplots(1, 2, width_ratios=[2, 1])
        left, right = panels
        for number, line in enumerate(found):
            rows = [case["rows"][line.name] for case in cases]
            spent = np.array([row["images"] for row in rows])
            has = np.array(["loss" in row for row in rows])
            loss = np.array(
                [max(row["loss"][0], LEAST) if "loss" in row else NO_MODEL for row in rows]
            )
            style = {"marker": MARKERS[number % len(MARKERS)], "s": 22, "linewidths": 0.8}
            color = AREAS[number % len(AREAS)]
            left.scatter(spent[has], loss[has], color=color, label=labels[line.name], **style)
            left.scatter(spent[~has], loss[~has], facecolors="none", edgecolors=color, **style)
            speedup = 0.0 if math.isnan(line.speedup) else line.speedup
            right.barh(number, speedup, color=color, height=0.6)
            right.text(speedup, number, f" {line.met}/{line.cases}", va="center", fontsize=7)
        left.axhline(TOLERATED, linestyle="--", color=MUTED)
        left.set(xscale="log", yscale="log", xlabel="images run while tuning")
        for axis in (left.xaxis, left.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        left.set_ylabel(f"top-1 lost, % of fp32's ({LEAST} or less at the bottom)")
        right.set_yticks(range(len(found)), [labels[line.name] for line in found], fontsize=7)
        right.invert_yaxis()
        right.margins(x=0.25)
        right.set_xlabel("speed, of fp32 fused's")
        page.legend(loc="outside lower center", ncols=4, fontsize=7)

    return render_figure(words, 4.4, fill)
