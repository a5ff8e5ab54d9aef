"""The tables of rates, of records that are made up."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from harness.errors import HarnessError
from harness.facts.machine_facts import Disturbance
from harness.facts.typed import changed, plain
from harness.report.figures import query_latency
from harness.run.instances.server_rows import server_faults
from harness.storage.configuration import Server
from harness.storage.damage import set_aside_damaged
from harness.storage.record import Outcome, Split
from harness.storage.served.server_files import load_server_records, save_server_record
from harness.storage.served.server_record import ServedTrial, ServeFacts, ServerRecord, TriedRate
from harness.storage.stage_facts import Stretch
from harness.table.loaded_run import LoadedRun, load_run
from harness.table.served import rates, served_tables
from harness.table.tables import load_tables, save_tables
from helpers.sample_run import made_run

SERVER = Server(
    latency_ms=50, duration_s=20, queries=1000, precision=0.02, batch=4, delay_ms=5, seed=3
)
LABELS = {"fp32": "fp32", "int8": "int8 full"}
LOAD = Disturbance(kind="core_load", value=0.5, limit=0.1, advice="close what else runs")


def served(latencies: list[float], disturbed: bool = False) -> ServedTrial:
    return ServedTrial(
        latency_s=latencies,
        batch_sizes=[2] * (len(latencies) // 2),
        forward_s=[0.01] * (len(latencies) // 2),
        cpus=[0],
        conditions=Stretch(seconds=12.5),
        disturbed=[LOAD] if disturbed else [],
    )


def record(method: str = "fp32", **changes: Any) -> ServerRecord:
    """Two instances, two trials: the first passed, the second ended early."""
    low = [number / 1000 for number in range(1, 51)]  # 1 to 50 ms
    high = [number / 1000 for number in range(51, 101)]
    return replace(
        ServerRecord(
            run="run",
            method=method,
            split=Split(2, 2),
            outcome=Outcome("ok"),
            placed=[[0], [1]],
            tried=[
                TriedRate(rate=40.0, queries=100, allowed=50, late=50),
                TriedRate(rate=60.0, queries=120, allowed=1, late=2),
            ],
            highest=40.0,
            shown=None,
            facts=[
                ServeFacts(batch_s=0.01, settled=True, trials=[served(low), served([0.5, 0.6])]),
                ServeFacts(batch_s=0.01, settled=True, trials=[served(high, True), served([])]),
            ],
        ),
        **changes,
    )


def as_server(run: LoadedRun) -> LoadedRun:
    """Return a run as if protocol=server had measured it."""
    protocol = {**run.plan.config.protocol.stored, "server": plain(SERVER)}
    return replace(run, plan=replace(run.plan, config=changed(run.plan.config, protocol=protocol)))


def test_percentiles_are_those_of_loadgen_over_all_instances() -> None:
    found, early = rates.trials_of(record())
    assert (found.queries, found.answered, found.mean_batch) == (100, 100, 2)
    assert found.percentiles == pytest.approx((51, 91, 100))
    assert found.passed and not early.passed
    assert (early.answered, early.percentiles) == (2, None)  # the rest would have been the latest


def test_a_row_shows_the_trial_at_the_highest_rate() -> None:
    (row,) = rates.served_rows([record()], LABELS)
    assert row.found == row.trials[0] and row.disturbed == 1
    assert served_tables.cells(row) == [
        *("fp32", "2 instances of 1 thread", "40.00", "51.00", "91.00", "100.00", "-", "2.00"),
        *("2", "25", "1", "ok"),
    ]


def test_rows_are_in_the_order_of_the_table_and_say_why_there_is_no_rate() -> None:
    none = record("int8", highest=None)
    failed = record(
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


def test_every_trial_is_in_a_file() -> None:
    rows = rates.served_rows([record()], LABELS)
    first, second = csv.DictReader(io.StringIO(served_tables.trials_to_csv(rows)))
    assert (first["passed"], first["p99_ms"], first["late"]) == ("yes", "100.000", "50")
    assert (second["passed"], second["p99_ms"], second["answered"]) == ("no", "", "2")


def test_records_are_kept_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    folder = made_run(tmp_path)
    save_server_record(folder, record())
    save_server_record(folder, record("int8"))
    assert load_server_records(folder) == [record(), record("int8")]
    path = folder.path / record().path
    path.write_text("{")
    run = load_tables(folder)
    assert run.server_records == [record("int8")]
    (lost,) = [note for note in run.notes if record().path in note]
    assert "is damaged and left out" in lost
    with pytest.raises(HarnessError, match=record().path):
        load_run(folder)
    assert set_aside_damaged(folder) == [record().path]
    assert load_run(folder).server_records == [record("int8")]


def test_tables_and_the_figure_are_made_of_a_run(tmp_path: Path) -> None:
    folder = made_run(tmp_path)
    run = as_server(load_run(folder))
    assert query_latency.figure(run) is None
    for row in run.rows[:2]:
        save_server_record(folder, record(row.method))
    run = as_server(load_run(folder))
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
    [{"placed": [[0]]}, {"highest": 41.0}, {"facts": None}, {"tried": []}],
    ids=["places", "rate", "facts", "trials"],
)
def test_a_record_that_contradicts_itself_is_none(changes: dict[str, Any], tmp_path: Path) -> None:
    stored = plain(record(**changes))
    with pytest.raises(HarnessError, match="is no record of a search for a rate"):
        ServerRecord.from_dict(stored, tmp_path / "record.json")


def test_threads_count_where_a_batch_is_whole_and_cpus_always() -> None:
    """A batch that is smaller than the workload's need not keep every thread busy."""
    idle = structs.replace(
        served([0.1]), misplaced=["OMP_NUM_THREADS is 2 and 1 thread(s) did the work"]
    )
    outside = structs.replace(served([0.1]), cpus=[7])
    facts = [ServeFacts(batch_s=0.01, settled=True, trials=[one]) for one in (idle, outside)]
    found = record(facts=facts)
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
        save_server_record(folder, record(method))
    (file, *_) = first.optimize.model
    path = folder.method(first.method) / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("another model")
    assert record(first.method).path in set_aside_damaged(folder)
    left = {one.method for one in load_server_records(folder)}
    assert left == {f"{first.method}_more", other.method}
