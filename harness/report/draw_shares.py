"""Where each row's time went, by kind of primitive and instruction set."""

from __future__ import annotations

from matplotlib.figure import Figure

from harness.report.drawing import (
    AREAS,
    INK,
    MUTED,
    PAGE,
    Drawing,
    Words,
    drawn,
    missing,
    panels,
    shortened,
)
from harness.report.shares import OTHER, OUTSIDE, ShareRow, Shares

NAME, TITLE = "time_shares", "Share of time by primitive and instruction set"
HATCHES = ("", "///", "..", "", "xxx", "\\\\\\", "")
LIGHT = {"#e69f00", "#cc79a7", "#56b4e9", "#f0e442", "#b9bec7"}  # dark text reads on these
SHOWN = 0.07  # a share that has room for its number


def draw(found: Shares) -> Drawing:
    """Return the figure: one bar of 100 % a row."""
    if not found.rows:
        return missing(
            NAME,
            TITLE,
            "How the rows ran was not looked at (protocol.profile_batches=0), or none has a model.",
        )
    words = Words(
        NAME,
        TITLE,
        "Shares of the wall clock of a forward pass under oneDNN's verbose mode, untimed otherwise: "
        "oneDNN's primitives by kind and instruction set (ref and simple are oneDNN's plain "
        f"implementations), the smaller ones together, and what is {OUTSIDE}.",
        " ".join(_described(found, row) for row in found.rows),
        ("Method", "ms a batch", *(f"{part} %" for part in found.parts)),
        [
            (row.label, f"{row.milliseconds:.2f}", *(f"{100 * s:.1f}" for s in row.shares))
            for row in found.rows
        ],
    )
    legend_rows = -(-len(found.parts) // 2)
    height = 0.7 + 0.27 * len(found.rows) + 0.19 * legend_rows
    return drawn(words, height, lambda figure: _fill(figure, found))


def _described(found: Shares, row: ShareRow) -> str:
    share, part = max(zip(row.shares, found.parts))
    return f"{row.label}: most in {part}, {100 * share:.0f} %."


def _fill(figure: Figure, found: Shares) -> None:
    (axes,) = panels(figure, 1, 1)
    labels = shortened([row.label for row in found.rows])
    left = [0.0] * len(labels)
    named = len(found.parts) - 2
    faces = dict(zip(found.parts[:named], zip(AREAS, HATCHES)))
    faces |= {OTHER: ("#b9bec7", ""), OUTSIDE: (PAGE, "")}
    for number, part in enumerate(found.parts):
        widths = [100 * row.shares[number] for row in found.rows]
        color, hatch = faces[part]
        outlined = part == OUTSIDE
        axes.barh(
            range(len(labels)),
            widths,
            left=left,
            height=0.72,
            color=color,
            hatch=hatch,
            edgecolor=MUTED if outlined else PAGE,
            linewidth=0.5,
            label=part,
        )
        for at, width in enumerate(widths):
            if width >= 100 * SHOWN:
                axes.text(
                    left[at] + width / 2,
                    at,
                    f"{width:.0f}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color=INK if outlined else "#000000" if color in LIGHT else "#ffffff",
                    bbox={"boxstyle": "square,pad=0.15", "facecolor": color, "edgecolor": "none"},
                )
        left = [start + width for start, width in zip(left, widths)]
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the wall clock")
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside lower center", ncols=2, handlelength=1.6, labelcolor=INK)
