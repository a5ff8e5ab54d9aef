"""A night is measured by one software: whether what is left of it still is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.errors import InputError
from harness.nightly.judgements import stored_verdicts
from harness.storage.outcomes import OK
from harness.storage.plan import RunPlan
from harness.storage.same_run import differences, software_differences
from harness.storage.store import RunFolder

LISTED = 4


def check_going_on(folder: RunFolder, now: RunPlan, note: Callable[[str], None]) -> None:
    """Refuse to measure the rest of a night by other software than its beginning.

    Its plan would name software that only a part of it had, and a regression would begin in the wrong
    night. A night that is measured, and was not judged, may go on: it is judged, and ``note`` is told.

    Args:
        now: the plan of the night as it would begin now.

    Raises:
        InputError: the code, the packages, the kernel or the microcode changed; the message has the keys.
    """
    before = folder.load_plan()
    changes = [] if before is None else software_differences(before, now)
    if before is None or not changes:
        return
    verdicts, is_measured = stored_verdicts(folder), _is_measured(folder, before)
    if verdicts is not None and verdicts.is_final and is_measured:
        return
    has_suspects = verdicts is not None and verdicts.has_verdicts and not verdicts.is_final
    if not is_measured or has_suspects or differences(before, now):
        raise _refusal(folder, changes)
    note(
        f"warning: run {folder.id} was measured by other software than judges it now ({_some(changes)})"
    )


def require_one_software(folder: RunFolder, now: RunPlan) -> None:
    """Refuse to measure for a night by other software than it began with.

    Args:
        now: the plan of what is to be measured.

    Raises:
        InputError: as ``check_going_on``.
    """
    before = folder.load_plan()
    changes = [] if before is None else software_differences(before, now)
    if changes:
        raise _refusal(folder, changes)


def _refusal(folder: RunFolder, changes: Sequence[str]) -> InputError:
    return InputError(
        f"run {folder.id} began with other software ({_some(changes)}), and a night is measured by "
        "one: leave run.id out to begin a new night; what was measured stays"
    )


def _some(changes: Sequence[str]) -> str:
    return "; ".join(changes[:LISTED]) + ("; ..." if len(changes) > LISTED else "")


def _is_measured(folder: RunFolder, plan: RunPlan) -> bool:
    """Return whether every row of a night is finished, and timed in each round."""
    records = {record.method: record for record in folder.load_records()}
    if not all(name in records and records[name].outcome.finished for name in plan.methods):
        return False
    timed = {name for name, record in records.items() if record.outcome.kind == OK}
    rounds = folder.load_rounds()
    done = {(each.round, each.method) for each in rounds if each.outcome.kind == OK}
    return len(done) >= plan.config.protocol.rounds * len(timed)
