"""The end of a job as facts for a record, a row's outcome, or an error of the whole run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from harness.errors import HarnessError, InputError
from harness.facts.typed import Facts, Mistyped, decode
from harness.process import executor
from harness.storage import outcomes
from harness.storage.record import MethodRecord, Outcome

StageFacts = TypeVar("StageFacts", bound=Facts)


def stage_result(
    ended: executor.Ended, kind: type[StageFacts], log: str
) -> tuple[Outcome, StageFacts | None]:
    """Return the outcome of a stage of one row, and its facts with those of its process.

    The facts are None if the stage did not finish, or if a record with them could not be read back.
    """
    outcome = job_outcome(ended, log)
    if ended.kind != executor.DONE:
        return outcome, None
    process = {
        "seconds": ended.seconds,
        "peak_rss_bytes": ended.peak_rss_bytes,
        "confined": ended.confined,
    }
    try:
        return outcome, decode({**ended.value, **process}, kind)
    except Mistyped as error:
        return Outcome(outcomes.FAILED, f"the method says that {error}"), None


def job_outcome(ended: executor.Ended, log: str) -> Outcome:
    """Return the outcome that a job gives its row."""
    if ended.kind == executor.DONE:
        return Outcome(outcomes.OK)
    if ended.kind == executor.TIMEOUT:
        return Outcome(outcomes.TIMEOUT, ended.message, log)
    if ended.error and ended.error.kind == outcomes.NO_SOLUTION:
        return Outcome(outcomes.NO_SOLUTION, ended.message, log, ended.error.trials)
    if ended.error and ended.error.kind == outcomes.REFUSED:
        return Outcome(outcomes.REFUSED, ended.message, log)
    if ended.error and ended.error.kind == outcomes.TIMEOUT:
        return Outcome(outcomes.TIMEOUT, ended.message, log)
    return Outcome(outcomes.FAILED, ended.message, log)


def require_answer(
    ended: executor.Ended, kind: type[StageFacts], activity: str, log: Path
) -> StageFacts:
    """Return the answer of a job that the whole run depends on.

    Raises:
        InputError: the job found the user's input at fault.
        HarnessError: the job failed otherwise, or answered something else.
    """
    failed = f"{activity} failed"
    if ended.kind == executor.DONE:
        try:
            return decode(ended.value, kind)
        except Mistyped as error:
            raise HarnessError(
                f"{failed}: the worker's answer is another one ({error}); start it again (log: {log})"
            ) from None
    if ended.error and ended.error.kind == outcomes.INPUT:
        raise InputError(ended.message)
    raise HarnessError(f"{failed}: {ended.message}; start it again (log: {log})")


def with_faults(outcome: Outcome, faults: Sequence[str]) -> Outcome:
    """Return INVALID with the faults as its reason, or the outcome itself where there are none."""
    return Outcome(outcomes.INVALID, "; ".join(faults)) if faults else outcome


def with_known(row: MethodRecord, before: MethodRecord | None) -> MethodRecord:
    """Return a row with what an earlier record has measured of the same model beyond it."""
    if before is None or not same_model(before, row):
        return row
    return replace(
        row,
        validate=row.validate or before.validate,
        profile=row.profile or before.profile,
        history=row.history or before.history,
    )


def same_model(one: MethodRecord, other: MethodRecord) -> bool:
    """Say whether two records are of one model, byte by byte."""
    models = [[file.sha256 for file in row.optimize.model] for row in (one, other) if row.optimize]
    return len(models) == 2 and models[0] == models[1]
