"""Splits into instances, of records made by hand: rates, the front, the best, faults, comparison."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from harness.compare.compared_run import compared_run
from harness.compare.pricing.prices import Price
from harness.report.figures import fronts, scaling
from harness.storage.damage import set_aside_damaged
from harness.storage.record import InstancesRecord, Outcome, Split
from harness.table.instances.split_tables import split_parts, splits_to_csv
from harness.table.instances.splits import best_split, split_rows
from harness.table.instances.splits import scaling as scaled
from harness.table.loaded_run import load_run
from harness.table.tables import write_tables
from harness.table.validity import instances_faults
from helpers.sample_records import BATCH, LOAD, measured, together
from helpers.sample_run import made_run

ONE, TWO, HALF = Split(1, 2), Split(2, 2), Split(1, 1)
ROW = measured("fp32", 1.0)


def records() -> list[InstancesRecord]:
    """One process: 100 images in 1 s. Two: in 1.6 and 2 s, so 112.5 images/s, at 2 s a batch."""
    return [
        one
        for round_ in (1, 2, 3)
        for one in (
            together("fp32", round_, ONE, [1.0]),
            together("fp32", round_, TWO, [1.6, 2.0], one_s=0.05),
            together("fp32", round_, HALF, [1.8]),
        )
    ]


def test_rates_add_up_over_instances_and_percentiles_are_of_batches() -> None:
    half, one, two = (row for row in split_rows([ROW], records()) if row.batch_size == BATCH)
    assert (half.split, one.split, two.split) == (HALF, ONE, TWO)
    assert one.images_per_s == pytest.approx(100)
    assert two.images_per_s == pytest.approx(112.5)
    assert (two.slowest, two.fastest) == (pytest.approx(50), pytest.approx(62.5))
    assert two.spread_pct == pytest.approx(20)
    assert two.p99_ms == pytest.approx(2000)
    assert two.memory_mb == pytest.approx(200)
    assert two.cpus == ((0,), (1,))
    assert two.interval and two.interval.between_rounds and two.rounds == 3


def test_undisturbed_attempt_counts_and_rows_that_failed_have_none() -> None:
    loud = together("fp32", 1, ONE, [4.0], disturbed=[LOAD])
    quiet = together("fp32", 1, ONE, [1.0], attempt=2)
    (row,) = split_rows([ROW], [loud, quiet])
    assert row.images_per_s == pytest.approx(100)
    assert row.interval is None
    assert split_rows([replace(ROW, outcome=Outcome("failed", "x"))], [quiet]) == []


def test_front_and_best_split_within_a_limit() -> None:
    rows = split_rows([ROW], records())
    assert {row.name for row in rows if row.on_front} == {
        "2 instances of 1 thread, batch 100",
        "1 instance of 2 threads, batch 100",
        "2 instances of 1 thread, batch 1",
    }
    best = best_split(rows)
    assert best and best.split == TWO
    limited = best_split(rows, 1500)
    assert limited and limited.split == ONE
    assert best_split(rows, 1) is None


def test_scaling_is_relative_to_the_fewest_threads() -> None:
    one, two = scaled(split_rows([ROW], records()))
    assert (one.times, one.efficiency) == (1.0, 1.0)
    assert two.times == pytest.approx(1.8)
    assert two.efficiency == pytest.approx(0.9)


def test_threads_seen_elsewhere_are_faults() -> None:
    assert instances_faults(together("fp32", 1, TWO, [1.0, 1.0])) == []
    both = instances_faults(together("fp32", 1, TWO, [1.0, 1.0], cpus=[[0], [0]]))
    assert both == [
        "instance 2 ran on CPU 0 and was bound to CPU 1",
        "instances 1 and 2 both ran on CPU 0",
    ]


def test_records_are_read_back_and_refused_where_they_do_not_fit(tmp_path: Path) -> None:
    record = together("fp32", 1, TWO, [1.0, 2.0])
    again = InstancesRecord.from_dict(record.as_dict(), tmp_path)
    assert again == record
    assert replace(record, facts=(record.facts or [])[:1]).inconsistency
    assert replace(record, placed=[[0]]).inconsistency


def test_tables_and_figures_show_all_of_it() -> None:
    rows = split_rows([ROW], records())
    lines = list(csv.DictReader(io.StringIO(splits_to_csv(rows))))
    assert [line["instances"] for line in lines] == ["1", "1", "2", "2"]
    assert {line["cpus"] for line in lines} == {"0", "0; 1"}
    text = "\n".join(split_parts(rows, 1500))
    assert "Best throughput with p99 below 1500 ms" in text
    assert "112.5 [112.5, 112.5] images/s: 2 instances of 1 thread, batch 100" in text
    drawn = fronts.draw(rows, 1500)
    assert "2 instances of 1 thread, batch 1" in drawn.words.description
    assert len(drawn.words.body) == 4
    assert "an efficiency of 90 %" in scaling.draw(scaled(rows)).words.description
    assert split_parts([], None) == []


def test_run_writes_its_instances_and_compare_takes_the_best(tmp_path: Path) -> None:
    folder = made_run(tmp_path)
    for record in records():
        folder.save(replace(record, run="made"))
    assert not (folder.path / "instances.csv").exists()
    run = write_tables(folder)
    assert len(run.splits) == 4
    assert (folder.path / "instances.csv").is_file()
    assert "## By instances" in (folder.path / "table.md").read_text()
    compared = compared_run(run, Price(1.0, "", ""))
    assert compared.rates["fp32"].split == "2 instances of 1 thread, batch 100"
    assert compared.rates["fp32"].images_per_s == pytest.approx(112.5)
    assert compared.rates["fp32_fused"].split == ""


def test_disturbed_rounds_that_count_are_told_in_table_and_comparison(tmp_path: Path) -> None:
    folder = made_run(tmp_path)
    for record in records():
        folder.save(replace(record, run="made"))
    assert not [note for note in load_run(folder).notes if "in instances" in note]
    for round_, attempt, load in ((1, 1, [LOAD]), (2, 1, [LOAD]), (2, 2, [])):
        record = together("fp32", round_, TWO, [1.6, 2.0], attempt, disturbed=load)
        folder.save(replace(record, run="made"))
    run = load_run(folder)
    told = [note for note in run.notes if "instances" in note.lower()]
    assert told[0].startswith("1 of 9 rounds of a row in instances were disturbed")
    assert told[1].startswith(f"Instances: {LOAD['kind']} up to ") and LOAD["advice"] in told[1]
    assert "fp32" in run.disturbances
    assert compared_run(run, None).disturbed == [ROW.label]


def test_damaged_record_is_set_aside(tmp_path: Path) -> None:
    folder = made_run(tmp_path)
    for record in records():
        folder.save(replace(record, run="made"))
    path = folder.path / records()[0].path
    path.write_text("{")
    (lost,) = [note for note in write_tables(folder).notes if "instances/" in note]
    assert "is damaged and left out" in lost
    assert str(path.relative_to(folder.path)) in set_aside_damaged(folder)
    assert len(load_run(folder).splits) == 4
