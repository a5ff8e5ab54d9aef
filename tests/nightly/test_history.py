"""The history of nights: what is kept, who may write, which runs a night is compared with."""

from __future__ import annotations

import multiprocessing
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import HarnessError
from harness.files.whole_files import write_json
from harness.nightly.baseline import first_good, last_good, named
from harness.nightly.entry import (
    NightEntry,
    NightRow,
    as_run,
    build_entry,
    list_changes,
    software,
    unlike,
)
from harness.nightly.judgements import rebuilt
from harness.nightly.memory import schema
from harness.nightly.memory.database import NAME, opened
from harness.nightly.memory.schema import MIGRATIONS
from harness.nightly.night import MeasuredShift, Regression
from harness.nightly.verdict import BATCH
from harness.storage.same_run import alike, environment
from harness.storage.store import NIGHT, RunFolder
from harness.table.metrics import COST
from helpers.other_machine import edit
from helpers.sample_records import with_pair
from helpers.sample_run import made_run

ALIKE = {"machine": {"cpu_model": "a CPU"}, "images": {"validated": 20}}


def entry(
    run: int,
    verdict: str | None = "none",
    regressions: Sequence[tuple[str, str]] = (),
    acknowledged: dict[tuple[str, str], str] | None = None,
    **changes: Any,
) -> NightEntry:
    rng = np.random.default_rng(run)
    rows = tuple(
        NightRow(
            method,
            f"label of {method}",
            "ok",
            2.5,
            rng.uniform(1, 2, (5, 3)),
            rng.random((2, 20)) < 0.8,
            f"{method}/{run}",
            1,
        )
        for method in ("fp32", "int8")
    )
    return NightEntry(
        machine="m",
        run=f"r{run:03d}",
        created=f"2026-01-{run:02d}T00:00:00Z",
        folder=f"m/r{run:03d}",
        alike=ALIKE,
        environment={"versions": {"mxnet": "2"}, "code": "c"},
        rows=rows,
        verdict=verdict,
        regressions=frozenset(regressions),
        acknowledged=acknowledged or {},
        **changes,
    )


def same(one: NightEntry, other: NightEntry) -> bool:
    def plain(each: NightEntry) -> Any:
        rows = [
            (
                *(row.method, row.label, row.outcome, row.model, row.disturbed),
                row.once,
                None if row.times is None else row.times.tolist(),
                None if row.correct is None else row.correct.tolist(),
            )
            for row in each.rows
        ]
        return replace(each, rows=()), rows

    return bool(plain(one) == plain(other))


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    first = entry(
        1,
        "regression",
        [("int8", "top1")],
        {("*", "top1"): "known"},
        shifted=frozenset({MeasuredShift("int8", "r000", 1.06, True)}),
        improved=frozenset({("fp32", "cost_s")}),
        changed={("fp32", "batch_s"): "machine"},
        trusts_disturbed=True,
        compared_with=9,
        open=(Regression("int8", "top1", "r000", "2026-01-01T00:00:00Z", "int8 lost", ("r9",)),),
    )
    bare = replace(entry(2), rows=(NightRow("fp32", "l", "failed: it did"),), verdict=None)
    with opened(tmp_path) as history:
        history.save(bare)
        history.save(first)
        history.save(replace(first, machine="other"))
        found = history.load("m")
        assert history.machines() == ["m", "other"]
    assert [each.run for each in found] == ["r001", "r002"]
    assert same(found[0], first) and same(found[1], bare)
    with opened(tmp_path) as history:  # a run is saved again, such as after it was acknowledged
        history.save(replace(first, verdict="none", rows=first.rows[:1]))
        (again, _) = history.load("m")
    assert again.verdict == "none" and [row.method for row in again.rows] == ["fp32"]


def test_a_row_that_was_taken_out_is_not_missing_for_ever() -> None:
    both = [entry(run) for run in range(1, 7)]
    alone = [replace(night, rows=night.rows[:1]) for night in map(entry, range(7, 14))]
    for without, has in ((0, True), (4, True), (5, False), (7, False)):
        found = last_good([*both, *alone[:without]], ALIKE, 5, present={"fp32"})
        assert ("int8" in {method for run in found.runs for method in run.times}) == has
        assert len(found.entries) == (5 + without if has and without < 5 else 5)
    wide = [replace(n, rows=(*n.rows, replace(n.rows[0], method="x"))) for n in both]
    narrow = [replace(night, rows=night.rows[1:]) for night in map(entry, range(7, 14))]
    looked_into = last_good([*wide, *narrow], ALIKE, 5, present={"x", "int8", "other"})
    assert any("fp32" in run.times for run in looked_into.runs)  # which fell out tonight
    back = last_good([*both, *alone], ALIKE, 5, present={"fp32", "int8"})  # tonight has it again
    assert [night.run for night in back.entries[:5]] == [night.run for night in both[1:]]


