"""The rounds: every row's model timed once a round, in shuffled order, each in a fresh process."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from harness.process.interrupt import finishing
from harness.run.session import Session
from harness.storage import record
from harness.storage.record import MethodRecord, RoundRecord


def run_rounds(
    session: Session, upto: int | None = None, methods: Collection[str] | None = None
) -> None:
    """Time all rows that are ok in every round that is not on disk yet.

    Args:
        upto: the last round; None for the protocol's.
        methods: the rows to time; None for all.

    A row that fails in a round, or whose threads ran elsewhere than asked, gets that as its outcome
    and is left out of the rounds that follow.
    """
    protocol = session.protocol
    timed = {
        row.method: row
        for row in session.folder.load_records()
        if row.outcome.kind == record.OK and (methods is None or row.method in methods)
    }
    before: dict[tuple[int, str], list[RoundRecord]] = {}
    for each in session.folder.load_rounds():
        before.setdefault((each.round, each.method), []).append(each)
    for round_ in range(1, (protocol.rounds if upto is None else upto) + 1):
        for method in protocol.order(round_, list(timed)):
            attempts = before.get((round_, method), [])
            if not _time(session, timed[method], round_, attempts):
                del timed[method]


def _time(session: Session, row: MethodRecord, round_: int, attempts: list[RoundRecord]) -> bool:
    """Time one row until an attempt is undisturbed or no more are allowed; False if it failed.

    Threads that ran elsewhere than asked are a disturbance, too, but one that must not count.
    """
    allowed = 1 + session.protocol.reruns
    tries = sum(each.outcome.kind == record.OK for each in attempts)
    while tries < allowed and not any(_is_good(each) for each in attempts):
        number = max((each.attempt for each in attempts), default=0) + 1
        with finishing(f"row {row.method} in round {round_}", session.show.note):
            timed = session.time(row, round_, number)
            session.folder.save_round(timed)
        attempts.append(timed)
        tries += 1
        if timed.outcome.kind not in (record.OK, record.INVALID):
            break
        if not _is_good(timed):
            what = ", ".join(sorted({disturbance.kind for disturbance in timed.disturbed}))
            why = what if timed.outcome.kind == record.OK else str(timed.outcome)
            session.show.note(f"{row.label}: round {round_} was disturbed ({why})")
    if any(each.outcome.kind == record.OK for each in attempts):
        return True
    session.folder.save_record(replace(row, outcome=attempts[-1].outcome))
    session.show.note(f"{row.label}: round {round_}: {attempts[-1].outcome}")
    return False


def _is_good(attempt: RoundRecord) -> bool:
    return attempt.outcome.kind == record.OK and not attempt.disturbed
