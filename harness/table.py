"""Records to rows: accuracies, losses and speedups are derived here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from harness.metrics import relative_loss_pct, top_k_accuracy
from harness.plan import RunPlan
from harness.record import MethodRecord

Predictions = Callable[[MethodRecord], "npt.NDArray[np.uint16]"]
AMPLE_SPEEDUP = 10.0


@dataclass(frozen=True)
class Row:
    """A row; a value that was not measured is None."""

    label: str
    outcome: str
    top1: float | None = None
    top5: float | None = None
    top1_rel_loss_pct: float | None = None
    top5_rel_loss_pct: float | None = None
    cost_s: float | None = None
    validation_s: float | None = None
    speedup: float | None = None
    images: int | None = None
    log: str | None = None


def build_rows(
    records: Sequence[MethodRecord],
    predictions: Predictions,
    labels: npt.NDArray[np.int64],
    baseline: str,
) -> list[Row]:
    """Return one row a record, in their order.

    Losses and speedups are relative to the row of the method named ``baseline``; without it, or
    where it was not measured, they are None.
    """
    measured = {record.method: _measured(record, predictions, labels) for record in records}
    reference = measured.get(baseline)
    return [_row(record, measured[record.method], reference) for record in records]


@dataclass(frozen=True)
class _Measured:
    top1: float
    top5: float
    validation_s: float
    images: int


def _measured(
    record: MethodRecord, predictions: Predictions, labels: npt.NDArray[np.int64]
) -> _Measured | None:
    facts = record.validate
    if facts is None or record.outcome.kind != "ok":
        return None
    best = predictions(record)
    return _Measured(
        top1=top_k_accuracy(best, labels, 1),
        top5=top_k_accuracy(best, labels, 5),
        validation_s=facts["validation_s"],
        images=facts["images"],
    )


def _row(record: MethodRecord, mine: _Measured | None, reference: _Measured | None) -> Row:
    row = Row(
        label=record.label,
        outcome=str(record.outcome),
        log=record.outcome.log,
        cost_s=record.optimize["cost_s"] if record.optimize else None,
    )
    if mine is None:
        return row
    row = replace(
        row, top1=mine.top1, top5=mine.top5, validation_s=mine.validation_s, images=mine.images
    )
    if reference is None:
        return row
    return replace(
        row,
        top1_rel_loss_pct=relative_loss_pct(mine.top1, reference.top1),
        top5_rel_loss_pct=relative_loss_pct(mine.top5, reference.top5),
        speedup=reference.validation_s / mine.validation_s,
    )


def footnotes(plan: RunPlan, records: Sequence[MethodRecord], rows: Sequence[Row]) -> list[str]:
    """Return what a reader must know to read the rows rightly, one sentence or two each."""
    workload = plan.workload
    notes = [workload["note"]] if workload.get("note") else []
    if plan.tuning_overlap:
        notes.append(
            f"The {plan.tuning_images} tuning images are the first of the {plan.images} "
            "validated ones, as published: accuracies of calibrated and tuned rows are optimistic "
            "by that overlap."
        )
    if plan.config["methods"]["shared_calibration"]:
        notes.append(
            "INC rows shared one calibration cache (methods.shared_calibration=true): the cost of "
            "each depends on the rows before it."
        )
    ample = [row.label for row in rows if (row.speedup or 0) > AMPLE_SPEEDUP]
    if ample:
        notes.append(
            f"Speedups above {AMPLE_SPEEDUP:g} ({', '.join(ample)}) compare with unfused fp32, whose "
            "residual additions MXNet runs in oneDNN's reference implementation when the graph is "
            "hybridized. Compare with the row of fp32 fused, or add the method fp32_summed, which is "
            "unfused fp32 without those kernels."
        )
    notes += plan.warnings
    for record in records:
        stages = [stage for stage in (record.optimize, record.validate) if stage]
        said = [warning for stage in stages for warning in stage.get("warnings", [])]
        notes += [f"{record.label}: {warning}" for warning in dict.fromkeys(said)]
    return notes
