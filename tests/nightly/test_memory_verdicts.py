"""Peak memory of stages is judged as costs are, and old histories without it are read."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from harness.nightly.baseline import last_good
from harness.nightly.disturbed import Disturbances
from harness.nightly.entry import NightEntry, NightRow, as_run
from harness.nightly.judge import judge
from harness.nightly.memory.database import NAME, opened
from harness.nightly.memory.schema import MIGRATIONS
from harness.nightly.night import Night, headline, outcome_of, worse
from harness.nightly.remeasure import Again
from harness.nightly.suspects import Means, Seen, judge_night
from harness.nightly.verdict import LEAST_RUNS, OPTIMIZE_MEMORY, VALIDATE_MEMORY, Verdict

ROWS = ("fp32", "int8")


def entry(number: int, factor: float = 1.0, known: bool = True) -> NightEntry:
    """Return a night whose stages hold about 400 MB; ``factor`` is that of int8's validation."""
    rows = []
    for at, method in enumerate(ROWS):
        base = 400 * (1 + 0.01 * ((number + at) % 3))
        mine = factor if method == "int8" else 1.0
        memory = (base, 0.8 * base * mine) if known else (None, None)
        rows.append(NightRow(method, method, "ok", None, None, None, f"m{number}", 0, *memory))
    date = f"2026-01-{number + 1:02d}T00:00:00Z"
    return NightEntry(
        "m", f"n{number}", date, f"m/n{number}", {}, {"code": number}, tuple(rows), "none"
    )


def judged(nights: Sequence[NightEntry]) -> dict[tuple[str, str], Verdict]:
    rows = judge([as_run(night) for night in nights[:-1]], as_run(nights[-1]))
    return {row.key: row for row in rows}


def test_more_memory_is_a_regression_of_its_stage_alone() -> None:
    rows = judged([*map(entry, range(5)), entry(5, 1.3)])
    kinds = {key: row.kind for key, row in rows.items()}
    assert kinds == {
        ("fp32", OPTIMIZE_MEMORY.name): "none",
        ("fp32", VALIDATE_MEMORY.name): "none",
        ("int8", OPTIMIZE_MEMORY.name): "none",
        ("int8", VALIDATE_MEMORY.name): "regression",
    }
    row = rows["int8", VALIDATE_MEMORY.name]
    assert row.suspected and row.estimate is not None
    assert row.reason.startswith("Validating int8 held at most 4")
    assert "MB of 5 earlier runs" in row.reason
    assert worse(row) == "int8 takes 31.3 % more memory in validating" or "% more memory" in worse(
        row
    )


def test_memory_that_varies_as_before_is_no_regression_and_a_fall_is_an_improvement() -> None:
    rows = judged([*map(entry, range(5)), entry(5, 1.05)])
    assert {row.kind for row in rows.values()} <= {"none", "change"}
    rows = judged([*map(entry, range(5)), entry(5, 0.7)])
    assert rows["int8", VALIDATE_MEMORY.name].kind == "improvement"


def test_memory_waits_for_earlier_nights_that_have_it() -> None:
    old = [entry(number, known=False) for number in range(5)]
    assert judged([*old, entry(5)]) == {}
    assert judged([*old, *map(entry, range(5, 5 + LEAST_RUNS))]) == {}
    enough = judged([*old, *map(entry, range(5, 6 + LEAST_RUNS))])
    assert {row.kind for row in enough.values()} == {"none"}


def test_a_suspected_row_is_made_anew_before_it_is_a_regression() -> None:
    nights, tonight = list(map(entry, range(5))), entry(5, 1.3)
    baseline = last_good(nights, {}, 5)

    def night(second: NightEntry) -> Night:
        asked = []

        def again(slower: object, others: Sequence[str]) -> Again:
            asked.append((slower, list(others)))
            return Again("n5-again", second, {}, {})

        means = Means(again, lambda _: None, lambda _: None, 5)
        result = judge_night(tonight, nights, baseline, Seen(Disturbances()), means)
        assert asked == [({}, ["int8"])]
        return result

    confirmed = night(replace(entry(6, 1.3), run="n5-again"))
    assert confirmed.verdict == "regression"
    assert "more memory in validating (confirmed)" in headline(confirmed)
    (regression,) = confirmed.open
    assert regression.metric == "validate_mb" and regression.changes == ("code: was 4, is 5",)
    cleared = night(replace(entry(6), run="n5-again"))
    assert cleared.verdict == "none" and not cleared.open
    assert outcome_of(cleared.rows, True) == "none"


def test_a_history_of_before_is_read_and_kept(tmp_path: Path) -> None:
    with opened(tmp_path) as history:
        history.save(entry(1))
        (found,) = history.load("m")
    assert [row.once for row in found.rows] == [row.once for row in entry(1).rows]
    with (
        closing(sqlite3.connect(tmp_path / NAME)) as connection,
        connection,
    ):  # as it was made before
        for column in ("optimize_mb", "validate_mb"):
            connection.execute(f"ALTER TABLE rows DROP COLUMN {column}")
        connection.execute("ALTER TABLE runs DROP COLUMN compared_with")
        before = next(at for at, one in enumerate(MIGRATIONS) if "optimize_mb" in one)
        connection.execute(f"PRAGMA user_version={before}")
    with opened(tmp_path) as history:
        (found,) = history.load("m")
        assert [row.optimize_mb for row in found.rows] == [None, None]
        history.save(entry(2))
        assert history.load("m")[-1].rows[0].optimize_mb == entry(2).rows[0].optimize_mb


@pytest.mark.parametrize("value", [-1.0, float("inf"), "much"])
def test_memory_that_is_none_is_refused(tmp_path: Path, value: object) -> None:
    with opened(tmp_path) as history:
        history.save(entry(1))
    with closing(sqlite3.connect(tmp_path / NAME)) as connection, connection:
        connection.execute("UPDATE rows SET validate_mb=?", (value,))
    with pytest.raises(Exception, match="the memory of validating of fp32"), opened(tmp_path) as h:
        h.load("m")
