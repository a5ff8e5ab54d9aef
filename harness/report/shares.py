"""Where each row's time went: its wall clock by kind of primitive and instruction set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from harness.render.escape import one_line
from harness.table.kernels import Profile

MOST = 7  # named parts; the others are summed
OTHER = "other primitives"
OUTSIDE = "outside oneDNN"


@dataclass(frozen=True)
class ShareRow:
    """One row.

    Attributes:
        shares: each part's, 0 .. 1; they sum to 1.
        milliseconds: the time of a batch that the shares are of.
    """

    label: str
    shares: tuple[float, ...]
    milliseconds: float


@dataclass(frozen=True)
class Shares:
    """Shares of time.

    Attributes:
        parts: names of the parts: the largest over all rows first, then the others, then outside.
    """

    parts: tuple[str, ...]
    rows: tuple[ShareRow, ...]


def shares(profiles: Sequence[tuple[str, Profile]]) -> Shares:
    """Return the shares of every row that has a profile with any time in it.

    They are of the wall clock of the profiled batches, or of oneDNN's own sum where that is larger.

    Args:
        profiles: each with what its row is called.
    """
    spent: list[tuple[str, dict[str, float], float]] = []
    for label, profile in profiles:
        total = max(profile.wall_ms or 0.0, profile.total_ms)
        if profile.rows and total:
            of_row: dict[str, float] = defaultdict(float)
            for row in profile.rows:
                isa = row.isa or row.implementation.split(":")[0]
                of_row[one_line(f"{row.kind}, {isa}")] += row.ms / total
            spent.append((label, dict(of_row), total / max(1, profile.batches)))
    weights: dict[str, float] = defaultdict(float)
    for _, of_row, _ in spent:
        for part, share in of_row.items():
            weights[part] += share
    named = sorted(weights, key=lambda part: (-weights[part], part))[:MOST]
    rows = []
    for label, of_row, milliseconds in spent:
        mine = [of_row.get(part, 0.0) for part in named]
        inside = sum(of_row.values())
        shown = (*mine, max(0.0, inside - sum(mine)), max(0.0, 1 - inside))
        rows.append(ShareRow(label, shown, milliseconds))
    return Shares((*named, OTHER, OUTSIDE), tuple(rows))
