"""The reproducibility checklist says what the record says, and leaves open what it cannot know."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from harness.facts.typed import decode
from harness.report.artifact.answers import NO, NONE, OPEN, PARTLY, YES, Answer, answers
from harness.report.artifact.checklist import QUESTIONS, checklists, counts, to_markdown
from harness.report.artifact.effort import effort
from harness.report.evidence import RunDigests
from harness.storage.plan import RANDOM_WEIGHTS, Checkout
from harness.storage.record import Outcome, RoofRecord, Split
from harness.storage.served.server_record import ServeFacts, ServerRecord
from harness.storage.stage_facts import RoofFacts
from harness.storage.store import RunFolder
from harness.table.loaded_run import LoadedRun, load_run
from helpers.other_machine import edit
from helpers.sample_records import together
from helpers.sample_run import UNSOLVED, made_run

DIGESTS = RunDigests("1" * 64, "2" * 64, "3" * 64)
COMMAND = "./run.sh method=[fp32]"


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    return load_run(made_run(tmp_path_factory.mktemp("rounds")))


@pytest.fixture(scope="module")
def one_pass(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    return load_run(made_run(tmp_path_factory.mktemp("pass"), rounds=0))


def facts(run: LoadedRun) -> dict[str, Answer]:
    return answers(run, DIGESTS, COMMAND)


def test_every_question_has_an_answer_and_every_fact_a_question(rounds: LoadedRun) -> None:
    named = {answer for questions in QUESTIONS.values() for _, answer in questions}
    assert {name for name in named if isinstance(name, str)} == set(facts(rounds))
    lists = checklists(rounds, DIGESTS, COMMAND)
    items = [item for one in lists for item in one.items]
    assert sum(counts(lists).values()) == len(items) > 60
    assert all(item.answer.said.endswith(".") for item in items)
    titles = " ".join(one.title for one in lists)
    assert all(name in titles for name in ("ACM", "MLSys", "NeurIPS"))


def test_what_only_a_person_can_answer_is_open(rounds: LoadedRun) -> None:
    lists = checklists(rounds, DIGESTS, COMMAND)
    found = {item.question for one in lists for item in one.items if item.answer.status == OPEN}
    for question in (
        "Artifacts Available",
        "Results Validated – Reproduced (other team, this artifact)",
        "1. Claims",
        "9. Code of ethics",
        "A clear explanation of any assumptions",
    ):
        assert question in found


def test_variation_is_claimed_only_where_rounds_were_measured(
    rounds: LoadedRun, one_pass: LoadedRun
) -> None:
    assert facts(rounds)["spread"].status == YES
    assert "3 rounds" in facts(rounds)["runs"].said
    assert facts(one_pass)["spread"].status == NO
    assert "one validation pass" in facts(one_pass)["runs"].said


def test_licences_are_known_only_where_all_files_are_those_of_the_repository(
    rounds: LoadedRun,
) -> None:
    def status(rec: str, params: str | None) -> str:
        workload = structs.replace(rounds.plan.workload, rec=rec, params=params)
        config = structs.replace(rounds.plan.config, workload=workload)
        plan = replace(rounds.plan, config=config)
        return facts(replace(rounds, plan=plan))["data_licence"].status

    assert status("benchmarks/bundled/x.rec", "benchmarks/bundled/y.params") == YES
    assert status("benchmarks/bundled/x.rec", "/home/me/y.params") == OPEN
    assert status("/data/x.rec", "benchmarks/bundled/y.params") == OPEN


def test_rows_without_a_result_are_named(rounds: LoadedRun) -> None:
    answer = facts(rounds)["rows"]
    assert answer.status == YES and f"{UNSOLVED} (no solution" in answer.said
    stopped = replace(rounds, records=rounds.records[:-1])
    assert facts(stopped)["rows"].status == PARTLY
    assert f"Without {UNSOLVED}" in facts(rounds)["time"].said


def test_images_that_were_tuned_and_validated_on_are_no_split(rounds: LoadedRun) -> None:
    for overlap, status in ((True, NO), (False, YES)):
        run = replace(rounds, plan=replace(rounds.plan, tuning_overlap=overlap))
        assert facts(run)["split"].status == status


def test_what_the_record_lacks_is_not_claimed(rounds: LoadedRun, tmp_path: Path) -> None:
    assert facts(rounds)["training"].status == NONE
    assert facts(rounds)["binary"].status == PARTLY  # no digest of a wheel
    assert facts(rounds)["data_access"].status == OPEN  # not the bundled workload
    random = replace(rounds, plan=replace(rounds.plan, warnings=(RANDOM_WEIGHTS,)))
    assert facts(random)["model"].status == PARTLY
    unsaid = load_run(made_run(tmp_path, rounds=0, profiled=False))  # no process has its seconds
    assert facts(unsaid)["time"].status == NO
    assert facts(unsaid)["energy"].status == NO


def test_the_effort_is_of_all_processes_and_of_several_at_once_that_of_the_longest(
    tmp_path: Path,
) -> None:
    folder = made_run(tmp_path)
    alone = effort(load_run(folder))
    assert (alone.seconds, alone.memory_bytes) == (5.0, 10**6)  # of five profiles
    assert not any("instances" in said for said in alone.left_out)
    folder.save(together("fp32", 1, Split(2, 2), [1.0, 1.2]))  # 60 s, 0.1 GB each
    served = [
        ServeFacts(batch_s=0.01, settled=True, trials=[], seconds=seconds, peak_rss_bytes=2 * 10**8)
        for seconds in (20.0, 30.0)
    ]
    search = ServerRecord(
        folder.id, "fp32", Split(2, 2), Outcome("ok"), [[0], [1]], [], facts=served
    )
    folder.save(search)
    roof = {"kernels": [], "missing": {}, "disturbed": [], "seconds": 7.0}
    folder.save(RoofRecord(folder.id, Outcome("ok"), decode(roof, RoofFacts)))
    run = load_run(folder)
    whole = effort(run)
    assert (whole.seconds, whole.memory_bytes) == (5.0 + 60 + 30 + 7, 4 * 10**8)
    answer = facts(run)["time"]
    assert answer.status == PARTLY and "took 102 s, at most 0.4 GB" in answer.said
    assert "Without attempts at instances that do not count." in answer.said


def test_energy_that_was_read_is_not_said_to_be_unmeasured(
    rounds: LoadedRun, tmp_path: Path
) -> None:
    assert facts(rounds)["energy"].said.endswith("Energy was not measured.")
    folder = made_run(tmp_path)

    def read(record: Any) -> None:
        conditions = record["facts"]["timed"][0]["conditions"]
        conditions.update(energy_j=50.0, allocator="/usr/lib/libc.so.6")

    edit(folder.path / "rounds" / "001_fp32_1.json", read)
    said = facts(load_run(RunFolder(folder.path)))["energy"].said
    assert "was read: the Conditions table has it" in said and "not measured" not in said


def test_the_program_is_named_with_its_commit(rounds: LoadedRun) -> None:
    assert facts(rounds)["program"].said.endswith("; the commit was not recorded.")
    checkout = Checkout(commit="ab" * 20, clean=True)
    known = replace(rounds, plan=replace(rounds.plan, checkout=checkout))
    assert facts(known)["program"].said.endswith(f"; commit {'ab' * 20} as committed.")


def test_markdown_ticks_what_the_record_answers(tmp_path: Path) -> None:
    hostile = "<script>|`x`"
    run = load_run(made_run(tmp_path, labels={"fp32": hostile}))
    lists = checklists(run, DIGESTS, COMMAND)
    text = to_markdown(lists)
    status = "(yes|in part|no|does not apply|open)"
    ticked, empty = (
        re.findall(rf"^- \[{box}\] .*?: {status}\. ", text, re.MULTILINE) for box in "x "
    )
    assert set(ticked) == {YES} and len(ticked) == counts(lists)[YES]
    assert YES not in empty and OPEN in empty
    assert "<script>" not in text and "\\`x\\`" in text
