"""Whole runs through the command line: measured, killed, interrupted, limited, resumed."""

from __future__ import annotations

import csv
import io
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from harness.facts.machine_facts import allocator_name
from harness.facts.typed import changed
from harness.run.lifecycle import fix_plan
from harness.storage.plan import new_run_id
from harness.table.csv_table import HEADER
from harness.table.metrics import ADDED, PUBLISHED
from helpers.bundled_images import BUNDLED
from helpers.command_line import (
    OWN,
    TINY,
    CommandLine,
    Ended,
    Started,
    load,
    no_stray,
    same_after,
    strays,
)
from helpers.compiled import compiled_allocator

pytestmark = pytest.mark.slow

SMOKE = ["fp32", "fp32_fused", "int8_smart_naive", "int8_inc_mse"]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# --- a run that goes well


def test_smoke_run_measures_every_row(smoke_run: Ended) -> None:
    assert smoke_run.code == 0, smoke_run.err
    assert smoke_run.outcomes == dict.fromkeys(SMOKE, "ok")
    for position, name in enumerate(SMOKE):
        record = smoke_run.records[name]
        assert record.position == position
        assert record.optimize is not None and record.validate is not None
        assert record.optimize.peak_rss_bytes > 1 << 20
        assert record.validate.images == sum([32] * 4) == 128
        assert record.validate.batches == len(record.validate.forward_s) == 4
        workspace = smoke_run.folder.method(name)
        for part in (record.optimize.symbol, record.optimize.params):
            assert (workspace / part.path).stat().st_size == part.bytes


def test_conditions_are_recorded_with_each_stretch(smoke_run: Ended) -> None:
    plan = smoke_run.folder.load_plan()
    assert plan is not None and plan.machine.policies is not None
    for record in smoke_run.records.values():
        assert record.validate is not None and record.validate.conditions is not None
        stored = record.validate.conditions.stored
        for name in ("effective_mhz", "instructions_per_cycle", "energy_j", "temperature_c"):
            assert name in stored  # null where it is not readable here
        assert allocator_name(str(record.validate.conditions.allocator)) == "system"
    assert "The machine's policies: " in smoke_run.out
    assert "While rows were timed: " in smoke_run.out and "allocator system" in smoke_run.out


def test_an_allocator_serves_the_rows_that_asked_for_it(cli: CommandLine, tmp_path: Path) -> None:
    library = compiled_allocator(tmp_path)
    if library is None:
        pytest.skip("needs a C compiler for an allocator of its own")
    ended = cli("method=[fp32]", *TINY, f"threads.allocator={library}")
    assert ended.code == 0, ended.err
    record = ended.records["fp32"]
    assert record.validate is not None and record.validate.conditions is not None
    assert record.validate.conditions.allocator == str(library.resolve())
    plan = ended.folder.load_plan()
    assert plan is not None and plan.threads.allocator == str(library)
    assert f"allocator {library.name}" in ended.out


def test_csv_has_the_published_columns_first(smoke_run: Ended) -> None:
    text = (smoke_run.folder.path / "table.csv").read_text()
    published = [metric.name for metric in PUBLISHED]
    assert text.splitlines()[0].split(",") == list(HEADER)
    assert list(HEADER[: len(published) + 1]) == ["method", *published]
    rows = rows_of(text)
    assert [row["method"] for row in rows] == [smoke_run.records[name].label for name in SMOKE]
    baseline = rows[0]
    assert (baseline["top1_rel_loss_pct"], baseline["speedup"]) == ("0.00", "1.0")
    for row in rows:
        assert (row["images"], row["outcome"], row["log"]) == ("128", "ok", "")
        assert all(row[metric.name] for metric in (*PUBLISHED, *ADDED))
        assert row["rounds"] == "0"
        assert row["images_per_s_low"] == ""  # four batches carry no interval


def test_fused_fp32_predicts_as_fp32(smoke_run: Ended) -> None:
    rows = rows_of((smoke_run.folder.path / "table.csv").read_text())
    assert (rows[1]["top1"], rows[1]["top5"]) == (rows[0]["top1"], rows[0]["top5"])


def test_stdout_is_the_table_and_stderr_the_progress(smoke_run: Ended) -> None:
    markdown = (smoke_run.folder.path / "table.md").read_text()
    assert smoke_run.out == markdown
    for name in SMOKE:
        label = smoke_run.records[name].label
        assert f"{label}: optimising" in smoke_run.err
        assert f"{label}: validating" in smoke_run.err
        assert f"{label}: ok" in smoke_run.err
    assert smoke_run.folder.id in smoke_run.err
    assert "|" not in smoke_run.err


