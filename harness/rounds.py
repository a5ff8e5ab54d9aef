"""The rounds: every row's model timed once a round, in shuffled order, each in a fresh process."""

from __future__ import annotations

from dataclasses import replace

from harness import record
from harness.record import MethodRecord, RoundRecord
from harness.session import Session


def run_rounds(session: Session) -> None:
    """Time all rows that are ok in every round that is not on disk yet.

    A row that fails in a round, or whose threads ran elsewhere than asked, gets that as its outcome
    and is left out of the rounds that follow.
    """
    protocol = session.protocol
    timed = {r.method: r for r in session.folder.load_records() if r.outcome.kind == record.OK}
    before: dict[tuple[int, str], list[RoundRecord]] = {}
    for each in session.folder.load_rounds():
        before.setdefault((each.round, each.method), []).append(each)
    for round_ in range(1, protocol.rounds + 1):
        for method in protocol.order(round_, list(timed)):
            attempts = before.get((round_, method), [])
            if not _time(session, timed[method], round_, attempts):
                del timed[method]


def _time(session: Session, row: MethodRecord, round_: int, attempts: list[RoundRecord]) -> bool:
    """Time one row until an attempt is undisturbed or no more are allowed; False if it failed."""
    good = [each for each in attempts if each.outcome.kind == record.OK]
    while not any(not each.disturbed for each in good) and len(good) <= session.protocol.reruns:
        number = max((each.attempt for each in attempts), default=0) + 1
        timed = session.time(row, round_, number)
        session.folder.save_round(timed)
        attempts.append(timed)
        if timed.outcome.kind != record.OK:
            session.folder.save_record(replace(row, outcome=timed.outcome))
            session.show.note(f"{row.label}: round {round_}: {timed.outcome}")
            return False
        good.append(timed)
        if timed.disturbed:
            what = ", ".join(sorted({each["kind"] for each in timed.disturbed}))
            session.show.note(f"{row.label}: round {round_} was disturbed ({what})")
    return True
