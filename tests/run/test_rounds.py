"""The rounds' schedule, with a session that measures nothing: repeated, resumed, given up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from harness.facts.typed import changed
from harness.run.rounds import run_rounds
from harness.run.session import Session
from harness.storage.configuration import Protocol
from harness.storage.record import MethodRecord, Outcome, RoundRecord
from harness.storage.store import RunFolder
from helpers.sample_records import LOAD, measured, timed

Answer = Callable[[str, int, int], RoundRecord]
PROTOCOL = Protocol(name="made", rounds=3, batches=10, warmup_s=1.0, reruns=2, seed=1)


@dataclass
class Notes:
    """A screen that keeps what is said."""

    texts: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.texts.append(text)


@dataclass
class Fake:
    """What ``run_rounds`` needs of a session; ``answer`` stands for the worker."""

    folder: RunFolder
    answer: Answer
    protocol: Protocol = PROTOCOL
    show: Notes = field(default_factory=Notes)
    asked: list[tuple[int, str, int]] = field(default_factory=list)

    def measure(self, row: MethodRecord, round_: int, attempt: int) -> RoundRecord:
        self.asked.append((round_, row.method, attempt))
        return self.answer(row.method, round_, attempt)


def quiet(method: str, round_: int, attempt: int) -> RoundRecord:
    return timed(method, round_, [1.0] * 10, attempt)


def loud(method: str, round_: int, attempt: int) -> RoundRecord:
    return timed(method, round_, [2.0] * 10, attempt, disturbed=[LOAD])


def conduct(path: Path, answer: Answer, methods: str = "abc", **changes: Any) -> Fake:
    folder = RunFolder(path)
    if not folder.load_records():
        for position, name in enumerate(methods):
            folder.save_record(replace(measured(name, 1.0), position=position))
    fake = Fake(folder, answer, changed(PROTOCOL, **changes))
    run_rounds(cast(Session, fake))
    return fake


def test_every_method_once_a_round_in_the_protocols_order(tmp_path: Path) -> None:
    fake = conduct(tmp_path, quiet)
    expected = [(n, m, 1) for n in (1, 2, 3) for m in PROTOCOL.order(n, "abc")]
    assert fake.asked == expected
    assert len(fake.folder.load_rounds()) == 9


def test_nothing_is_timed_twice_when_a_run_continues(tmp_path: Path) -> None:
    conduct(tmp_path, quiet, rounds=2)
    assert {n for n, _, _ in conduct(tmp_path, quiet).asked} == {3}
    assert conduct(tmp_path, quiet).asked == []


def test_a_disturbed_round_is_repeated_at_once_until_it_is_quiet(tmp_path: Path) -> None:
    def once(method: str, round_: int, attempt: int) -> RoundRecord:
        return (loud if (method, round_, attempt) == ("b", 2, 1) else quiet)(
            method, round_, attempt
        )

    fake = conduct(tmp_path, once)
    at = fake.asked.index((2, "b", 1))
    assert fake.asked[at + 1] == (2, "b", 2)
    assert len(fake.asked) == 10


def test_a_machine_that_is_never_quiet_is_given_up_on(tmp_path: Path) -> None:
    fake = conduct(tmp_path, loud, methods="a")
    assert fake.asked == [(n, "a", attempt) for n in (1, 2, 3) for attempt in (1, 2, 3)]
    assert conduct(tmp_path, loud).asked == []  # nor is it tried again when the run continues
    assert conduct(tmp_path / "none", loud, methods="a", reruns=0).asked[:2] == [
        (1, "a", 1),
        (2, "a", 1),
    ]


def test_a_row_that_fails_in_a_round_is_left_out_and_says_so(tmp_path: Path) -> None:
    def dies(method: str, round_: int, attempt: int) -> RoundRecord:
        if (method, round_) == ("b", 2):
            return RoundRecord(
                "r", "b", 2, attempt, Outcome("failed", "killed by SIGKILL", "a.log")
            )
        return quiet(method, round_, attempt)

    fake = conduct(tmp_path, dies)
    assert (3, "b", 1) not in fake.asked and (3, "a", 1) in fake.asked
    outcomes = {r.method: str(r.outcome) for r in fake.folder.load_records()}
    assert outcomes == {"a": "ok", "b": "failed: killed by SIGKILL", "c": "ok"}
    # made good by a run that continues: the row is validated again, then its rounds go on
    fake.folder.save_record(replace(measured("b", 1.0), position=1))
    again = conduct(tmp_path, quiet)
    assert again.asked == [(2, "b", 2), (3, "b", 1)]


def test_a_repetition_that_fails_says_what_counts(tmp_path: Path) -> None:
    def then_dies(first: Answer) -> Answer:
        def answer(method: str, round_: int, attempt: int) -> RoundRecord:
            if attempt == 1:
                return first(method, round_, attempt)
            return RoundRecord("r", method, round_, attempt, Outcome("failed", "killed"))

        return answer

    kept = conduct(tmp_path / "disturbed", then_dies(loud), "a", rounds=1)
    assert kept.folder.load_records()[0].outcome.kind == "ok"
    assert any("the disturbed one counts" in text for text in kept.show.texts)
    lost = conduct(tmp_path / "misplaced", then_dies(misplaced), "a", rounds=1)
    assert lost.folder.load_records()[0].outcome.kind == "failed"
    assert not any("counts" in text for text in lost.show.texts)


def test_rows_that_are_not_ok_are_not_timed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save_record(replace(measured("a", 1.0), outcome=Outcome("invalid", "NaN")))
    assert conduct(tmp_path, quiet).asked == []


def misplaced(method: str, round_: int, attempt: int) -> RoundRecord:
    reason = "the thread policy did not take effect: they take turns"
    return RoundRecord("r", method, round_, attempt, Outcome("invalid", reason))


def test_misplaced_threads_are_tried_again_and_never_count(tmp_path: Path) -> None:
    def once(method: str, round_: int, attempt: int) -> RoundRecord:
        return (misplaced if (round_, attempt) == (2, 1) else quiet)(method, round_, attempt)

    fake = conduct(tmp_path, once, methods="a")
    assert fake.asked == [(1, "a", 1), (2, "a", 1), (2, "a", 2), (3, "a", 1)]
    assert fake.folder.load_records()[0].outcome.kind == "ok"


def test_threads_that_stay_misplaced_make_the_row_invalid(tmp_path: Path) -> None:
    fake = conduct(tmp_path, misplaced, methods="a")
    assert fake.asked == [(1, "a", 1), (1, "a", 2), (1, "a", 3)]
    assert str(fake.folder.load_records()[0].outcome).startswith("invalid: the thread policy")
    fake.folder.save_record(measured("a", 1.0))  # what a run that continues makes of it
    assert conduct(tmp_path, quiet).asked[0] == (1, "a", 4)