def test_parent_states_what_a_worker_found(smoke_run: Ended) -> None:
    plan = load(smoke_run.folder.path / "plan.json")
    assert plan["versions"]["mxnet"] == "2.0.0b1"
    assert plan["versions"]["neural-compressor"] == "1.13.1"
    assert (plan["images"], plan["tuning_images"], plan["tuning_overlap"]) == (128, 32, True)


def test_tables_are_rebuilt_from_the_records(smoke_run: Ended, cli: CommandLine) -> None:
    folder = cli.copy_of(smoke_run)
    tables = [folder.path / "table.csv", folder.path / "table.md"]
    before = [table.read_bytes() for table in tables]
    for table in tables:
        table.unlink()
    ended = cli("table", f"run={folder.id}")
    assert ended.code == 0, ended.err
    assert [table.read_bytes() for table in tables] == before
    assert ended.out.encode() == before[1]
    assert ended.err == ""


def test_tables_need_the_predictions_that_were_recorded(smoke_run: Ended, cli: CommandLine) -> None:
    folder = cli.copy_of(smoke_run)
    shutil.copy(
        folder.method("int8_smart_naive") / "predictions.npz",
        folder.method("fp32") / "predictions.npz",
    )
    ended = cli("table", f"run={folder.id}")
    assert ended.code == 0, ended.err
    assert "methods/fp32/predictions.npz is damaged or missing: restore it" in ended.out
    assert ended.out.count("| ok") == 3


def test_table_of_no_run(cli: CommandLine) -> None:
    ended = cli("table", "run=nosuch")
    assert (ended.code, ended.out) == (2, "")
    assert "no run nosuch" in ended.err


def test_changed_configuration_is_refused(smoke_run: Ended, cli: CommandLine) -> None:
    folder = cli.copy_of(smoke_run)
    files = same_after([path for path in folder.path.rglob("*.json") if "inspect" not in path.name])
    ended = cli(f"run.id={folder.id}", "tuning.tolerance=0.5")
    assert ended.code == 2
    assert "config.tuning.tolerance: was 1.0, is 0.5" in ended.err
    assert f"run.id={folder.id}" in ended.err
    assert same_after(list(files)) == files


# --- names and paths of any characters


def test_odd_folders_are_found_by_workers_and_again_when_the_run_goes_on(tmp_path: Path) -> None:
    odd = tmp_path / "mül:ler, it's (x)=[1]{2} ${oc.env:HOME}#%\\ ~"
    shutil.copytree(OWN, odd / "conf")
    shutil.copy(BUNDLED / "fashion_mnist_test.rec", odd / "val.rec")
    cli = CommandLine(odd / "results", odd / "cache")
    own = ("--conf", str(odd / "conf"))
    ended = cli("method=[mine]", *TINY[:-2], *own, f"workload.rec={odd / 'val.rec'}", "run.id=1.10")
    assert ended.code == 0, ended.err
    assert ended.folder.id == "1.10"
    before = same_after(list(ended.folder.path.glob("records/*")))
    ended = cli("run.id=1.10", *own)
    assert ended.code == 0, ended.err
    assert same_after(list(before)) == before
    assert cli("table", "run=1.10").code == 0
    assert cli("table", "run=1.1").code == 2


# --- a worker dies


def test_killed_worker_fails_its_row_alone_and_the_row_is_repeated(cli: CommandLine) -> None:
    inc = [f"method.int8_inc_mse.options.{word}" for word in ("tolerance=0.99", "max_trials=1")]
    started = cli.start("method=[int8_inc_mse,fp32_fused]", *inc, *TINY)
    started.makes("*/*/methods/int8_inc_mse/inc.yaml")  # INC is about to begin
    started.worker().kill()
    ended = started.end()
    assert ended.code == 3
    assert ended.outcomes == {"int8_inc_mse": "failed: killed by SIGKILL", "fp32_fused": "ok"}
    failed, good = rows_of((ended.folder.path / "table.csv").read_text())
    assert failed["outcome"] == "failed: killed by SIGKILL"
    assert failed["log"] == "methods/int8_inc_mse/optimize.log"
    assert failed["top1"] == failed["validation_s"] == ""
    assert (ended.folder.path / failed["log"]).is_file()
    assert good["top1"]
    fused = ended.folder.method("fp32_fused")
    kept = same_after([*fused.iterdir(), ended.folder.path / "records" / "01_fp32_fused.json"])

    # the same row again, killed in its other stage
    started = cli.start(f"run.id={ended.folder.id}", "--conf", TINY[-1])
    started.says("int8 INC mse: validating")
    started.worker().kill()
    ended = started.end()
    assert ended.code == 3
    assert ended.outcomes == {"int8_inc_mse": "failed: killed by SIGKILL", "fp32_fused": "ok"}
    assert ended.records["int8_inc_mse"].outcome.log == "methods/int8_inc_mse/validate.log"
    assert "fp32 fused:" not in ended.err
    model = ended.folder.method("int8_inc_mse")
    optimised = same_after(
        [model / name for name in ("optimize.json", "optimize.log", "model-0000.params")]
    )

    ended = cli(f"run.id={ended.folder.id}", "--conf", TINY[-1])
    assert ended.code == 0, ended.err
    assert ended.outcomes == dict.fromkeys(("int8_inc_mse", "fp32_fused"), "ok")
    assert "optimising" not in ended.err
    assert same_after(list(optimised)) == optimised
    assert same_after(list(kept)) == kept
    no_stray(cli.results)


