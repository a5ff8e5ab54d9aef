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

from harness.config import PROJECT
from harness.errors import HarnessError
from harness.export.csv_table import HEADER, to_csv
from harness.export.markdown import table
from harness.metrics import PUBLISHED, relative_loss_pct, top_k_accuracy
from harness.record import MethodRecord, Outcome
from harness.table import build_rows

REFERENCE = PROJECT / "benchmarks" / "published" / "published_table.csv"
LABELS = np.arange(1000) % 10


def predicted(top1: float, top5: float) -> np.ndarray:
    """Return (1000, 5) predictions with exactly these accuracies."""
    best = (LABELS[:, None] + np.arange(1, 6)) % 10  # the label is in none of the five
    first, within = round(1000 * top1), round(1000 * top5)
    best[:within, 4] = LABELS[:within]
    best[:first] = best[:first, ::-1]
    return best.astype(np.uint16)


def measured(method: str, seconds: float, cost: float = 0.0) -> MethodRecord:
    return MethodRecord(
        run="r",
        method=method,
        label=method,
        position=0,
        outcome=Outcome("ok"),
        optimize={"cost_s": cost},
        validate={"validation_s": seconds, "images": 1000},
    )


def test_losses_and_speedup_are_relative_to_the_baseline() -> None:
    records = [measured("fp32", 30.0), measured("int8", 10.0, cost=4.25)]
    best = {"fp32": predicted(0.8, 0.9), "int8": predicted(0.6, 0.9)}
    fp32, int8 = build_rows(records, lambda r: best[r.method], LABELS, "fp32")
    assert (fp32.top1, fp32.top5, fp32.top1_rel_loss_pct, fp32.speedup) == (0.8, 0.9, 0.0, 1.0)
    assert (int8.top1, int8.top5, int8.cost_s) == (0.6, 0.9, 4.25)
    assert int8.top1_rel_loss_pct == pytest.approx(25.0)
    assert int8.top5_rel_loss_pct == 0.0
    assert int8.speedup == pytest.approx(3.0)


def test_without_a_measured_baseline_there_is_no_loss_and_no_speedup() -> None:
    (row,) = build_rows([measured("int8", 1.0)], lambda r: predicted(0.5, 0.5), LABELS, "fp32")
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
    rows = build_rows(records, lambda r: predicted(0.9, 0.9), LABELS, "fp32")
    assert rows[1].outcome == "no solution in 60 trials"
    last = list(csv.reader(io.StringIO(to_csv(rows))))[-1]
    assert last == [
        "int8 INC bayesian",
        *[""] * 8,
        "no solution in 60 trials",
        "methods/x/optimize.log",
    ]
    assert "no solution in 60 trials (log: methods/x/optimize.log)" in table(rows)


def test_an_invalid_row_shows_no_accuracy() -> None:
    bad = replace(measured("int8", 1.0), outcome=Outcome("invalid", "3 images got NaN"))
    (row,) = build_rows([bad], lambda r: predicted(0.9, 0.9), LABELS, "int8")
    assert row.top1 is None and row.outcome == "invalid: 3 images got NaN"


def test_the_csv_begins_with_the_published_columns() -> None:
    with REFERENCE.open() as handle:
        published = next(csv.reader(handle))
    assert list(HEADER[: len(published)]) == published
    assert list(HEADER[len(published) :]) == ["images", "outcome", "log"]


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
    text = to_csv(
        build_rows([measured("fp32", 147.774)], lambda r: predicted(0.7, 0.9), LABELS, "fp32")
    )
    assert text.splitlines()[1] == "fp32,0.7000,0.9000,0.00,0.00,0.00,147.77,1.0,1000,ok,"
    assert [metric.digits for metric in PUBLISHED] == [4, 4, 2, 2, 2, 2, 1]


@given(st.integers(1, 50), st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_top_k_accuracy_against_a_plain_count(images: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    best = np.argsort(rng.random((images, classes)), axis=1)[:, :5].astype(np.uint16)
    labels = rng.integers(0, classes, images)
    for k in (1, 5):
        plain = sum(int(label) in row[:k].tolist() for label, row in zip(labels, best, strict=True))
        assert top_k_accuracy(best, labels, k) == pytest.approx(plain / images)


def test_records_survive_a_round_trip_and_unknown_schemas_are_refused() -> None:
    record = replace(measured("fp32", 2.0), outcome=Outcome("failed", "killed", "a.log"))
    stored = record.as_dict()
    assert MethodRecord.from_dict(stored, Path("x.json")) == record
    with pytest.raises(HarnessError, match=r"x\.json has record schema 99"):
        MethodRecord.from_dict({**stored, "schema": 99}, Path("x.json"))
    with pytest.raises(HarnessError, match=r"x\.json is no method record"):
        MethodRecord.from_dict({"schema": 1}, Path("x.json"))
