"""What INC's searches were told and what their records say that they did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.storage.plan import RunPlan
from harness.storage.record import NO_SOLUTION, MethodRecord


@dataclass(frozen=True)
class Told:
    """The options of one row's search.

    Attributes:
        sampling_size: how many images it was to calibrate on.
        calibration_images: how many it did; None where the record does not say.
    """

    method: str
    criterion: str
    tolerance: float
    max_trials: int
    timeout_s: float
    seed: int
    objective: str
    sampling_size: int
    calibration_images: int | None


def searches(plan: RunPlan, records: Sequence[MethodRecord]) -> list[Told]:
    """Return the searches that were made, in the table's order: with a model, or without a solution."""
    options = ((record, plan.search_options(record.method)) for record in records)
    return [
        _told(record, told, plan.config["tuning"])
        for record, told in options
        if told is not None and (record.optimize or record.outcome.kind == NO_SOLUTION)
    ]


def _told(record: MethodRecord, options: Mapping[str, Any], tuning: Mapping[str, Any]) -> Told:
    told = {**tuning, **options}  # a row may have options of its own
    chosen = record.optimize.quantization if record.optimize else None
    return Told(
        record.method,
        str(told["criterion"]),
        float(told["tolerance"]),
        int(told["max_trials"]),
        float(told.get("timeout_s") or 0),
        int(told["seed"]),
        str(told["objective"]),
        int(told["sampling_size"]),
        chosen.calibration_images if chosen else None,
    )


def taken_over(record: MethodRecord, run: str) -> str | None:
    """Return the run that a row's model is from, where that is another one than ``run``."""
    origin = (record.optimize.reused_from if record.optimize else None) or record.run
    return None if origin == run else origin


def shared_calibration(plan: RunPlan, records: Sequence[MethodRecord]) -> bool:
    """Say whether searches of this run took calibrations from a cache that an earlier one filled."""
    made = [each for each in searches(plan, [r for r in records if not taken_over(r, plan.run)])]
    return bool(plan.config["methods"]["shared_calibration"]) and len(made) > 1