# --- the parent dies


def test_killed_parent_leaves_no_worker_and_the_run_continues(cli: CommandLine) -> None:
    started = cli.start("method=[fp32,fp32_fused]", *TINY)
    started.says("fp32 fused: validating")
    worker = started.worker()
    started.process.kill()
    ended = started.end()
    assert ended.code == -signal.SIGKILL
    no_stray(cli.results)
    assert not worker.is_running()
    assert set(ended.records) == {"fp32"}
    first, second = ended.folder.method("fp32"), ended.folder.method("fp32_fused")
    finished = same_after([*first.iterdir(), ended.folder.path / "records" / "00_fp32.json"])
    optimised = same_after([second / "optimize.json", second / "model-0000.params"])

    ended = cli(f"run.id={ended.folder.id}", "--conf", TINY[-1])
    assert ended.code == 0, ended.err
    assert ended.outcomes == {"fp32": "ok", "fp32_fused": "ok"}
    assert same_after(list(finished)) == finished
    assert same_after(list(optimised)) == optimised
    assert "optimising" not in ended.err
    assert not list(ended.folder.path.rglob("*.part"))


# --- the user interrupts


def interrupted_in(cli: CommandLine, started: Started, *numbers: signal.Signals) -> Ended:
    """Signal a run; its row must be recorded as interrupted, its tables written."""
    for number in numbers[:-1]:
        started.process.send_signal(number)
        started.says("Ctrl-C again stops now")
    started.process.send_signal(numbers[-1])
    ended = started.end()
    assert ended.code == 3
    assert f"interrupted: what is finished is kept; run.id={ended.folder.id} goes on" in ended.err
    assert ended.outcomes == {"waiting": "interrupted"}
    (row,) = rows_of((ended.folder.path / "table.csv").read_text())
    assert (row["outcome"], row["top1"]) == ("interrupted", "")
    assert "| interrupted" in (ended.folder.path / "table.md").read_text()
    no_stray(cli.results)
    return ended


def test_signals_record_the_row_as_interrupted_and_it_is_repeated(cli: CommandLine) -> None:
    started = cli.start("method=[waiting]", *TINY)
    waiting = started.makes("*/*/methods/waiting/waiting")

    other = cli(f"run.id={waiting.parents[2].name}", "--conf", TINY[-1])
    assert other.code == 2
    assert f"another process is working on run {waiting.parents[2].name}" in other.err
    assert strays(cli.results), "the first run goes on"

    run = interrupted_in(cli, started, signal.SIGINT, signal.SIGINT).folder
    again = (f"run.id={run.id}", "--conf", TINY[-1])
    waiting.unlink()

    started = cli.start(*again)
    started.makes("*/*/methods/waiting/waiting")
    interrupted_in(cli, started, signal.SIGTERM)

    (waiting.parent / "go").touch()
    started = cli.start(*again)
    started.says("validating")
    started.worker()
    under_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # and then a run ignores it too
    ended = interrupted_in(cli, started, signal.SIGTERM if under_nohup else signal.SIGHUP)
    assert ended.records["waiting"].optimize is not None

    ended = cli(*again)
    assert ended.code == 0, ended.err
    assert ended.outcomes == {"waiting": "ok"}
    assert "optimising" not in ended.err


# --- time limits


