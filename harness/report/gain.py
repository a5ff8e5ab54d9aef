"""What optimising costs once and what it gives on every image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.report.tuning import least_accepted
from harness.stats.intervals import Interval
from harness.storage.plan import RunPlan
from harness.table.metrics import INFERENCE_SPEEDUP, VS_FUSED, Metric
from harness.table.rows import Row


@dataclass(frozen=True)
class Gain:
    """A row's cost and gain.

    Attributes:
        speedup: of inference, over the reference.
        repaid_images: after how many images the faster inference has saved the cost, None where it
            is not faster.
        accurate: its validated top-1 meets the tuning's criterion, None without a baseline.
    """

    label: str
    cost_s: float
    speedup: float
    interval: Interval | None
    repaid_images: float | None
    accurate: bool | None


@dataclass(frozen=True)
class Gains:
    """The rows without the baseline and the row called ``reference``, over which the gain is."""

    reference: str
    metric: Metric
    rows: tuple[Gain, ...]


def gains(plan: RunPlan, rows: Sequence[Row]) -> Gains | None:
    """Return every row's cost and gain over the fused fp32, or over the baseline without it.

    None where neither was timed.
    """
    by_method = {row.method: row for row in rows}
    methods = [plan.config[key] for key in ("fused", "baseline")]
    for method, metric in zip(methods, (VS_FUSED, INFERENCE_SPEEDUP)):
        reference = by_method.get(method)
        if reference is not None and reference.images_per_s:
            optimised = [row for row in rows if row.method not in methods]
            found = [_gain(plan, row, reference, metric) for row in optimised]
            return Gains(reference.label, metric, tuple(each for each in found if each))
    return None


def _gain(plan: RunPlan, row: Row, reference: Row, metric: Metric) -> Gain | None:
    speedup = getattr(row, metric.name)
    if row.cost_s is None or speedup is None or not row.images_per_s or not reference.images_per_s:
        return None
    saved_s = 1 / reference.images_per_s - 1 / row.images_per_s  # on every image
    return Gain(
        row.label,
        row.cost_s,
        speedup,
        row.intervals.get(metric.name),
        row.cost_s / saved_s if saved_s > 0 else None,
        is_accurate(row, plan.config["tuning"]),
    )


def is_accurate(row: Row, tuning: Mapping[str, Any]) -> bool | None:
    """Say whether a row's top-1 on all images meets the criterion that INC tunes for."""
    if row.top1 is None or row.top1_rel_loss_pct is None or row.top1_rel_loss_pct == 100:
        return None
    baseline = row.top1 / (1 - row.top1_rel_loss_pct / 100)
    least = least_accepted(baseline, tuning["criterion"], tuning["tolerance"])
    return row.top1 >= least or row.top1_rel_loss_pct == 0


def best_accurate(plan: RunPlan, rows: Sequence[Row]) -> Row | None:
    """Return the row with the most images per second among those that meet the criterion."""
    fit = [row for row in rows if row.images_per_s and is_accurate(row, plan.config["tuning"])]
    return max(fit, key=lambda row: row.images_per_s or 0.0, default=None)
