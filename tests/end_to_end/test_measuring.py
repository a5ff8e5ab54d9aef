"""Measuring for real: rounds through the command line, and what is wrong in a process is caught."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from helpers.command_line import TINY, CommandLine, Ended, load, no_stray, same_after

pytestmark = pytest.mark.slow

ROUNDS = ("protocol=quick", "protocol.rounds=2", "protocol.batches=4", "protocol.warmup_s=0.2")
TWO_CORES = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs to put threads on the wrong one"
)


def table_of(ended: Ended, name: str = "table.csv") -> list[dict[str, str]]:
    with (ended.folder.path / name).open() as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def in_rounds(session_run: Callable[..., Ended]) -> Ended:
    return session_run(
        "method=[fp32,fp32_fused]",
        *TINY,
        *ROUNDS,
        "protocol.sweep=[1]",
        "protocol.profile_batches=1",
    )


def test_rounds_are_measured_and_printed_with_intervals(in_rounds: Ended) -> None:
    assert in_rounds.code == 0, in_rounds.err
    rounds = in_rounds.folder.load_rounds()
    assert [(r.round, r.method) for r in rounds] == [
        (1, "fp32"), (1, "fp32_fused"), (2, "fp32"), (2, "fp32_fused"),
    ]  # fmt: skip
    for each in rounds:
        assert each.facts is not None
        workload, single = each.facts.timed
        assert (workload.batch_size, single.batch_size) == (16, 1)
        assert (len(workload.forward_s), len(single.forward_s)) == (4, 20)
        assert len(workload.warmup_s) >= 1
        assert single.conditions.seconds >= sum(single.forward_s)
        assert each.facts.peak_rss_bytes > 1 << 20
    base, fused = table_of(in_rounds)
    assert (base["rounds"], fused["rounds"]) == ("2", "2")
    low, high = (float(fused[f"inference_speedup_{end}"]) for end in ("low", "high"))
    assert low <= float(fused["inference_speedup"]) <= high
    times = {
        name: np.array([r.facts.timed[0].forward_s for r in rounds if r.method == name])
        for name in ("fp32", "fp32_fused")
    }
    ratios = times["fp32"].mean(axis=1) / times["fp32_fused"].mean(axis=1)
    ratio = np.exp(np.log(ratios).mean())  # of two rounds that is the typical one
    assert float(fused["inference_speedup"]) == pytest.approx(ratio, abs=0.005)
    assert " [" in in_rounds.out and "## By batch size" in in_rounds.out
    assert {row["batch_size"] for row in table_of(in_rounds, "sizes.csv")} == {"16", "1"}


def test_plain_numbers_on_demand(in_rounds: Ended, cli: CommandLine) -> None:
    folder = cli.copy_of(in_rounds)
    plain = cli("table", f"run={folder.id}", "table.intervals=false")
    assert plain.code == 0, plain.err
    shown = [line for line in plain.out.splitlines() if line.startswith("|")]
    assert len(shown) > 4 and not any(" [" in line for line in shown)


def test_the_parts_of_the_validation_time_add_up(in_rounds: Ended) -> None:
    for record in in_rounds.records.values():
        facts = record.validate
        assert facts is not None
        parts = sum(map(sum, (facts.data_s, facts.forward_s, facts.rest_s)))
        assert 0.9 * facts.validation_s <= parts <= facts.validation_s
        assert facts.stored["conditions"]["busy"], "no thread is known to have worked"


def test_every_row_is_profiled(in_rounds: Ended) -> None:
    for record in in_rounds.records.values():
        assert record.profile is not None
        assert record.profile.cpu_isa.startswith("Intel")
        assert any(row.kind == "convolution" for row in record.profile.rows)
    kinds = {row["kind"] for row in table_of(in_rounds, "kernels.csv")}
    assert "convolution" in kinds
    assert "## How each row ran" in in_rounds.out


def test_a_run_stopped_in_its_rounds_goes_on_with_the_missing_ones(cli: CommandLine) -> None:
    words = ["method=[fp32,fp32_fused]", *TINY, *ROUNDS]
    started = cli.start(*words)
    first = started.makes("*/*/rounds/002_*.json")
    started.process.terminate()
    stopped = started.end()
    assert stopped.code == 3
    assert f"run.id={stopped.folder.id} goes on" in stopped.err
    no_stray(cli.results)
    folder = stopped.folder
    done = sorted((folder.path / "rounds").glob("*.json"))
    assert first in done and len(done) < 4
    before = same_after(done)
    ended = cli(f"run.id={folder.id}", "--conf", TINY[-1])
    assert ended.code == 0, ended.err
    assert same_after(done) == before
    assert {(r.round, r.method) for r in folder.load_rounds()} == {
        (n, m) for n in (1, 2) for m in ("fp32", "fp32_fused")
    }


def test_a_run_stopped_while_profiling_keeps_its_validation(cli: CommandLine) -> None:
    started = cli.start("method=[fp32]", *TINY, "protocol.profile_batches=1")
    started.says("fp32 no optimization: profiling")
    started.worker()
    started.process.terminate()
    stopped = started.end()
    assert stopped.code == 3
    kept = stopped.records["fp32"]
    assert (kept.outcome.kind, kept.profile) == ("interrupted", None)
    assert kept.optimize is not None and kept.validate is not None
    ended = cli(f"run.id={stopped.folder.id}", "--conf", TINY[-1])
    assert ended.code == 0, ended.err
    assert "validating" not in ended.err and "profiling" in ended.err
    assert ended.records["fp32"].validate == kept.validate


# --- models of an earlier run


def test_tuned_models_are_measured_again_and_not_made_again(cli: CommandLine) -> None:
    methods = "method=[mine,int8_never]"
    first = cli(methods, *TINY, "run.id=first")
    assert first.code == 0, first.err
    again = cli(methods, *TINY, "run.id=again", "run.reuse_tuned=first")
    assert again.code == 0, again.err
    assert "optimising" not in again.err
    rows = {
        run: list(csv.DictReader((path / "table.csv").read_text().splitlines()))
        for run in ("first", "again")
        for path in cli.results.glob(f"*/{run}")
    }
    for old, new in zip(rows["first"], rows["again"], strict=True):
        same = ("method", "top1", "top5", "cost_s", "outcome", "images")
        assert [old[key] for key in same] == [new[key] for key in same]
    assert rows["again"][1]["outcome"].startswith("no solution")
    labels = ", ".join(row["method"] for row in rows["again"])
    assert f"from run first (run.reuse_tuned): {labels}." in again.out

    third = cli(methods, *TINY, "run.id=third", "run.reuse_tuned=again")
    assert "from run first" in third.out  # where they were made, not where they were last used

    refused = cli(methods, *TINY, "run.reuse_tuned=first", "tuning.seed=1")
    assert refused.code == 2
    assert "config.tuning.seed: was 9527, is 1" in refused.err
    (path,) = cli.results.glob("*/first/methods/mine/model-0000.params")
    path.write_bytes(path.read_bytes()[:-1])
    refused = cli(methods, *TINY, "run.reuse_tuned=first")
    assert refused.code == 2
    assert "model-0000.params is missing or is not the model that was recorded" in refused.err
    assert {p.parent.name for p in cli.results.glob("*/*/plan.json")} == {"first", "again", "third"}


# --- what is wrong is caught


@contextmanager
def rival(cpus: set[int]) -> Iterator[None]:
    """Keep CPUs busy with a process each that never sleeps."""
    code = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
    busy = [subprocess.Popen([sys.executable, "-c", code, str(cpu)]) for cpu in cpus]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_a_second_load_on_the_cores_is_seen_repeated_and_counted(cli: CommandLine) -> None:
    with rival(os.sched_getaffinity(0)):
        ended = cli(
            "method=[fp32_fused]", "workload.images=640", *ROUNDS, "protocol.rounds=1",
            "protocol.batches=20", "protocol.reruns=1", "protocol.profile_batches=0",
        )  # fmt: skip
    assert ended.code == 0, ended.err
    rounds = ended.folder.load_rounds()
    assert [r.attempt for r in rounds] == [1, 2]
    assert all(r.disturbed for r in rounds)
    assert {found.kind for r in rounds for found in r.disturbed} >= {"core_load"}
    assert "2 of 2 timings in the rounds were disturbed" in ended.out
    assert "something else used the measured cores: close what else runs" in ended.out
    assert "round 1 was disturbed (" in ended.err


@TWO_CORES
def test_a_wrong_pin_makes_the_row_invalid(cli: CommandLine, tmp_path: Path) -> None:
    """Every worker is put on one CPU behind the harness's back, after its environment was made."""
    only = min(os.sched_getaffinity(0))
    pin = (
        "import os, sys\n"
        f"if 'harness.process.worker' in sys.orig_argv: os.sched_setaffinity(0, {{{only}}})"
    )
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text(pin)
    ended = cli(
        "method=[fp32_fused]", "workload.images=640", "protocol.profile_batches=0",
        "threads.count=2", "--conf", str(tmp_path / "own"),
    )  # fmt: skip
    assert ended.code == 3, ended.err
    outcome = ended.outcomes["fp32_fused"]
    assert outcome.startswith("invalid: the thread policy did not take effect: "), outcome
    (row,) = table_of(ended)
    assert row["top1"] == row["speedup"] == ""
    assert "the thread policy did not take effect" in ended.out


