"""The measured table beside the published one: what both have, and the ratio of each pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.storage.plan import RunPlan
from harness.storage.same_run import flattened
from harness.table.metrics import PUBLISHED
from harness.table.rows import Row

Reference = Mapping[str, Mapping[str, "float | None"]]  # method to the metrics' values


@dataclass(frozen=True)
class Pair:
    """A metric's two values, None where there is none; ``ratio`` is measured / published."""

    measured: float | None
    published: float | None

    @property
    def ratio(self) -> float | None:
        if self.measured is None or not self.published:
            return None
        return self.measured / self.published


@dataclass(frozen=True)
class Compared:
    """A row that the published table has as well, its pairs by the metric's name."""

    label: str
    outcome: str
    pairs: dict[str, Pair]


def beside(rows: Sequence[Row], reference: Reference) -> list[Compared]:
    """Return the rows whose method the published table has, in the measured order."""
    return [
        Compared(
            row.label,
            row.outcome,
            {
                m.name: Pair(getattr(row, m.name), reference[row.method].get(m.name))
                for m in PUBLISHED
            },
        )
        for row in rows
        if row.method in reference
    ]


def unlike(plan: RunPlan, published: Mapping[str, Any]) -> list[str]:
    """Return how the run's workload differs from the published one, one phrase each.

    Args:
        published: the published workload in the form of ``conf/workload/``, with ``images``.
    """
    mine = flattened({**plan.workload, "images": plan.images})
    return [
        f"{key} is {'not given' if mine.get(key) is None else mine[key]}, there {wanted}"
        for key, wanted in flattened(published).items()
        if mine.get(key) != wanted
    ]
