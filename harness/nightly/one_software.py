"""A night is measured by one software: whether one that goes on still has that of its beginning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from harness.errors import InputError
from harness.nightly.entry import NightEntry, bare_entry, list_changes, software
from harness.nightly.judgements import stored_verdicts
from harness.storage.outcomes import OK
from harness.storage.plan import RunPlan
from harness.storage.same_run import environment
from harness.storage.store import RunFolder

LISTED = 4


def require_one_software(folder: RunFolder, now: RunPlan, note: Callable[[str], None]) -> None:
    """Refuse to measure the rest of a night by other software than its beginning.

    Its plan would name software that only a part of it had, and a regression would begin in the wrong
    night. A night that is measured, and was not judged, may go on: it is judged, and ``note`` is told.

    Args:
        now: the plan of the night as it would begin now.

    Raises:
        InputError: the code, the packages, the kernel or the microcode changed; the message has the keys.
    """
    verdicts = stored_verdicts(folder)
    if folder.load_plan() is None or (verdicts is not None and verdicts.is_final):
        return
    before = bare_entry(folder)
    changes = list_changes(_shared(before), _shared(replace(before, environment=environment(now))))
    if not changes:
        return
    listed = "; ".join(changes[:LISTED]) + ("; ..." if len(changes) > LISTED else "")
    is_judged = verdicts is not None and verdicts.has_verdicts  # and rows are to be measured again
    if is_judged or not _is_measured(folder):
        raise InputError(
            f"run {folder.id} began with other software ({listed}), and a night is measured by one: "
            "leave run.id out to begin a new night; what was measured stays"
        )
    note(f"warning: run {folder.id} was measured by other software than judges it now ({listed})")


def _shared(entry: NightEntry) -> NightEntry:
    return replace(entry, environment=software(entry))


def _is_measured(folder: RunFolder) -> bool:
    """Return whether every row of a night is finished, and timed in each round."""
    plan = folder.load_plan()
    assert plan is not None
    records = {record.method: record for record in folder.load_records()}
    if not all(name in records and records[name].outcome.finished for name in plan.methods):
        return False
    timed = {name for name, record in records.items() if record.outcome.kind == OK}
    rounds = folder.load_rounds()
    done = {(each.round, each.method) for each in rounds if each.outcome.kind == OK}
    return len(done) >= plan.config.protocol.rounds * len(timed)