def test_what_is_no_text_is_kept(tmp_path: Path) -> None:
    """A path that is not UTF-8, in a setting or in what a row failed with, must not lose the night."""
    odd = "caf\udce9.rec"
    rows = tuple(replace(row, label=odd, outcome=f"failed: {odd}") for row in entry(1).rows)
    night = replace(
        entry(1, "regression", [("int8", "top1")], {("int8", "top1"): odd}),
        environment={odd: [odd]},
        rows=rows,
        open=(Regression("int8", "top1", "r001", "", odd),),
    )
    with opened(tmp_path) as history:
        history.save(night)
        (kept,) = history.load("m")
        before = (tmp_path / NAME).read_bytes()
        history.save(night)
    assert (tmp_path / NAME).read_bytes() == before
    said = {text for row in kept.rows for text in (row.label, row.outcome)}
    assert said == {"caf\\udce9.rec", "failed: caf\\udce9.rec"}
    assert same(replace(kept, rows=rows), night)


def test_what_is_as_it_was_is_not_written_again(tmp_path: Path) -> None:
    """A rebuild saves a thousand nights, and most are there."""
    first = entry(1, "regression", [("int8", "top1")], {("int8", "top1"): "known"})
    with opened(tmp_path) as history:
        history.save(first)
        before = (tmp_path / NAME).read_bytes()
        history.save(first)
        assert (tmp_path / NAME).read_bytes() == before
        one, other = first.rows
        for changed in (
            replace(first, acknowledged={}),
            replace(first, rows=(one, replace(other, cost_s=2.6))),
            replace(first, rows=(other, one)),
            replace(first, rows=(one,)),
        ):
            history.save(changed)
            assert same(*history.load("m"), changed)


@pytest.mark.parametrize("is_gone", [False, True])
@pytest.mark.parametrize("column", ["label", "times"])
def test_a_rebuild_mends_a_damaged_cell(tmp_path: Path, column: str, is_gone: bool) -> None:
    """In place where the night's folder is there; else the file is set aside, with what it has left."""
    folders = [made_run(tmp_path, run=run) for run in ("one", "other")]
    for folder in folders:
        write_json(folder.path / NIGHT, {"verdict": "none", "rows": [], "shifts": []})
    assert list(rebuilt(tmp_path)) == [f"2 nights read from {tmp_path}"]
    damaged = sqlite3.connect(tmp_path / NAME)
    with damaged:
        damaged.execute(f"UPDATE rows SET {column}=CAST(x'ff41' AS TEXT) WHERE run='other'")
    damaged.close()
    if is_gone:
        shutil.rmtree(folders[1].path)
    said = list(rebuilt(tmp_path))
    assert said[-1] == f"{2 - is_gone} nights read from {tmp_path}"
    assert is_gone == any("history.sqlite.damaged" in line for line in said)
    with opened(tmp_path) as history:
        assert [each.run for each in history.load("machine")] == ["one", "other"][: 2 - is_gone]


def test_rows_that_are_known_are_not_read(tmp_path: Path) -> None:
    with opened(tmp_path) as history:
        for run in (1, 2):
            history.save(entry(run))
        rows = entry(9).rows
        one, other = history.load("m", known={"r001": rows, "of a run that is gone": ()})
    assert one.rows is rows and same(other, entry(2))


