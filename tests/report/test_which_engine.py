"""Which engine: the section of the report, by numbers that are known."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.compare.pricing.prices import Prices
from harness.errors import InputError
from harness.report.choice.engine_table import to_csv, to_grid
from harness.report.choice.which_engine import Fastest, Lead, WhichEngine, which_engine
from harness.report.report_writer import write_report
from harness.stats.intervals import Interval
from harness.storage.store import RunFolder
from harness.table.loaded_run import load_run
from harness.table.rows import Row
from helpers.browser import Opened
from helpers.other_machine import edit
from helpers.sample_records import BATCH, LOAD
from helpers.sample_run import SECONDS, made_run

ENGINES = {"int8_smart": "openvino", "int8_custom": "onnxruntime"}
PRICES = Prices("mine.yaml", "today", "a quote", "EUR", machines={"machine": 0.36})


def engine_run(results: Path, rounds: int = 3, sweep: tuple[int, ...] = (1,)) -> RunFolder:
    return made_run(results, rounds=rounds, engines=ENGINES, sweep=sweep if rounds else ())


def compared(folder: RunFolder, prices: Prices | None = PRICES) -> WhichEngine:
    which = which_engine(load_run(RunFolder(folder.path)), prices)
    assert which is not None
    return which


def test_the_fastest_accurate_row_is_first_at_each_batch_size(tmp_path: Path) -> None:
    folder = engine_run(tmp_path)
    edit(
        next((folder.path / "records").glob("*_int8_custom.json")),
        lambda record: record["profile"].update(engine="ONNX Runtime"),
    )
    which = compared(folder)
    assert [(one.batch_size, one.row.method) for one in which.fastest] == [
        (BATCH, "int8_custom"),
        (1, "int8_custom"),
    ]
    assert which.criterion == "a loss of at most 1 % of the top-1 of fp32"
    assert [one.engine for one in which.rows] == [
        *("MXNet", "MXNet", "openvino", "MXNet", "ONNX Runtime")
    ]
    ratio = SECONDS["int8_mse"] / SECONDS["int8_custom"]
    (main, _), next_ = which.fastest, which.fastest[0].leads[0]
    assert next_.row.method == "int8_mse" and next_.times == pytest.approx(ratio)
    assert main.told.startswith(f"{ratio:.2f} [") and main.told.endswith("the next, int8_mse.")
    assert "top-1 0.8970 (loss 0.33 [" in main.facts and main.disturbed == ""


def test_a_row_on_the_front_is_beaten_by_none(tmp_path: Path) -> None:
    rows = {one.row.method: one for one in compared(engine_run(tmp_path)).rows}
    for size in (BATCH, 1):
        on_front = {method for method, one in rows.items() if one.speeds[size].on_front}
        assert on_front == set(SECONDS) - {"fp32"}  # the fused one is as accurate, and faster
    assert not rows["int8_smart"].accurate


def test_a_cost_is_that_of_a_million_images(tmp_path: Path) -> None:
    which = compared(engine_run(tmp_path))
    for one in which.rows:
        for speed in one.speeds.values():
            assert speed.cost == pytest.approx(0.36 * 1e6 / 3600 / speed.images_per_s)
            assert speed.interval and speed.cost_ends
            assert speed.cost_ends.high == pytest.approx(100 / speed.interval.low)
    assert "EUR for a million images, batches of 1" in to_grid(which).headers
    without = compared(engine_run(tmp_path / "other"), None)
    assert not any("million" in header for header in to_grid(without).headers)


def lead(low: float, times: float, high: float) -> Lead:
    row = Row(method="m", label=f"row {times}", outcome="ok")
    return Lead(row, times, Interval(times, low, high, 0.95, True))


@pytest.mark.parametrize(
    ("leads", "told"),
    [
        ([], "No other row is accurate enough."),
        ([lead(1.2, 1.3, 1.4)], "1.30 [1.20, 1.40] times as fast as the next, row 1.3."),
        (
            [lead(0.9, 1.1, 1.2), lead(1.2, 1.3, 1.4), lead(0.9, 1.5, 2.0)],
            "Not told apart from row 1.1 (1.10 [0.90, 1.20] times), row 1.5 (1.50 [0.90, 2.00] times).",
        ),
        (
            [Lead(Row(method="m", label="x", outcome="ok"), 1.5, None)],
            "Not told apart from x (1.50 times).",
        ),
    ],
)
def test_rows_are_told_apart_by_their_interval(leads: list[Lead], told: str) -> None:
    assert Fastest(64, Row(method="f", label="f", outcome="ok"), "", leads, "").told == told


def test_disturbed_rounds_and_rows_without_numbers_are_told(tmp_path: Path) -> None:
    folder = engine_run(tmp_path)

    def disturb(record: dict) -> None:  # type: ignore[type-arg]
        record["facts"]["timed"][0]["disturbed"] = [LOAD]

    edit(folder.path / "rounds" / "002_int8_mse_1.json", disturb)
    which = compared(folder)
    assert which.fastest[0].disturbed.startswith("Rounds of int8_mse were disturbed (core_load)")
    assert any(note.startswith("Not measured: int8_bayesian: no solution") for note in which.notes)


def test_one_pass_has_a_caution_and_one_batch_size(tmp_path: Path) -> None:
    which = compared(engine_run(tmp_path, rounds=0))
    assert which.sizes == [BATCH] and which.fastest[0].row.method == "int8_custom"
    assert any("protocol=careful times rounds" in note for note in which.notes)


def test_the_csv_has_each_row_at_each_batch_size_to_the_last_digit(tmp_path: Path) -> None:
    which = compared(engine_run(tmp_path))
    lines = list(csv.DictReader(to_csv(which).splitlines()))
    assert [(line["method"], int(line["batch_size"])) for line in lines] == [
        (one.row.label, size) for one in which.rows for size in one.speeds
    ]
    for line in lines:
        one = next(one for one in which.rows if one.row.label == line["method"])
        speed = one.speeds[int(line["batch_size"])]
        assert float(line["images_per_s"]) == speed.images_per_s
        assert float(line["cost_of_million"]) == speed.cost and line["currency"] == "EUR"
        assert (line["on_front"] == "yes") is speed.on_front
        assert (line["accurate_enough"] == "yes") is one.accurate
        assert bool(line["fastest_over_it"]) is (one.accurate and line["method"] != "int8_custom")


@pytest.mark.slow
def test_the_report_has_it_where_a_row_is_another_engines(tmp_path: Path) -> None:
    folder = engine_run(tmp_path / "with")
    files = write_report(folder, tmp_path / "cache")
    page = files[0].read_text()
    assert page.index('<h2 id="engines">Which engine?</h2>') < page.index('<h2 id="results">')
    assert "no price for machine in prices.yaml" in page
    assert files[0].with_name("engines.csv") in files
    plain = write_report(made_run(tmp_path / "without"), tmp_path / "cache", prices=tmp_path / "no")
    assert "Which engine?" not in plain[0].read_text()
    assert not plain[0].with_name("engines.csv").exists()
    with pytest.raises(InputError, match=r"no cannot be read .*: give prices=FILE"):
        write_report(folder, tmp_path / "cache", prices=tmp_path / "no")


@pytest.mark.slow
def test_it_fits_every_width_in_both_schemes(
    tmp_path: Path, open_page: Callable[..., Opened]
) -> None:
    page, *_ = write_report(engine_run(tmp_path), tmp_path / "cache")
    for width, scheme in ((400, "dark"), (1000, "light"), (1400, "light")):
        opened = open_page(page, width, scheme)
        assert opened.console == [] and not opened.scrolls_sideways()
        section = opened.page.locator("section[aria-labelledby=engines]")
        assert section.locator("dl.facts > div").count() == 2
        assert section.locator("tbody tr").count() == len(SECONDS)
        assert section.locator("tr.best th").inner_text() == "int8_custom"
