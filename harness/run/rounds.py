"""Rounds: each measures every row's model once, in shuffled order, in fresh processes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TypeVar

from harness.process.interrupt import finishing
from harness.run.session import Session
from harness.storage import outcomes
from harness.storage.record import InstancesRecord, MethodRecord, RoundRecord

Attempt = TypeVar("Attempt", RoundRecord, InstancesRecord)


def run_rounds(
    session: Session, upto: int | None = None, methods: Collection[str] | None = None
) -> None:
    """Measure all rows whose outcome is ok in every round that is not on disk yet.

    A row that fails in a round, or whose threads ran on other CPUs than configured, gets that as its
    outcome and is left out of the following rounds.

    Args:
        upto: the last round; None for the protocol's.
        methods: the rows to measure; None for all.
    """
    protocol = session.protocol
    rows = {
        row.method: row
        for row in session.folder.load_records()
        if row.outcome.kind == outcomes.OK and (methods is None or row.method in methods)
    }
    before: dict[tuple[int, str], list[RoundRecord]] = {}
    for attempt in session.folder.load_rounds():
        before.setdefault((attempt.round, attempt.method), []).append(attempt)
    for round_ in range(1, (protocol.rounds if upto is None else upto) + 1):
        for method in protocol.order(round_, list(rows)):
            attempts = before.get((round_, method), [])
            if not _measure(session, rows[method], round_, attempts):
                del rows[method]


def _measure(session: Session, row: MethodRecord, round_: int, attempts: list[RoundRecord]) -> bool:
    def measure(number: int) -> RoundRecord:
        newest = session.measure(row, round_, number)
        session.folder.save(newest)
        return newest

    what = f"row {row.method} in round {round_}"
    return measure_until_undisturbed(
        session, row, attempts, measure, what, f"{row.label}: round {round_}"
    )


def measure_until_undisturbed(
    session: Session,
    row: MethodRecord,
    attempts: list[Attempt],
    measure: Callable[[int], Attempt],
    what: str,
    title: str,
) -> bool:
    """Measure one row until an attempt is undisturbed or none is left; return False if it failed.

    An attempt whose threads ran on other CPUs than configured is disturbed, too, and never counts.

    Args:
        attempts: those before; new ones are added.
        measure: makes the attempt of a number, from 1, and saves its record.
        what: what a stop waits for.
        title: begins what is noted of an attempt.
    """
    allowed = 1 + session.protocol.reruns
    tries = sum(attempt.outcome.kind == outcomes.OK for attempt in attempts)
    while tries < allowed and not any(map(_is_good, attempts)):
        number = max((attempt.attempt for attempt in attempts), default=0) + 1
        with finishing(what, session.show.note):
            newest = measure(number)
        attempts.append(newest)
        tries += 1
        if newest.outcome.kind not in (outcomes.OK, outcomes.INVALID):
            if any(attempt.outcome.kind == outcomes.OK for attempt in attempts):
                session.show.note(f"{title} failed ({newest.outcome}); the disturbed one counts")
            break
        if not _is_good(newest):
            kinds = ", ".join(sorted({disturbance.kind for disturbance in newest.disturbed}))
            reason = kinds if newest.outcome.kind == outcomes.OK else str(newest.outcome)
            session.show.note(f"{title} was disturbed ({reason})")
    if any(attempt.outcome.kind == outcomes.OK for attempt in attempts):
        return True
    session.folder.save_record(replace(row, outcome=attempts[-1].outcome))
    session.show.note(f"{title}: {attempts[-1].outcome}")
    return False


def _is_good(attempt: RoundRecord | InstancesRecord) -> bool:
    return attempt.outcome.kind == outcomes.OK and not attempt.disturbed
