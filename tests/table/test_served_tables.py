"""The tables of rates, of records that are made up."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from harness.errors import HarnessError
from harness.facts.typed import plain
from harness.report.figures import query_latency
from harness.run.instances.server_rows import server_faults
from harness.storage.damage import set_aside_damaged
from harness.storage.record import Outcome
from harness.storage.served.server_files import load_server_records
from harness.storage.served.server_record import ServeFacts, ServerRecord
from harness.table.loaded_run import load_run
from harness.table.rows import MISSES
from harness.table.served import rates, served_tables
from harness.table.tables import load_tables, save_tables
from helpers.other_machine import edit
from helpers.sample_run import made_run
from helpers.server_records import SERVER, as_server, searched, served

LABELS = {"fp32": "fp32", "int8": "int8 full"}


def test_percentiles_are_those_of_loadgen_over_all_instances() -> None:
    found, early = rates.trials_of(searched())
    assert (found.queries, found.answered, found.mean_batch) == (100, 100, 2)
    assert found.percentiles == pytest.approx((51, 91, 100))
    assert found.passed and not early.passed
    assert (early.answered, early.percentiles) == (2, None)  # the rest would have been the latest


def test_a_row_shows_the_trial_at_the_highest_rate() -> None:
    (row,) = rates.served_rows([searched()], LABELS)
    assert row.found == row.trials[0] and row.disturbed == 1
    assert served_tables.cells(row) == [
        *("fp32", "2 instances of 1 thread", "40.00", "51.00", "91.00", "100.00", "-", "2.00"),
        *("2", "25", "1", "ok"),
    ]


def test_rows_are_in_the_order_of_the_table_and_say_why_there_is_no_rate() -> None:
    none = searched("int8", highest=None)
    failed = searched(
        "fp32", outcome=Outcome("failed", "instance 1 died"), facts=None, highest=None, tried=[]
    )
    rows = rates.served_rows([none, failed], LABELS)
    assert [row.label for row in rows] == ["fp32", "int8 full"]
    outcomes = [served_tables.cells(row)[-1] for row in rows]
    assert outcomes == ["failed: instance 1 died", "no rate kept the target"]
    text = served_tables.to_markdown(rows, SERVER)
    assert "at most 50 ms, within 2 %" in text and "begun at most 5 ms late" in text
    (first, *_) = csv.DictReader(io.StringIO(served_tables.to_csv(rows)))
    assert first["queries_per_s"] == "" and first["split"] == "2 instances of 1 thread"


def test_a_search_that_failed_is_none_whatever_the_others_found() -> None:
    failed = searched(
        "fp32", outcome=Outcome("failed", "instance 1 died"), facts=None, highest=None, tried=[]
    )
    rows = rates.served_rows([failed, searched("int8", 30.0), searched("int8", 40.0)], LABELS)
    best = rates.best_served(rows, {"fp32", "int8"})
    assert {method: row.highest for method, row in best.items()} == {"int8": 40.0}
    assert rates.best_served(rows, {"fp32"}) == {}


def test_a_row_that_misses_the_criterion_is_marked_as_in_the_table(tmp_path: Path) -> None:
    folder = made_run(tmp_path)
    as_server(folder)
    (path,) = folder.path.glob("records/*_int8_smart.json")
    edit(path, lambda record: record["optimize"].update(quantization={"meets_criterion": False}))
    for row in folder.load_records():
        folder.save(searched(row.method))
    run = load_run(folder)
    labels = {row.method: row.label for row in run.rows}
    assert labels["int8_smart"].endswith(MISSES)
    assert [row.label for row in run.served] == [labels[row.method] for row in run.served]


def test_every_trial_is_in_a_file() -> None:
    rows = rates.served_rows([searched()], LABELS)
    first, second = csv.DictReader(io.StringIO(served_tables.trials_to_csv(rows)))
    assert (first["passed"], first["p99_ms"], first["late"]) == ("yes", "100.000", "50")
    assert (second["passed"], second["p99_ms"], second["answered"]) == ("no", "", "2")


def test_records_are_kept_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    folder = made_run(tmp_path)
    folder.save(searched())
    folder.save(searched("int8"))
    assert load_server_records(folder) == [searched(), searched("int8")]
    path = folder.path / searched().path
    path.write_text("{")
    run = load_tables(folder)
    assert run.server_records == [searched("int8")]
    (lost,) = [note for note in run.notes if searched().path in note]
    assert "is damaged and left out" in lost
    with pytest.raises(HarnessError, match=searched().path):
        load_run(folder)
    assert set_aside_damaged(folder) == [searched().path]
    assert load_run(folder).server_records == [searched("int8")]


def test_tables_and_the_figure_are_made_of_a_run(tmp_path: Path) -> None:
    folder = made_run(tmp_path)
    as_server(folder)
    run = load_run(folder)
    assert query_latency.figure(run) is None
    for row in run.rows[:2]:
        folder.save(searched(row.method))
    run = load_run(folder)
    save_tables(run)
    for name in (served_tables.CSV, served_tables.TRIALS, served_tables.MARKDOWN):
        text = (folder.path / name).read_text()
        assert all(row.label in text for row in run.rows[:2])
    drawing = query_latency.figure(run)
    assert drawing is not None
    assert drawing.words.body == [
        (row.label, "2 instances of 1 thread", "40.00", "100.00", "no") for row in run.rows[:2]
    ]
    assert all("</svg>" in picture.svg for picture in drawing.pictures.values())


@pytest.mark.parametrize(
    "changes",
    [
        {"placed": [[0]]},
        {"highest": 41.0},
        {"facts": None},
        {"tried": []},
        {"outcome": Outcome("invalid", "elsewhere")},
        {"outcome": Outcome("invalid", "elsewhere"), "highest": None, "tried": []},
    ],
    ids=["places", "rate", "facts", "trials", "rate of none", "trials of none"],
)
def test_a_record_that_contradicts_itself_is_none(changes: dict[str, Any], tmp_path: Path) -> None:
    stored = plain(searched(**changes))
    with pytest.raises(HarnessError, match="is no record of a search for a rate"):
        ServerRecord.from_dict(stored, tmp_path / "record.json")


def test_threads_count_where_a_batch_is_whole_and_cpus_always() -> None:
    """A batch that is smaller than the workload's need not keep every thread busy."""
    idle = structs.replace(
        served([0.1]), misplaced=["OMP_NUM_THREADS is 2 and 1 thread(s) did the work"]
    )
    outside = structs.replace(served([0.1]), cpus=[7])
    facts = [ServeFacts(batch_s=0.01, settled=True, trials=[one]) for one in (idle, outside)]
    found = searched(facts=facts)
    away = "instance 2 ran on CPU 7 and was bound to CPU 1"
    assert server_faults(found, is_whole=False) == [away]
    assert set(server_faults(found, is_whole=True)) == {
        away,
        "instance 1: OMP_NUM_THREADS is 2 and 1 thread(s) did the work",
    }


def test_a_damaged_model_takes_the_searches_of_its_row_along(tmp_path: Path) -> None:
    folder = made_run(tmp_path)
    first, other = (row for row in folder.load_records()[:2])
    assert first.optimize is not None
    for method in (first.method, f"{first.method}_more", other.method):
        folder.save(searched(method))
    (file, *_) = first.optimize.model
    path = folder.method(first.method) / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("another model")
    assert searched(first.method).path in set_aside_damaged(folder)
    left = {one.method for one in load_server_records(folder)}
    assert left == {f"{first.method}_more", other.method}
