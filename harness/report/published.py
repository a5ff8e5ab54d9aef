"""The measured table beside the published one: the rows of both, and the ratio of each pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from harness.facts.nested import flattened
from harness.storage.plan import RunPlan
from harness.table.csv_table import csv_text
from harness.table.metrics import PUBLISHED
from harness.table.published.reference import FOLDER, Reference, read_published
from harness.table.rows import Row

ENVIRONMENT = "published_environment.yaml"


@dataclass(frozen=True)
class Pair:
    """A metric's two values, None where there is none.

    Attributes:
        ratio: measured / published; None where one is missing, the published one is 0, or their
            signs differ, as where one loss is a gain.
    """

    measured: float | None
    published: float | None

    @property
    def ratio(self) -> float | None:
        if self.measured is None or not self.published or self.measured / self.published < 0:
            return None
        return self.measured / self.published

    @property
    def ratio_shown(self) -> str:
        """The ratio to two significant digits without an exponent; empty where there is none."""
        if self.ratio is None:
            return ""
        rounded = f"{self.ratio + 0.0:.1e}"  # no sign before a 0
        return f"{float(rounded):.{max(0, 1 - int(rounded.partition('e')[2]))}f}"


@dataclass(frozen=True)
class SharedRow:
    """A row that the published table has as well, its pairs by the metric's name."""

    method: str
    label: str
    outcome: str
    pairs: dict[str, Pair]


@dataclass(frozen=True)
class Published:
    """A run beside the published table.

    Attributes:
        rows: those of both tables, in the run's order.
        differences: how the run's workload differs from the published one, one phrase each.
        environment: in which the published table was measured.
    """

    rows: list[SharedRow]
    differences: list[str]
    environment: dict[str, Any]


def beside_published(plan: RunPlan, rows: Sequence[Row]) -> Published:
    """Return a run's rows beside the published table of this project.

    Raises:
        HarnessError: the file of the table is missing or damaged.
    """
    reference = read_published()
    environment = yaml.safe_load((FOLDER / ENVIRONMENT).read_text("utf-8"))
    return Published(
        shared_rows(rows, reference),
        workload_differences(plan, environment["workload"]),
        environment,
    )


def shared_rows(rows: Sequence[Row], reference: Reference) -> list[SharedRow]:
    """Return the rows whose method the published table has, in the measured order."""
    return [
        SharedRow(
            row.method,
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


def workload_differences(plan: RunPlan, published: Mapping[str, Any]) -> list[str]:
    """Return how the run's workload differs from the published one, one phrase each.

    Args:
        published: the published workload in the form of ``conf/workload/``, with ``images``.
    """
    mine = flattened({**plan.workload.stored, "images": plan.images})
    return [
        f"{key} is {'not given' if mine.get(key) is None else mine[key]}, there {wanted}"
        for key, wanted in flattened(published).items()
        if mine.get(key) != wanted
    ]


def pairs_to_csv(rows: Sequence[SharedRow]) -> str:
    """Return each value beside the published one and their ratio, to the last digit."""
    header = ("method", "metric", "measured", "published", "measured_over_published")
    body = [
        [row.label, name, *("" if v is None else v for v in (p.measured, p.published, p.ratio))]
        for row in rows
        for name, p in row.pairs.items()
    ]
    return csv_text(header, body)
