"""Where the time of each row went: its wall clock by kind of primitive and instruction set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from harness.render.drawing import (
    AREAS,
    INK,
    MUTED,
    PAGE,
    Drawing,
    Words,
    is_narrow,
    missing,
    panels,
    render_figure,
    short,
    shortened,
    wrapped,
)
from harness.render.escape import one_line
from harness.table.kernels import RowProfile, common_name, other_engines
from harness.table.loaded_run import LoadedRun

NAME, TITLE = "time_shares", "Share of time by primitive and instruction set"
MOST = 7  # named parts; the others are summed
OTHER = "other primitives"
OUTSIDE = "outside"  # what executed the row
HATCHES = ("", "///", "..", "", "xxx", "\\\\\\", "")
LIGHT = {"#e69f00", "#cc79a7", "#56b4e9", "#f0e442", "#b9bec7"}  # dark text reads on these
LONGEST_PART = 36  # characters, for which a legend has room
SHOWN = 0.07  # a share that has room for its number


@dataclass(frozen=True)
class ShareRow:
    """The shares of one row.

    Attributes:
        shares: of each part, 0 .. 1; they sum to 1.
        milliseconds: the time of a batch that the shares are of.
    """

    method: str
    label: str
    shares: tuple[float, ...]
    milliseconds: float


@dataclass(frozen=True)
class Shares:
    """Shares of time.

    Attributes:
        parts: names of the parts: the largest over all rows first, then the others, then outside.
        engines: other than MXNet's oneDNN, that executed rows.
    """

    parts: tuple[str, ...]
    rows: tuple[ShareRow, ...]
    engines: Sequence[str] = ()


def figure(run: LoadedRun) -> Drawing:
    """Return the figure of a run."""
    return draw(shares(run.profiles))


def shares(profiles: Sequence[RowProfile]) -> Shares:
    """Return the shares of every row that has a profile with any time in it.

    They are of the wall clock of the profiled batches, or of the engine's own sum where that is larger.
    """
    spent: list[tuple[RowProfile, dict[str, float], float]] = []
    for one in profiles:
        profile = one.profile
        total = max(profile.wall_ms or 0.0, profile.total_ms)
        if profile.rows and total:
            of_row: dict[str, float] = defaultdict(float)
            for row in profile.rows:
                isa = row.isa or row.implementation.split(":")[0]
                of_row[one_line(f"{row.kind}, {isa}")] += row.ms / total
            spent.append((one, dict(of_row), total / max(1, profile.batches)))
    weights: dict[str, float] = defaultdict(float)
    for _, of_row, _ in spent:
        for part, share in of_row.items():
            weights[part] += share
    named = sorted(weights, key=lambda part: (-weights[part], part))[:MOST]
    rows = []
    for one, of_row, milliseconds in spent:
        mine = [of_row.get(part, 0.0) for part in named]
        inside = sum(of_row.values())
        shown = (*mine, max(0.0, inside - sum(mine)), max(0.0, 1 - inside))
        rows.append(ShareRow(one.method, one.label, shown, milliseconds))
    outside = f"{OUTSIDE} {common_name(profiles)}"
    return Shares((*named, OTHER, outside), tuple(rows), other_engines(profiles))


def draw(times: Shares) -> Drawing:
    """Return the figure: one bar of 100 % a row."""
    if not times.rows:
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
        f"implementations), the smaller ones together, and what is {times.parts[-1]}."
        + (
            f" Rows of {' and '.join(times.engines)} are by their own profiles."
            * bool(times.engines)
        ),
        " ".join(_described(times, row) for row in times.rows),
        ("Method", "ms a batch", *(f"{part} %" for part in times.parts)),
        [
            (row.label, f"{row.milliseconds:.2f}", *(f"{100 * s:.1f}" for s in row.shares))
            for row in times.rows
        ],
    )
    heights = [0.7 + 0.27 * len(times.rows) + 0.19 * -(-len(times.parts) // n) for n in (2, 1)]
    return render_figure(words, heights[0], lambda figure: _fill(figure, times), heights[1])


def _described(times: Shares, row: ShareRow) -> str:
    share, part = max(zip(row.shares, times.parts))
    return f"{row.label}: most in {part}, {100 * share:.0f} %."


def _fill(figure: Figure, times: Shares) -> None:
    (axes,) = panels(figure, 1, 1)
    labels = wrapped(figure, shortened([row.label for row in times.rows]))
    left = [0.0] * len(labels)
    named = len(times.parts) - 2
    faces = dict(zip(times.parts[:named], zip(AREAS, HATCHES)))
    faces |= {OTHER: ("#b9bec7", ""), times.parts[-1]: (PAGE, "")}
    for number, part in enumerate(times.parts):
        widths = [100 * row.shares[number] for row in times.rows]
        color, hatch = faces[part]
        outlined = part == times.parts[-1]  # it has the colour of the page
        axes.barh(
            range(len(labels)),
            widths,
            left=left,
            height=0.72,
            color=color,
            hatch=hatch,
            edgecolor=MUTED if outlined else PAGE,
            linewidth=0.5,
            label=part if len(part) <= LONGEST_PART else short(part),
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
    columns = 1 if is_narrow(figure) else 2
    figure.legend(loc="outside lower center", ncols=columns, handlelength=1.6, labelcolor=INK)