def test_levels_of_many_nights_are_those_of_one_at_a_time(tmp_path: Path) -> None:
    """To the last bit, whatever the nights' rounds: verdicts and the page must not differ."""
    entries = [entry(run) for run in range(1, 20)]
    for number, rounds in ((3, 5), (4, 20), (5, 2)):  # shapes that differ; too few for a level
        one, other = entries[number].rows
        times = np.random.default_rng(number).uniform(1, 2, (rounds, 7))
        entries[number] = replace(entries[number], rows=(replace(one, times=times), other))
    with opened(tmp_path) as history:
        for each in entries:
            history.save(each)
        found = history.load("m")
        listed = history.load("m", with_rows=False)
    for before, after in zip(entries, found, strict=True):
        for one, other in zip(before.rows, after.rows, strict=True):
            if one.timing is None or other.timing is None:
                assert one.timing is other.timing is None and one.times is not None
                assert len(one.times) == 2
            else:
                parts = [
                    (each.value, each.variance, each.kept) for each in (one.timing, other.timing)
                ]
                assert parts[0] == parts[1]
    assert listed == [replace(each, rows=()) for each in found]


def _write(results: Path, first: int) -> None:
    for run in range(first, first + 10):
        with opened(results) as history:
            history.save(entry(run))


def test_writers_do_not_lose_each_others_runs(tmp_path: Path) -> None:
    """Two processes, from before there is a file on."""
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write, args=(tmp_path, first)) for first in (1, 11)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    with opened(tmp_path) as history:
        found = history.load("m")
    assert [each.run for each in found] == [f"r{run:03d}" for run in range(1, 21)]
    assert all(same(each, entry(at + 1)) for at, each in enumerate(found))


def test_a_write_that_fails_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as history:
        history.save(entry(1))
        broken = entry(1)
        with pytest.raises(sqlite3.IntegrityError):
            history.save(replace(broken, rows=broken.rows * 2))  # a row twice
    with opened(tmp_path) as history:
        (kept,) = history.load("m")
    assert same(kept, entry(1))


def test_an_older_schema_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as history:
        history.save(entry(1))
    later = (
        *MIGRATIONS,
        "ALTER TABLE runs ADD COLUMN place TEXT; UPDATE runs SET place='here'",
    )
    monkeypatch.setattr(schema, "MIGRATIONS", later)
    with opened(tmp_path):
        pass
    with sqlite3.connect(tmp_path / NAME) as connection:
        assert connection.execute("SELECT run, place FROM runs").fetchall() == [("r001", "here")]
        assert connection.execute("PRAGMA user_version").fetchone() == (len(later),)
    monkeypatch.undo()
    versions = rf"has schema {len(later)}, this version reads {len(later) - 1}"
    refused = pytest.raises(HarnessError, match=rf"{versions}.*rebuild=true")
    with refused, opened(tmp_path):
        pass


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"this is no database" * 100)
    refused = pytest.raises(HarnessError, match=r"history\.sqlite is damaged.*history rebuild=true")
    with refused, opened(tmp_path):
        pass


@pytest.mark.parametrize("name", ["..", "../elsewhere", "/elsewhere", ""])
def test_names_that_lead_elsewhere_are_damage(tmp_path: Path, name: str) -> None:
    with opened(tmp_path) as history:
        history.save(entry(1))
        history.save(replace(entry(1), machine="other", folder=name))
    with pytest.raises(HarnessError, match="damaged"), opened(tmp_path) as history:
        history.load("other")
    with opened(tmp_path) as history:
        history.save(replace(entry(1), machine=name))
    with pytest.raises(HarnessError, match="is no name"), opened(tmp_path) as history:
        history.machines()


def test_a_rebuild_sets_a_damaged_file_aside(tmp_path: Path) -> None:
    whole = b"this is no database" * 100
    (tmp_path / NAME).write_bytes(whole)
    first, second = rebuilt(tmp_path)
    assert first == (
        "history.sqlite is damaged: it is history.sqlite.damaged now, and nights without a folder are "
        "there alone"
    )
    assert second == f"0 nights read from {tmp_path}"
    assert (tmp_path / f"{NAME}.damaged").read_bytes() == whole
    with opened(tmp_path) as history:
        assert history.machines() == []
    (tmp_path / NAME).write_bytes(b"damaged again" * 100)
    assert "it is history.sqlite.damaged1 now" in next(iter(rebuilt(tmp_path)))
    assert (tmp_path / f"{NAME}.damaged").read_bytes() == whole, "the nights of before are in it"


def test_a_new_file_says_so_once(tmp_path: Path) -> None:
    """Also one that was emptied: a night then reads the folders of the others."""
    for _ in range(2):
        (tmp_path / NAME).write_bytes(b"")
        with opened(tmp_path) as history:
            assert history.is_new
        with opened(tmp_path) as history:
            assert not history.is_new


