"""Rows, exports and outcomes from records made by hand, where every number is known."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import PROJECT
from harness.errors import HarnessError
from harness.facts.typed import changed
from harness.storage.record import MethodRecord, Outcome, RoundRecord
from harness.table.csv_table import HEADER, sizes_to_csv, to_csv
from harness.table.markdown import size_table, table
from harness.table.metrics import PUBLISHED, relative_loss_pct, top_k_correct
from harness.table.rows import build_rows, size_rows
from harness.table.samples import Samples, samples_of
from helpers.sample_records import LABELS, measured, predicted, timed

REFERENCE = PROJECT / "benchmarks" / "published" / "published_table.csv"


def rows_of(records, best, rounds=()):  # type: ignore[no-untyped-def]
    samples = samples_of(rounds).get(100, {}) if rounds else None
    return build_rows(records, samples, best, LABELS, "fp32", "fp32_fused")


def test_losses_and_speedup_are_relative_to_the_baseline() -> None:
    records = [measured("fp32", 30.0), measured("int8", 10.0, cost=4.25)]
    best = {"fp32": predicted(0.8, 0.9), "int8": predicted(0.6, 0.9)}
    fp32, int8 = rows_of(records, lambda r: best[r.method])
    assert (fp32.top1, fp32.top5, fp32.top1_rel_loss_pct, fp32.speedup) == (0.8, 0.9, 0.0, 1.0)
    assert (int8.top1, int8.top5, int8.cost_s) == (0.6, 0.9, 4.25)
    assert int8.top1_rel_loss_pct == pytest.approx(25.0)
    assert int8.top5_rel_loss_pct == 0.0
    assert int8.speedup == pytest.approx(3.0)


def test_without_a_measured_baseline_there_is_no_loss_and_no_speedup() -> None:
    (row,) = rows_of([measured("int8", 1.0)], lambda r: predicted(0.5, 0.5))
    assert row.top1 == 0.5
    assert row.top1_rel_loss_pct is None and row.speedup is None


def test_a_row_that_was_not_measured_says_why_and_has_no_number() -> None:
    record = MethodRecord(
        "r",
        "int8_inc_bayesian",
        "int8 INC bayesian",
        1,
        Outcome("no solution", "best 0.4 against 0.9", "methods/x/optimize.log", 60),
    )
    records = [measured("fp32", 1.0), record]
    rows = rows_of(records, lambda r: predicted(0.9, 0.9))
    assert rows[1].outcome == "no solution in 60 trials"
    last = list(csv.reader(io.StringIO(to_csv(rows))))[-1]
    assert last == [
        "int8 INC bayesian",
        *[""] * (len(HEADER) - 3),
        "no solution in 60 trials",
        "methods/x/optimize.log",
    ]
    assert "no solution in 60 trials (log: methods/x/optimize.log)" in table(rows)


def test_an_invalid_row_shows_no_accuracy() -> None:
    bad = replace(measured("int8", 1.0), outcome=Outcome("invalid", "3 images got NaN"))
    (row,) = rows_of([bad], lambda r: predicted(0.9, 0.9))
    assert row.top1 is None and row.outcome == "invalid: 3 images got NaN"


def test_the_csv_begins_with_the_published_columns() -> None:
    with REFERENCE.open() as handle:
        published = next(csv.reader(handle))
    assert list(HEADER[: len(published)]) == published
    assert list(HEADER[-4:]) == ["rounds", "images", "outcome", "log"]


def test_the_published_table_is_reproduced_from_its_own_figures() -> None:
    """Losses and speedups of the reference follow from its accuracies and times, digit by digit."""
    reference = pd.read_csv(REFERENCE)
    fp32 = reference.iloc[0]
    for _, row in reference.dropna().iterrows():
        for accuracy, loss in (("top1", "top1_rel_loss_pct"), ("top5", "top5_rel_loss_pct")):
            derived = relative_loss_pct(row[accuracy], fp32[accuracy])
            assert derived == pytest.approx(row[loss], abs=0.011)
        assert fp32.validation_s / row.validation_s == pytest.approx(row.speedup, abs=0.051)


def test_csv_has_the_published_decimals() -> None:
    text = to_csv(rows_of([measured("fp32", 147.774)], lambda r: predicted(0.7, 0.9)))
    assert text.splitlines()[1].startswith("fp32,0.7000,0.9000,0.00,0.00,0.00,147.77,1.0,133.00,")
    assert text.splitlines()[1].endswith(",,0,1000,ok,")
    assert [metric.digits for metric in PUBLISHED] == [4, 4, 2, 2, 2, 2, 1]


@given(st.integers(1, 50), st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_top_k_against_a_plain_count(images: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    best = np.argsort(rng.random((images, classes)), axis=1)[:, :5].astype(np.uint16)
    labels = rng.integers(0, classes, images)
    for k in (1, 5):
        plain = sum(int(label) in row[:k].tolist() for label, row in zip(labels, best, strict=True))
        assert top_k_correct(best, labels, k).sum() == plain


def test_records_survive_a_round_trip_and_unknown_schemas_are_refused() -> None:
    record = replace(measured("fp32", 2.0), outcome=Outcome("failed", "killed", "a.log"))
    stored = record.as_dict()
    assert MethodRecord.from_dict(stored, Path("x.json")) == record
    with pytest.raises(HarnessError, match=r"x\.json has record schema 99"):
        MethodRecord.from_dict({**stored, "schema": 99}, Path("x.json"))
    with pytest.raises(HarnessError, match=r"x\.json is no method record"):
        MethodRecord.from_dict({"schema": 2}, Path("x.json"))
    with pytest.raises(HarnessError, match=r"y\.json is no round record"):
        RoundRecord.from_dict({"schema": 2}, Path("y.json"))
    again = timed("fp32", 3, [0.1, 0.2], attempt=2)
    assert RoundRecord.from_dict(again.as_dict(), Path("y.json")) == again


# --- times from rounds, and their intervals


def test_without_rounds_the_validation_pass_is_what_is_timed() -> None:
    records = [measured("fp32", 30.0), measured("fp32_fused", 10.0), measured("int8", 5.0)]
    fp32, fused, int8 = rows_of(records, lambda r: predicted(0.8, 0.9))
    assert int8.inference_s == pytest.approx(4.5)
    assert int8.images_per_s == pytest.approx(1000 / 4.5)
    assert int8.inference_speedup == pytest.approx(6.0)
    assert int8.speedup_vs_fused == pytest.approx(2.0)
    assert (fused.speedup_vs_fused, fp32.inference_speedup, int8.rounds) == (1.0, 1.0, 0)
    assert int8.intervals["images_per_s"].between_rounds is False
    assert "inference_speedup" not in fp32.intervals  # a row against itself is no measurement


def test_a_pass_over_fewer_images_than_a_batch_counts_those_there_are() -> None:
    whole = measured("fp32", 30.0)
    assert whole.validate is not None
    few = {"images": 32, "batches": 1, "data_s": [0.0], "forward_s": [0.5], "rest_s": [0.0]}
    (row,) = rows_of(
        [replace(whole, validate=changed(whole.validate, **few))], lambda r: predicted(0.8, 0.9)
    )
    assert row.images_per_s == pytest.approx(64)


def test_rounds_replace_the_pass_for_what_is_of_inference() -> None:
    records = [measured("fp32", 30.0), measured("fp32_fused", 10.0), measured("int8", 5.0)]
    rng = np.random.default_rng(0)
    drift = rng.uniform(0.9, 1.1, 5)
    rounds = [
        timed(name, n + 1, drift[n] * seconds * rng.uniform(0.99, 1.01, 10))
        for n in range(5)
        for name, seconds in (("fp32", 0.8), ("fp32_fused", 0.4), ("int8", 0.1))
    ]
    *_, int8 = rows_of(records, lambda r: predicted(0.8, 0.9), rounds)
    assert int8.rounds == 5
    assert int8.speedup == pytest.approx(6.0)  # as published: of validation times
    assert int8.inference_speedup == pytest.approx(8.0, rel=0.02)
    assert int8.speedup_vs_fused == pytest.approx(4.0, rel=0.02)
    ratio, rate = int8.intervals["inference_speedup"], int8.intervals["images_per_s"]
    assert ratio.between_rounds and rate.between_rounds
    assert ratio.low < 8 < ratio.high < 8.2  # drift that is common to a round cancels
    assert rate.high / rate.low > 1.1  # and stays in what has no partner


def test_a_disturbed_attempt_gives_way_to_an_undisturbed_one() -> None:
    load = {"kind": "core_load", "value": 0.5, "limit": 0.05, "advice": "close it"}
    rounds = [
        timed("int8", 1, [9.0] * 10, attempt=1, disturbed=[load]),
        timed("int8", 1, [1.0] * 10, attempt=2),
        timed("int8", 2, [8.0] * 10, attempt=1, disturbed=[load]),
        timed("int8", 2, [7.0] * 10, attempt=2, disturbed=[load]),
    ]
    samples = samples_of(rounds)[100]["int8"]
    assert samples.rounds == (1, 2)
    assert samples.forward_s[:, 0].tolist() == [1.0, 7.0]


def test_a_row_that_is_not_timed_yet_shows_no_time_of_its_pass() -> None:
    records = [measured("fp32", 30.0), measured("int8", 10.0)]
    rounds = [timed("fp32", 1, [0.5] * 10)]  # the run was stopped in its first round
    fp32, int8 = rows_of(records, lambda r: predicted(0.8, 0.9), rounds)
    assert fp32.images_per_s == pytest.approx(200)
    assert (int8.images_per_s, int8.inference_speedup, int8.rounds) == (None, None, 0)
    assert "inference_speedup" not in int8.intervals
    assert int8.speedup == pytest.approx(3.0)  # of the validation passes, which both have


def test_methods_are_compared_in_the_rounds_that_both_have() -> None:
    a = Samples((1, 2, 4), np.array([[1.0], [2.0], [4.0]]))
    b = Samples((2, 3, 4), np.array([[20.0], [30.0], [40.0]]))
    ours, theirs = a.paired(b)
    assert (ours[:, 0].tolist(), theirs[:, 0].tolist()) == ([2.0, 4.0], [20.0, 40.0])


def test_intervals_are_shown_or_left_out() -> None:
    records = [measured("fp32", 30.0), measured("int8", 10.0)]
    best = {"fp32": predicted(0.8, 0.9), "int8": predicted(0.7992, 0.9)}
    rows = rows_of(records, lambda r: best[r.method])
    loss = rows[1].intervals["top1_rel_loss_pct"]
    assert loss.low < rows[1].top1_rel_loss_pct < loss.high
    assert f"[{loss.low:.2f}, {loss.high:.2f}]" in table(rows, intervals=True)
    assert "[" not in table(rows, intervals=False)
    stored = dict(zip(HEADER, list(csv.reader(io.StringIO(to_csv(rows))))[2], strict=True))
    assert float(stored["top1_rel_loss_pct_low"]) == pytest.approx(loss.low, abs=1e-4)


def test_percentiles_by_batch_size() -> None:
    times = np.linspace(0.001, 0.101, 101)
    rounds = [timed("int8", n, times, sizes=(100, 1)) for n in (1, 2, 3)]
    first, second = size_rows([measured("int8", 1.0)], samples_of(rounds))
    assert (first.batch_size, second.batch_size, second.rounds, second.batches) == (100, 1, 3, 101)
    assert (second.p50_ms, second.p90_ms) == (pytest.approx(51.0), pytest.approx(91.0))
    assert second.images_per_s == pytest.approx(1 / 0.051)
    assert set(second.intervals) == {"images_per_s", "p50_ms"}  # the tail has none
    assert second.intervals["p50_ms"].estimate == pytest.approx(51.0)
    assert "51.000" in size_table([second], intervals=False)
    header, row = csv.reader(io.StringIO(sizes_to_csv([second])))
    assert dict(zip(header, row, strict=True))["p50_ms"] == "51.000"


def test_too_few_batches_give_a_value_and_no_interval() -> None:
    records = [measured("fp32", 1.0), measured("int8", 0.5)]
    rounds = [timed(name, 1, [0.1, 0.1]) for name in ("fp32", "int8")]
    _, int8 = rows_of(records, lambda r: predicted(0.8, 0.9), rounds)
    assert int8.inference_speedup == 1.0
    assert "inference_speedup" not in int8.intervals and "images_per_s" not in int8.intervals
