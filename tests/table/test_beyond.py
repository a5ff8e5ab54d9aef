"""Rows that the published table lacks, held against INC's and the fastest, from records made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.table.beyond import Beyond, beyond
from harness.table.markdown import beyond_table
from harness.table.samples import samples_of
from helpers.sample_records import LABELS, measured, predicted, timed

BEST = {
    "fp32": predicted(0.93, 1.0),
    "int8_full_naive": predicted(0.6, 1.0),
    "int8_inc_basic": predicted(0.92, 1.0),
    "int8_inc_mse": predicted(0.90, 1.0),
    "int8_equalized_full": predicted(0.93, 1.0),
}
COSTS = {"int8_inc_basic": 50.0, "int8_inc_mse": 20.0, "int8_equalized_full": 2.0}


def found(*methods: str, rounds: bool = True) -> Beyond | None:
    records = [measured(name, 10.0, COSTS.get(name, 0.0), label=f"L {name}") for name in methods]
    times = {"int8_full_naive": 1.0, "int8_equalized_full": 1.01}
    rng = np.random.default_rng(0)
    timings = [
        timed(name, number, (times.get(name, 2.0) * rng.uniform(0.99, 1.01, 8)).tolist())
        for name in methods
        for number in range(5)
    ]
    samples: Any = samples_of(timings)[100] if rounds else None
    return beyond(records, samples, lambda record: BEST[record.method], LABELS)


def test_a_row_is_held_against_the_best_of_incs_and_the_fastest() -> None:
    against = found(*BEST)
    assert against is not None and against.best == "L int8_inc_basic"
    (row,) = against.rows
    assert row.label == "L int8_equalized_full"
    assert row.loss.estimate == pytest.approx(100 * -0.01 / 0.92)
    assert row.loss.low < row.loss.estimate < row.loss.high
    assert (row.of_basic, row.of_mse) == (0.04, 0.1)
    assert row.speed is not None
    assert row.speed.low < row.speed.estimate < row.speed.high
    assert row.speed.estimate == pytest.approx(1 / 1.01, rel=0.01)
    text = beyond_table(against)
    assert "Top-1 % lost vs L int8_inc_basic" in text
    assert " 0.04 |" in text and " 0.10 |" in text


def test_what_was_not_measured_is_a_dash() -> None:
    against = found("int8_inc_mse", "int8_equalized_full")
    assert against is not None
    (row,) = against.rows
    assert (row.of_basic, row.of_mse, row.speed) == (None, 0.1, None)
    assert beyond_table(against).count(" - |") == 2
    untimed = found("int8_full_naive", "int8_inc_mse", "int8_equalized_full", rounds=False)
    assert untimed is not None and untimed.rows[0].speed is not None, "of the validation pass"


def test_the_published_rows_alone_have_nothing_beyond() -> None:
    assert found(*[name for name in BEST if name != "int8_equalized_full"]) is None
    assert found("fp32", "int8_equalized_full") is None, "nor is there without a row of INC's"