def chosen(history: Sequence[NightEntry], most: int = 5) -> dict[str, list[str]]:
    """Return the runs in which each method's times count."""
    found = last_good(history, ALIKE, most)
    return {
        method: [
            e.run for e, run in zip(found.entries, found.runs, strict=True) if method in run.times
        ]
        for method in ("fp32", "int8")
    }


def test_the_last_good_runs_count() -> None:
    nights = [entry(1, "first"), *(entry(run) for run in range(2, 9)), entry(9, None)]
    assert chosen(nights)["fp32"] == ["r004", "r005", "r006", "r007", "r008"]
    assert chosen(nights, 2)["int8"] == ["r007", "r008"]


def test_a_regressed_row_does_not_count_but_the_others_do() -> None:
    nights = [entry(1), entry(2, "regression", [("int8", "batch_s")]), entry(3)]
    assert chosen(nights) == {"fp32": ["r001", "r002", "r003"], "int8": ["r001", "r003"]}


def test_an_acknowledged_shift_starts_the_row_anew() -> None:
    known = {("int8", "batch_s"): "new kernel"}
    shift = entry(3, "regression", [("int8", "batch_s")], known)
    nights = [entry(1), entry(2), shift, entry(4)]
    assert chosen(nights) == {
        "fp32": ["r001", "r002", "r003", "r004"],
        "int8": ["r003", "r004"],
    }
    everything = replace(shift, acknowledged={("*", "*"): "new host"})
    assert chosen([entry(1), everything, entry(4)])["fp32"] == ["r003", "r004"]


def test_a_shift_is_acknowledged_as_well_in_a_night_that_did_not_measure_the_row() -> None:
    """An open regression may be acknowledged then: nothing before it counts, and later nights do."""
    known = {("int8", "batch_s"): "meant", ("int8", "cost_s"): "meant"}
    without = entry(3, acknowledged=known)
    without = replace(without, rows=tuple(row for row in without.rows if row.method != "int8"))
    nights = [entry(1), entry(2), without]
    assert chosen(nights) == {"fp32": ["r001", "r002", "r003"], "int8": []}
    nights.append(entry(4))
    assert chosen(nights)["int8"] == ["r004"]
    assert [each.run for each in first_good(nights, ALIKE, 5)["int8", "cost_s"]] == ["r004"]


def with_disturbed(night: NightEntry, rounds: int, method: str = "int8") -> NightEntry:
    rows = [replace(row, disturbed=rounds if row.method == method else 0) for row in night.rows]
    return replace(night, rows=tuple(rows))


def test_disturbed_times_count_only_where_they_are_trusted() -> None:
    """Of five rounds the faster three count: one of them was disturbed if three were."""
    nights = [with_disturbed(entry(1, "first"), 3), with_disturbed(entry(2), 2)]
    assert chosen(nights) == {"fp32": ["r001", "r002"], "int8": ["r002"]}
    found = last_good(nights[:1], ALIKE, 5)
    (run,) = found.runs
    assert set(run.times) == {"fp32"} and set(run.once[COST]) == {"fp32", "int8"}
    assert {name for rows in run.correct.values() for name in rows} == {"fp32", "int8"}
    assert found.passed_over == {("int8", "batch_s"): "disturbed"}
    trusted = last_good(nights[:1], ALIKE, 5, trust_disturbed=True)
    assert set(trusted.runs[0].times) == {"fp32", "int8"} and not trusted.passed_over
    known = replace(nights[0], acknowledged={("int8", "batch_s"): "always so"})
    assert set(last_good([known], ALIKE, 5).runs[0].times) == {"fp32", "int8"}


@pytest.mark.parametrize("verdict", ["stopped", "suspected"])
def test_a_night_without_a_final_verdict_is_no_baseline(verdict: str) -> None:
    nights = [entry(1), entry(2, verdict)]
    assert chosen(nights)["fp32"] == ["r001"]
    assert not last_good(nights[1:], ALIKE, 5).runs


def test_an_open_regression_is_passed_over() -> None:
    nights = [entry(1, "regression", [("int8", "batch_s")])]
    assert last_good(nights, ALIKE, 5).passed_over == {("int8", "batch_s"): "regression"}


