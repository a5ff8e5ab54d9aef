"""The settings of searches, the criterion that they tune for, and what rows exclude."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.storage.method_options import EngineSearch, SearchOptions, Tuning, as_tuple
from harness.storage.outcomes import NO_SOLUTION, OK
from harness.storage.plan import RANDOM_WEIGHTS, RunPlan
from harness.storage.record import MethodRecord
from harness.table.rows import Row

MOST_EXCLUDED = 4  # operators in the note on a row


@dataclass(frozen=True)
class SearchSettings:
    """The settings of one row's search.

    Attributes:
        sampling_size: how many images it should calibrate on, at most.
        calibration_images: how many it did calibrate on; None where the record does not say.
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


def searches(plan: RunPlan, records: Sequence[MethodRecord]) -> list[SearchSettings]:
    """Return the searches that INC made in MXNet, in the table's order: also without a solution."""
    return [
        _settings(record, own, plan.config.tuning)
        for record, own in _made(plan, records)
        if isinstance(own, SearchOptions)
    ]


def engine_searches(
    plan: RunPlan, records: Sequence[MethodRecord]
) -> list[tuple[MethodRecord, EngineSearch]]:
    """Return the searches that other engines made, with their options; as ``searches``."""
    return [(record, own) for record, own in _made(plan, records) if isinstance(own, EngineSearch)]


def _made(
    plan: RunPlan, records: Sequence[MethodRecord]
) -> Iterator[tuple[MethodRecord, SearchOptions | EngineSearch | None]]:
    for record in records:
        if record.optimize or record.outcome.kind == NO_SOLUTION:
            yield record, plan.search_options(record.method)


def _settings(record: MethodRecord, options: SearchOptions, tuning: Tuning) -> SearchSettings:
    chosen = record.optimize.quantization if record.optimize else None
    return SearchSettings(
        record.method,
        options.criterion,
        float(options.tolerance),
        options.max_trials,
        float(tuning.timeout_s if options.timeout_s is None else options.timeout_s),
        tuning.seed if options.seed is None else options.seed,
        " and ".join(as_tuple(options.objective or tuning.objective)),
        max(as_tuple(options.sampling_size or tuning.sampling_size)),
        chosen.calibration_images if chosen else None,
    )


def taken_over(record: MethodRecord, run: str) -> str | None:
    """Return the run that a row's model is from, where that is another one than ``run``."""
    origin = (record.optimize.reused_from if record.optimize else None) or record.run
    return None if origin == run else origin


def shared_calibration(plan: RunPlan, records: Sequence[MethodRecord]) -> bool:
    """Say whether searches of this run took calibrations from a cache that an earlier one filled."""
    own = searches(plan, [record for record in records if not taken_over(record, plan.run)])
    return plan.config.methods.shared_calibration and len(own) > 1


def least_accepted(baseline: float, criterion: str, tolerance: float) -> float:
    """Return the accuracy that INC accepts: ``Objective.compare`` of neural-compressor 1.13.1."""
    return baseline * (1 - tolerance) if criterion == "relative" else baseline - tolerance


def is_accurate(row: Row, tuning: Tuning) -> bool | None:
    """Say whether a row's top-1 on all images meets the criterion that INC tunes for.

    None where no loss is known. A row with no image right does not meet it.
    """
    if row.top1 is None or row.top1_rel_loss_pct is None:
        return None
    if row.top1 == 0:
        return False
    baseline = row.top1 / (1 - row.top1_rel_loss_pct / 100)
    least = least_accepted(baseline, tuning.criterion, tuning.tolerance)
    return row.top1 >= least or row.top1_rel_loss_pct == 0


def is_accurate_enough(row: Row, plan: RunPlan) -> bool:
    """Say whether a row is known to meet the criterion.

    Random weights meet any criterion: their accuracies mean nothing.
    """
    return RANDOM_WEIGHTS in plan.warnings or is_accurate(row, plan.config.tuning) is True


def best_accurate(plan: RunPlan, rows: Sequence[Row]) -> Row | None:
    """Return the row with the most images per second among those that meet the criterion.

    The baseline is none of them.
    """
    fit = [
        row
        for row in rows
        if row.images_per_s and row.method != plan.config.baseline and is_accurate_enough(row, plan)
    ]
    return max(fit, key=lambda row: row.images_per_s or 0.0, default=None)


def excluded_notes(records: Sequence[MethodRecord]) -> Iterator[str]:
    """Say of each row what it left out of int8; not of rows of before operators were described."""
    for record in records:
        chosen = record.optimize.quantization if record.optimize else None
        if record.outcome.kind != OK or not chosen or not chosen.excluded_are:
            continue
        names = chosen.excluded
        more = len(names) - MOST_EXCLUDED
        rest = f"; and {more} more" if more > 0 else ""
        yield f"{record.label} keeps out of int8: {'; '.join(names[:MOST_EXCLUDED])}{rest}."
