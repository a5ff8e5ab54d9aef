"""Speedups over both baselines, fp32 with MXNet's defect and without, beside the published ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.storage.method_options import AS_RELEASED, REPAIRED, UNOPTIMIZED
from harness.storage.plan import RunPlan
from harness.table.metrics import SPEEDUP
from harness.table.rows import Row


@dataclass(frozen=True)
class Speedups:
    """A row's speedup as published, over fp32 as released, and over fp32 with repaired additions."""

    method: str
    label: str
    published: float
    released: float
    repaired: float

    @property
    def ratios(self) -> tuple[float, float]:
        """Measured / published, over the released baseline and over the repaired one."""
        return self.released / self.published, self.repaired / self.published

    @property
    def is_nearer_repaired(self) -> bool:
        """Whether the repaired baseline gives the speedup that is by the smaller factor another."""
        released, repaired = (abs(math.log(ratio)) for ratio in self.ratios)
        return repaired < released


def speedups(
    plan: RunPlan,
    rows: Sequence[Row],
    published: Callable[[], Mapping[str, Mapping[str, float | None]]],
) -> list[Speedups]:
    """Return the speedups of the rows that are published; nothing without both baselines.

    Args:
        published: returns by method the published values by metric; called with both baselines alone.
    """
    seconds = {row.method: row.validation_s for row in rows if row.validation_s is not None}
    repairs = plan.config.mxnet_additions is not None
    released = _measured(plan, seconds, AS_RELEASED if repairs else UNOPTIMIZED)
    repaired = _measured(plan, seconds, UNOPTIMIZED if repairs else REPAIRED)
    if released is None or repaired is None:
        return []
    known = {method: values.get(SPEEDUP.name) for method, values in published().items()}
    return [
        Speedups(row.method, row.label, value, released / mine, repaired / mine)
        for row in rows
        if (value := known.get(row.method)) is not None
        and (mine := seconds.get(row.method)) is not None
        and plan.methods[row.method].target not in (UNOPTIMIZED, AS_RELEASED, REPAIRED)
    ]


def _measured(plan: RunPlan, seconds: Mapping[str, float], target: str) -> float | None:
    """Return the seconds of the validation pass of MXNet's first row that a class makes."""
    of_target = (
        name
        for name, method in plan.methods.items()
        if method.target == target and method.engine is None
    )
    return next((seconds[name] for name in of_target if name in seconds), None)


def speedup_note(compared: Sequence[Speedups]) -> Iterator[str]:
    """Say for each row how the speedups compare, and which baseline comes nearer to the published."""
    if not compared:
        return
    rows = "; ".join(
        f"{row.label} {SPEEDUP.shown(row.published, '-')} / "
        + " / ".join(
            f"{SPEEDUP.shown(value, '-')} ({ratio:.2f})"
            for value, ratio in zip((row.released, row.repaired), row.ratios)
        )
        for row in compared
    )
    yield (
        "Speedup as published / over fp32 as released / over fp32 with repaired additions, in brackets "
        f"measured over published: {rows}."
    )
    yield verdict(compared)


def verdict(compared: Sequence[Speedups]) -> str:
    """Say which baseline comes nearer to the published speedups, in how many rows and by how much."""
    nearer = sum(row.is_nearer_repaired for row in compared)
    released, repaired = (
        _typical(ratio for ratio in ratios) for ratios in zip(*(row.ratios for row in compared))
    )
    better = "repaired additions" if repaired < released else "the additions as released"
    return (
        f"fp32 with {better} comes nearer to the published speedups: they are missed by a factor of "
        f"{repaired:.2f} with repaired additions and of {released:.2f} as released (geometric means), "
        f"and repaired additions are nearer in {nearer} of {len(compared)} rows."
    )


def _typical(ratios: Iterator[float]) -> float:
    """Return the geometric mean of the factors by which ratios miss 1."""
    logarithms = [abs(math.log(ratio)) for ratio in ratios]
    return math.exp(math.fsum(logarithms) / len(logarithms))