def test_a_database_of_before_disturbances_were_kept_is_read(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / NAME) as connection:
        connection.executescript(MIGRATIONS[0] + "PRAGMA user_version=1;")
        values = (
            "m",
            "r001",
            "2026-01-01T00:00:00Z",
            "m/r001",
            "{}",
            "{}",
            "regression",
            '["int8"]',
            '[["fp32", "top1"]]',
            "[]",
        )
        connection.execute("INSERT INTO runs VALUES (?,?,?,?,?,?,?,?,?,?)", values)
        connection.execute(
            "INSERT INTO rows VALUES ('m','r001',0,'fp32','l','ok',NULL,NULL,NULL,NULL,NULL,NULL)"
        )
    with opened(tmp_path) as history:
        (night,) = history.load("m")
    assert night.rows[0].disturbed is None and not night.rows[0].has_disturbed_times
    assert not night.shifted  # without a place it says nothing
    assert [(each.key, each.since) for each in night.open] == [(("fp32", "top1"), "r001")]


def test_unlike_runs_are_passed_over_and_said() -> None:
    other = replace(entry(1), alike={**ALIKE, "images": {"validated": 10}})
    assert chosen([other, entry(2)])["fp32"] == ["r002"]
    found = last_good([other], ALIKE, 5)
    assert not found.runs
    assert found.reason and "images.validated: was 10, is 20" in found.reason
    assert last_good([], ALIKE, 5).reason is None
    with pytest.raises(ValueError, match=r"images\.validated: was 10, is 20"):
        named(other, ALIKE)
    assert unlike(entry(1), ALIKE) == []


def test_what_changed_is_named() -> None:
    new = replace(entry(2), environment={"versions": {"mxnet": "3"}, "code": "c"})
    assert list_changes(entry(1), new) == ["versions.mxnet: was '2', is '3'"]


def test_another_commit_and_another_lock_are_named_where_both_nights_kept_them() -> None:
    at = [{"commit": number * 40, "clean": True} for number in "ab"]
    kept = {"versions": {"mxnet": "2"}, "code": "c", "packages": {"numpy": "1"}, "checkout": at[0]}
    earlier, before = entry(1), replace(entry(2), environment=kept)
    now = replace(entry(3), environment={**kept, "packages": {"numpy": "2"}, "checkout": at[1]})
    assert list_changes(earlier, before) == []
    assert list_changes(before, now) == [
        f"checkout.commit: was {'a' * 40!r}, is {'b' * 40!r}",
        "packages.numpy: was '1', is '2'",
    ]
    alone = replace(now, environment={**kept, "checkout": at[1]})
    assert software(before) == software(alone) != software(now)


def test_another_version_of_an_engine_is_named(tmp_path: Path) -> None:
    before, now = (
        made_run(tmp_path / name, engines={"int8_custom": "openvino"}) for name in ("before", "now")
    )
    edit(
        now.path / "plan.json",
        lambda plan: plan["versions"]["engines"]["openvino"].update(openvino="1.3"),
    )
    first, second = (build_entry(RunFolder(run.path)) for run in (before, now))
    assert first.alike == second.alike  # they are compared all the same
    changes = list_changes(first, second)
    assert changes == ["versions.engines.openvino.openvino: was '1.2', is '1.3'"]
    assert second.measured == first.measured
    assert ("int8_custom", BATCH.name) in second.measured


def test_a_run_is_judged_by_its_rows() -> None:
    run = as_run(entry(1), frozenset({("fp32", "top1"), ("int8", "cost_s")}))
    by_metric = {metric.name: set(rows) for metric, rows in run.correct.items()}
    assert by_metric == {"top1": {"int8"}, "top5": {"fp32", "int8"}}
    assert set(run.once[COST]) == {"fp32"} and set(run.times) == {"fp32", "int8"}


def test_a_pair_in_another_folder_has_the_same_baseline_and_another_pair_is_a_change() -> None:
    def night(run: int, folder: str, digit: str) -> NightEntry:
        planned = with_pair(folder, digit * 64)
        return replace(entry(run), alike=alike(planned), environment=environment(planned))

    first, moved, changed = night(1, "/here", "1"), night(2, "/there", "1"), night(3, "/there", "2")
    for now in (moved, changed):
        assert last_good([first], now.alike, 5).entries == (first,)
    assert list_changes(first, moved) == []
    assert [line.split(":")[0] for line in list_changes(first, changed)] == [
        "method.int8_mine.params_sha256",
        "method.int8_mine.symbol_sha256",
    ]