def test_time_limit_of_a_process(cli: CommandLine) -> None:
    for limit in (5, 50, 500, 5000):  # the processes before must have ended within it
        ended = cli("method=[waiting]", f"run.timeout_s={limit}", *TINY)
        assert ended.code == 3
        if list(cli.results.glob("*/*/methods/waiting/waiting")):
            break
        shutil.rmtree(cli.results, ignore_errors=True)
    assert ended.outcomes == {"waiting": f"timeout: no end after {limit} s"}
    (row,) = rows_of((ended.folder.path / "table.csv").read_text())
    assert row["outcome"] == f"timeout: no end after {limit} s"
    assert row["log"] == "methods/waiting/optimize.log"
    no_stray(cli.results)


@pytest.mark.parametrize("key", ["results", "cache"])
def test_folder_that_cannot_be_made(tmp_path: Path, key: str) -> None:
    (tmp_path / "file").touch()
    places = {name: tmp_path / name for name in ("results", "cache")}
    places[key] = tmp_path / "file" / key
    ended = CommandLine(places["results"], places["cache"])("method=[fp32]", *TINY)
    assert ended.code == 2
    assert f"give run.{key}=DIR" in ended.err


# --- rows that go wrong by themselves


def test_rows_that_go_wrong_say_how(cli: CommandLine) -> None:
    ended = cli("method=[int8_unreadable,int8_at_once,poisoned]", *TINY)
    assert ended.code == 3
    outcomes = ended.outcomes
    assert outcomes["int8_unreadable"] == "failed: ValueError: the tuning images are gone"
    assert outcomes["int8_at_once"].startswith("timeout: 0.001 s ended after 0 trials")
    assert outcomes["poisoned"] == "invalid: 64 images got scores that are NaN or infinite"
    rows = rows_of((ended.folder.path / "table.csv").read_text())
    assert all(row["top1"] == row["speedup"] == "" for row in rows)


def test_search_without_a_solution_is_a_result(own_run: Ended) -> None:
    assert own_run.code == 0, own_run.err
    assert own_run.outcomes["int8_never"] == "no solution in 2 trials"
    never = own_run.folder.method("int8_never")
    assert [trial["trial"] for trial in load(never / "trajectory.json")] == [1, 2]
    reason = own_run.records["int8_never"].outcome.reason
    assert reason is not None
    assert re.match(r"best 0\.\d{4} against fp32's 0\.\d{4}", reason)
    row = rows_of((own_run.folder.path / "table.csv").read_text())[-1]
    assert (row["outcome"], row["top1"]) == ("no solution in 2 trials", "")


# --- two at once


def test_two_runs_at_once_get_their_own_folders_and_share_the_cache(
    tmp_path: Path,
) -> None:
    cli = CommandLine(tmp_path / "results", tmp_path / "cache")
    both = [cli.start("method=[fp32]", *TINY) for _ in range(2)]
    assert [started.end().code for started in both] == [0, 0]
    plans = sorted(cli.results.glob("*/*/plan.json"))
    assert len(plans) == 2
    prepared = [load(plan.parent / "prepared_validation.json")["cached"] for plan in plans]
    assert sorted(prepared) == [False, True], "one prepares the images, the other waits for it"
    assert len(list((tmp_path / "cache" / "prepared").glob("*.u8"))) == 1
    tops = {
        load(plan.parent / "records" / "00_fp32.json")["validate"]["predictions"]["sha256"]
        for plan in plans
    }
    assert len(tops) == 1


def test_ids_of_one_second_differ_and_sort_by_time() -> None:
    ids = [new_run_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert [made.split("-")[0] for made in ids] == sorted(made.split("-")[0] for made in ids)


# --- input that is at fault


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["workload.rec=/nosuch.rec"], "/nosuch.rec"),
        (["workload.images=100000"], "workload.images=100000"),
        (["workload.tuning.batches=200"], "workload.tuning.batches=200"),
        (["run.id=../away"], "use a plain name"),
        (["method=[nosuch]"], "choose from bf16, fp32, fp32_as_released, fp32_fused"),
        (["nosuch"], "not a verb"),
        (["--nosuch"], "no such option"),
        (["--conf", "/nosuch"], "no such folder"),
        (["recover", "run=x", "method=y"], "give trial=..."),
    ],
)
def test_bad_input_ends_before_any_worker(cli: CommandLine, words: list[str], said: str) -> None:
    ended = cli(*words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not list(cli.results.glob("*/*/records"))


def test_a_continued_run_is_kept_and_shown_as_asked_now(smoke_run: Ended) -> None:
    plan = smoke_run.folder.load_plan()
    assert plan is not None
    run = changed(plan.config.run, cache_limit_gb=60).stored
    now = changed(plan.config, run=run, table={})
    continued = fix_plan(replace(plan, config=now), smoke_run.folder, pytest.fail)
    assert continued.config.stored == now.stored
    assert smoke_run.folder.load_plan() == plan
