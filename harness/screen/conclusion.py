"""The line above a table: which row to take, by how much, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.storage.method_options import Tuning
from harness.storage.plan import RANDOM_WEIGHTS, RunPlan
from harness.table.markdown import ends
from harness.table.metrics import COST, SPEEDUP, TOP1_LOSS, VS_FUSED, Metric
from harness.table.rows import Row
from harness.table.searches import best_accurate


@dataclass(frozen=True)
class Conclusion:
    """What a table comes to.

    Attributes:
        sentence: for people.
        method: the row that it recommends, if there is one.
    """

    sentence: str
    method: str | None = None


def conclude(plan: RunPlan, rows: Sequence[Row]) -> Conclusion:
    """Return the fastest row that loses no more top-1 than ``tuning.tolerance`` allows.

    The fastest is the one with the most images a second: from the rounds where there are some.
    """
    named = {row.method: row for row in rows}
    base, fused = (named.get(method) for method in (plan.config.baseline, plan.config.fused))
    measured = [row for row in rows if row.images_per_s is not None]
    before = _progress(plan, rows)
    if not measured:
        return Conclusion(f"{before}No row has a speed yet.")
    if base is None or base.top1 is None:
        fastest = max(measured, key=_speed)
        unknown = f"no loss is known without {plan.config.baseline}"
        return Conclusion(f"{before}Fastest: {fastest.label}; {unknown}.", fastest.method)
    others = [row for row in measured if row is not base]
    if not others:
        return Conclusion(f"{before}Only {base.label} has a speed.")
    is_random = RANDOM_WEIGHTS in plan.warnings
    allowed = _allowed(plan.config.tuning)
    best = best_accurate(plan, measured)
    if best is None:
        closest = max(others, key=lambda row: row.top1 or 0.0)
        return Conclusion(
            f"{before}No other row stays within {allowed} of {base.label}; the closest is "
            f"{closest.label}, which loses {TOP1_LOSS.shown(closest.top1_rel_loss_pct, '?')} %."
        )
    if fused is not None and best is not fused and best.speedup_vs_fused is not None:
        speed = _times(best, VS_FUSED, fused)
    else:
        speed = _times(best, SPEEDUP, base)
    condition = "with random weights" if is_random else f"within {allowed}"
    cost = "" if best.cost_s is None else f", made in {COST.shown(best.cost_s, '-')} s"
    return Conclusion(f"{before}Fastest {condition}: {best.label}, {speed}{cost}.", best.method)


def _progress(plan: RunPlan, rows: Sequence[Row]) -> str:
    missing = len(plan.methods) - len(rows)
    return f"{len(rows)} of {len(plan.methods)} rows so far. " if missing > 0 else ""


def _allowed(tuning: Tuning) -> str:
    tolerance = float(tuning.tolerance)
    if tuning.criterion == "relative":
        return f"{100 * tolerance:g} % of top-1"
    return f"{tolerance:g} of top-1"


def _speed(row: Row) -> float:
    return row.images_per_s or 0.0


def _times(row: Row, metric: Metric, other: Row) -> str:
    """Return how many times as fast as another row, with the 95 % interval where there is one."""
    interval = row.intervals.get(metric.name)
    within = f" {ends(metric, interval)}" if interval else ""
    return f"{metric.shown(getattr(row, metric.name), '?')} times {other.label}{within}"
