"""Where each row's time went: its wall clock by kind of primitive and instruction set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from harness.derive.profile import Profile

MOST = 7  # named parts; the others are summed
OTHER = "other primitives"
OUTSIDE = "outside oneDNN"


@dataclass(frozen=True)
class Shares:
    """Shares of time.

    Attributes:
        parts: names of the parts: the largest over all rows first, then the others, then outside.
        rows: by label, each part's share, 0 .. 1; they sum to 1.
        milliseconds: by label, the time of a batch that the shares are of.
    """

    parts: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]
    milliseconds: dict[str, float]


def shares(profiles: Mapping[str, Profile]) -> Shares:
    """Return the shares of every row that has a profile with any time in it.

    They are of the wall clock of the profiled batches, or of oneDNN's own sum where that is larger.
    """
    spent: dict[str, dict[str, float]] = {}
    whole: dict[str, float] = {}
    for label, profile in profiles.items():
        total = max(profile.wall_ms or 0.0, profile.total_ms)
        if profile.rows and total:
            of_row: dict[str, float] = defaultdict(float)
            for row in profile.rows:
                isa = row.isa or row.implementation.split(":")[0]
                of_row[f"{row.kind}, {isa}"] += row.ms / total
            spent[label], whole[label] = dict(of_row), total / max(1, profile.batches)
    weights: dict[str, float] = defaultdict(float)
    for of_row in spent.values():
        for part, share in of_row.items():
            weights[part] += share
    named = sorted(weights, key=lambda part: (-weights[part], part))[:MOST]
    rows = {}
    for label, of_row in spent.items():
        mine = [of_row.get(part, 0.0) for part in named]
        inside = sum(of_row.values())
        rows[label] = (*mine, max(0.0, inside - sum(mine)), max(0.0, 1 - inside))
    return Shares((*named, OTHER, OUTSIDE), rows, whole)