def test_a_disabled_instruction_set_makes_the_row_invalid(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["method=[fp32]", *TINY, "protocol.profile_batches=1"]
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    ended = cli(*words)
    assert ended.code == 3, ended.err
    assert ended.outcomes["fp32"].startswith(
        "invalid: oneDNN was limited to SSE41 and the CPU has "
    )
    assert "unset ONEDNN_MAX_CPU_ISA, or ask for the limit with max_cpu_isa=SSE41" in ended.out


def test_an_instruction_set_that_was_asked_for_is_none(cli: CommandLine) -> None:
    ended = cli("method=[fp32]", *TINY, "protocol.profile_batches=1", "max_cpu_isa=SSE41")
    assert ended.outcomes == {"fp32": "ok"}
    assert "limited to SSE41 (max_cpu_isa)" in ended.out
    (row,) = [r for r in table_of(ended, "kernels.csv") if r["kind"] == "convolution"][:1]
    assert row["isa"] in ("sse41", "")


def test_an_unquantised_graph_called_int8_is_invalid(cli: CommandLine, tmp_path: Path) -> None:
    own = tmp_path / "own" / "method"
    own.mkdir(parents=True)
    (own / "int8_of_old.yaml").write_text(
        textwrap.dedent(
            """\
            # @package method.int8_of_old
            label: int8 of old
            _target_: harness.methods.native.Fused
            """
        )
    )
    ended = cli(
        "method=[int8_of_old,fp32]", *TINY, "protocol.profile_batches=1",
        "--conf", str(tmp_path / "own"),
    )  # fmt: skip
    assert ended.code == 3, ended.err
    assert ended.outcomes == {
        "int8_of_old": "invalid: called int8 but no convolution or inner product ran in int8",
        "fp32": "ok",
    }


# --- identical code against itself


def test_aa_measures_nights_in_one_run_and_reports_on_them(cli: CommandLine) -> None:
    words = [
        "aa", "repeats=3", "method=[fp32_fused]", *TINY, *ROUNDS, "protocol.rounds=5",
        "protocol.warmup_s=0.01", "protocol.reruns=0", "run.id=nights",
    ]  # fmt: skip
    ended = cli(*words)
    assert ended.code == 0, ended.err
    plan = load(ended.folder.path / "plan.json")
    assert plan["config"]["protocol"]["rounds"] == 15
    assert "experiment=nightly" in plan["overrides"]
    assert len(ended.folder.load_rounds()) == 15
    assert ended.out == (ended.folder.path / "aa.md").read_text()
    assert "3 repeats of 5 rounds of 1 methods" in ended.out
    report = load(ended.folder.path / "aa.json")
    first = report["methods"][0]
    assert report["resampled"]["tables"] >= 200
    times = np.array(
        [r.facts.timed[0].forward_s for r in ended.folder.load_rounds()
         if r.method == first["method"] and r.facts]
    )  # fmt: skip
    assert times.min() <= first["seconds"] <= times.mean(axis=1).max()  # however they scatter
    before = same_after(list(ended.folder.path.rglob("rounds/*.json")))
    again = cli("aa", "repeats=3", "run.id=nights", "--conf", TINY[-1])
    assert (again.code, again.out) == (0, ended.out)
    odd = cli("aa", "repeats=4", "run.id=nights", "--conf", TINY[-1])
    assert odd.code == 2
    assert "repeats=4 do not divide the 15 rounds of run nights" in odd.err
    assert same_after(list(before)) == before


def test_aa_refuses_what_no_verdict_can_be_made_of(cli: CommandLine) -> None:
    for words, said in (
        (["repeats=2"], "repeats=2: use a whole number of at least 3"),
        (["repeats=many"], "repeats=many"),
        (["protocol=quick"], "protocol.rounds=3: a verdict needs 5 rounds"),
        (["protocol.rounds=0"], "protocol.rounds=0"),
    ):
        ended = cli("aa", *words, *TINY)
        assert (ended.code, ended.out) == (2, "")
        assert said in ended.err
    assert not cli.results.exists()
