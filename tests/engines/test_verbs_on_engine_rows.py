"""The verbs take rows of other engines as any other: one real run for all of them."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.command_line import ONE_THREAD, OWN, CommandLine, Ended
from helpers.engine_python import require_rows
from helpers.other_machine import on_machine

pytestmark = pytest.mark.slow

ROWS = ("fp32", "onnxruntime_fp32", "onnxruntime_int8")
WORDS = ("workload=tiny", *ONE_THREAD, "--conf", str(OWN), "protocol=quick", "protocol.rounds=2",
         "protocol.batches=2", "protocol.warmup_s=0.1", "protocol.sweep=[1]",
         "protocol.sweep_batches=8", "protocol.profile_batches=0")  # fmt: skip
MACHINE = "mine-1c"


@pytest.fixture(scope="session")
def engine_run(session_run: Callable[..., Ended]) -> Ended:
    require_rows("onnxruntime")
    return session_run(*WORDS, f"method=[{','.join(ROWS)}]")


@pytest.fixture(scope="session")
def plain_run(session_run: Callable[..., Ended]) -> Ended:
    return session_run(*WORDS, "method=[fp32]")


def test_table_list_and_report_have_them(cli: CommandLine, engine_run: Ended) -> None:
    assert engine_run.outcomes == dict.fromkeys(ROWS, "ok"), engine_run.err
    folder = cli.copy_of(engine_run)
    table = cli("table", folder.id)
    assert table.code == 0 and "ONNX Runtime int8" in table.out
    assert folder.id in cli("list").out
    ended = cli("report", folder.id)
    assert ended.code == 0, ended.err
    page = Path(ended.out.splitlines()[0])
    assert "Which engine?" in page.read_text()
    with page.with_name("engines.csv").open(newline="") as handle:
        lines = list(csv.DictReader(handle))
    assert len(lines) == 2 * len(ROWS)  # at both batch sizes
    assert {line["engine"] for line in lines} == {"MXNet", "onnxruntime"}


def test_runs_with_and_without_them_compare(
    cli: CommandLine, engine_run: Ended, plain_run: Ended
) -> None:
    here = on_machine(engine_run.folder, cli.results, "here-1c")
    there = on_machine(engine_run.folder, cli.results, "there-1c")
    plain = on_machine(plain_run.folder, cli.results, "plain-1c")
    names = [f"{run.path.parent.name}/{run.id}" for run in (here, there, plain)]
    ended = cli("compare", *names, "name=all")
    assert ended.code == 0, ended.err
    with (cli.results / "comparisons" / "all" / "comparison.csv").open(newline="") as handle:
        lines = [line for line in csv.DictReader(handle) if line["method"] == "onnxruntime_int8"]
    assert [bool(line["images_per_s"]) for line in lines] == [True, True, False]


def test_a_pack_travels_and_its_models_are_measured_again(
    cli: CommandLine, engine_run: Ended, tmp_path: Path
) -> None:
    folder = cli.copy_of(engine_run)
    packed = tmp_path / "models.zip"
    assert cli("pack", f"run={folder.id}", f"to={packed}", "models=true").code == 0
    other = CommandLine(tmp_path / "other", cli.cache)
    try:
        ended = other("import", f"file={packed}")
        assert ended.code == 0, ended.err
        assert other("verify", folder.id).code == 0
        again = other(*WORDS, f"method=[{','.join(ROWS)}]", f"run.reuse_tuned={folder.id}",
                      f"machine={MACHINE}")  # fmt: skip
        assert again.code == 0, again.err
        (plan,) = other.results.glob(f"{MACHINE}/*/plan.json")
        taken = cli.results.parent / "other" / MACHINE / plan.parent.name
        assert len([*(taken / "methods" / "onnxruntime_int8").glob("network-*.onnx")]) == 1
    finally:
        other.close()


def test_a_pack_for_review_has_the_section_and_the_locks(
    cli: CommandLine, engine_run: Ended, tmp_path: Path
) -> None:
    folder = cli.copy_of(engine_run)
    packed = tmp_path / "review.zip"
    ended = cli("pack", f"run={folder.id}", "for=review", f"to={packed}")
    assert ended.code == 0, ended.err
    with zipfile.ZipFile(packed) as archive:
        names = set(archive.namelist())
    assert "review/report/engines.csv" in names
    assert "review/requirements/engines/onnxruntime.lock" in names
    assert not [name for name in names if name.endswith(".onnx")]


def test_a_night_and_its_history_have_them(cli: CommandLine) -> None:
    require_rows("onnxruntime")
    words = ("nightly", *WORDS, "method=[fp32,onnxruntime_fp32]", f"machine={MACHINE}")
    for night in ("one", "two"):
        ended = cli(*words, f"run.id={night}", "nightly.trust_disturbed=true")
        assert ended.code in (0, 1), ended.err  # a busy machine may see a regression
    assert "onnxruntime_fp32" in (cli.results / MACHINE / "two" / "nightly.json").read_text()
    history = cli("history")
    assert history.code == 0 and "one" in history.out and "two" in history.out
