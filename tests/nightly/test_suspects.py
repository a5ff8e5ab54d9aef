"""Nights judged from their history alone: what disturbed rounds and missing baselines do to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.config import compose_config
from harness.nightly.baseline import last_good
from harness.nightly.disturbed import Cause, Disturbances
from harness.nightly.entry import NightEntry, NightRow
from harness.nightly.night import MeasuredShift, Night, Regression, headline
from harness.nightly.nightly_report import to_markdown
from harness.nightly.notices.next_steps import steps
from harness.nightly.remeasure import Again
from harness.nightly.suspects import Means, Seen, judge_night
from harness.nightly.verdict import BATCH, Verdict

CAUSE = Cause("core_load", 20, 0.8, 0.1, "something else used the cores", "close what else runs")
SEEN = Seen(Disturbances(10, 10, 20, 20, (CAUSE,)), words=("run.results=R",))


def entry(
    run: int, disturbed: int = 0, sd: float = 0.001, factor: float = 1.0, **changes: Any
) -> NightEntry:
    """Return a night of two methods, of ten rounds each."""
    rng = np.random.default_rng(run)
    rows = tuple(
        NightRow(
            method,
            method,
            "ok",
            None,
            factor * np.exp(sd * rng.standard_normal((10, 1)) + np.zeros((10, 3))),
            np.arange(200).reshape(2, 100) % 3 > 0,
            f"{method}/{run}",
            disturbed,
        )
        for method in ("fp32", "int8")
    )
    return NightEntry(
        machine="m",
        run=f"n{run}",
        created=f"2026-01-{run:02d}T00:00:00Z",
        folder=f"m/n{run}",
        alike={"images": 100},
        environment={"code": "c"},
        rows=rows,
        verdict="none",
        **changes,
    )


def judged(night: NightEntry, earlier: list[NightEntry], *words: str) -> Night:
    """Judge a night; none of these has a row that would be measured again."""
    trusts = compose_config(words).config.nightly.trust_disturbed
    baseline = last_good(earlier, night.alike, 5, trusts)
    refused = lambda *_: pytest.fail("nothing is measured again")  # noqa: E731
    means = Means(refused, refused, refused, 5, trusts)
    return judge_night(night, earlier, baseline, SEEN, means)


def gaps(night: Night) -> set[str | None]:
    return {row.gap for row in night.rows if row.metric.name == "batch_s"}


TRUST = "nightly.trust_disturbed=true"


def test_a_quiet_night_like_those_before() -> None:
    night = judged(entry(5), [entry(run) for run in range(1, 5)])
    assert headline(night) == "accuracy unchanged; time unchanged"
    assert (night.verdict, gaps(night)) == ("none", {None})
    assert [step.text for step in steps(night)] == ["Nothing to do."]


def test_a_disturbed_night_says_that_time_was_not_judged() -> None:
    night = judged(entry(5, 6, sd=0.1, factor=1.09), [entry(run) for run in range(1, 5)])
    assert headline(night) == "accuracy unchanged; time NOT judged (10 of 10 rounds disturbed)"
    assert (night.verdict, gaps(night)) == ("partly", {"disturbed"})
    (step,) = steps(night)
    assert step.text.endswith("so that its times can be judged: close what else runs. Then:")
    assert step.command == "./run.sh nightly run.results=R"
    said = [row.sentences for row in night.rows if row.metric.name == "batch_s"]
    assert all("6 of its 10 rounds were disturbed, so its time was not judged." in x for x in said)
    assert "the times of fp32, int8 are no baseline for later nights" in night.notes[0]


def test_times_that_half_of_the_rounds_hold_are_judged() -> None:
    """Five of ten rounds were disturbed, and the faster five count."""
    night = judged(entry(5, 5), [entry(run) for run in range(1, 5)])
    assert headline(night) == "accuracy unchanged; time unchanged"
    assert not night.notes


def test_a_disturbed_first_night_is_no_baseline_unless_told() -> None:
    first = judged(entry(1, 10), [])
    assert headline(first).endswith("its times are NO baseline (10 of 10 rounds disturbed)")
    assert gaps(first) == {"disturbed"} and first.verdict == "first"
    assert [figures.disturbed for figures in first.figures] == [10, 10]
    assert "| fp32 " in to_markdown(first).split("<details>", maxsplit=1)[0]
    second = judged(entry(2), [entry(1, 10)])
    assert headline(second) == "accuracy unchanged; time NOT judged (no earlier night counts)"
    assert (second.verdict, gaps(second)) == ("partly", {"nothing before"})
    third = judged(entry(3), [entry(1, 10), entry(2)])
    assert headline(third) == "accuracy unchanged; time unchanged"


def test_disturbed_nights_count_where_that_is_told() -> None:
    first = judged(entry(1, 10), [], TRUST)
    assert headline(first) == "first night, nothing to compare with yet"
    assert [step.text[:13] for step in steps(first)] == ["Nothing to do"]
    second = judged(entry(2, 10), [entry(1, 10)], TRUST)
    assert headline(second) == "accuracy unchanged; time unchanged"
    for night in (first, second):
        (note,) = night.notes
        assert note.startswith("the times of fp32, int8 are trusted (nightly.trust_disturbed=true)")


@pytest.mark.parametrize(
    ("level", "code", "changes"),
    [("n1", "new", ("code: was 'old', is 'new'",)), ("n1", "old", ()), ("n0", "new", None)],
)
def test_an_open_regression_gets_its_changes_where_they_are_known(
    level: str, code: str, changes: tuple[str, ...] | None
) -> None:
    open_ = Regression("gone", "cost_s", "n2", "2026-01-02T00:00:00Z", "gone costs more", (level,))
    first = replace(entry(1), environment={"code": "old"})
    second = replace(entry(2), environment={"code": code}, verdict="regression", open=(open_,))
    (still_open,) = judged(entry(3), [first, second]).open
    assert still_open.changes == changes


def test_the_first_night_of_another_kind_names_what_was_open() -> None:
    open_ = Regression("int8", "cost_s", "n2", "2026-01-02T00:00:00Z", "int8 costs 30 % more")
    before = [entry(1), replace(entry(2), verdict="regression", open=(open_,))]
    other = replace(entry(3), alike={"images": 50})
    first = judged(other, before)
    assert first.verdict == "first" and not first.open
    assert first.notes[1].endswith("neither judged nor carried on here: int8 costs 30 % more")
    assert len(judged(replace(entry(4), alike={"images": 50}), [*before, other]).notes) == 0
    before[1] = replace(before[1], acknowledged={open_.key: "meant"})
    assert len(judged(other, before).notes) == 1


@pytest.mark.parametrize(
    ("changes", "is_measured"),
    [({}, False), ({"verdict": "stopped"}, True), ({"alike": {"images": 50}}, True)],
)
def test_a_shift_counts_as_measured_where_a_night_like_this_one_ended(
    changes: dict[str, Any], is_measured: bool
) -> None:
    earlier = [entry(run, factor=1.03 if run > 8 else 1.0) for run in range(1, 16)]
    shift = MeasuredShift("int8", "n9", 1.03), MeasuredShift("fp32", "n9", 1.03)
    earlier[-1] = replace(earlier[-1], shifted=frozenset(shift), **changes)
    night = entry(16, factor=1.03)
    measured: list[str] = []

    def remeasure(slower: Mapping[str, NightEntry], _: Sequence[str]) -> Again:
        measured.extend(slower)
        return Again("again", night, {}, {}, dict.fromkeys(slower, "its model is gone"))

    means = Means(remeasure, lambda _: None, lambda _: None, 5)
    judge_night(night, earlier, last_good(earlier, night.alike, 5), SEEN, means)
    assert measured == (["fp32", "int8"] if is_measured else [])


def test_what_trusted_times_cannot_tell_is_noise() -> None:
    earlier = [entry(run, 10) for run in range(1, 5)]
    night = judged(entry(5, 10, sd=0.1, factor=1.09), earlier, TRUST)
    assert headline(night) == "accuracy unchanged; time NOT judged (too noisy)"
    assert gaps(night) == {"noise"}
    (step,) = steps(night)
    assert step.text.startswith("Nothing to do tonight.") and step.command is None
    assert "disturbed" not in "".join(row.sentences for row in night.rows)


def test_after_regressions_that_nobody_acknowledged_there_is_nothing_to_compare_with() -> None:
    both = frozenset({("fp32", "batch_s"), ("int8", "batch_s")})
    night = judged(entry(2), [entry(1, regressions=both)])
    assert gaps(night) == {"nothing before"}
    assert "Acknowledge the night whose level is right." in night.rows[0].advice


def test_a_suspected_row_is_timed_with_the_latest_model_that_counts() -> None:
    """Not with that of a night whose row was a regression: it would be found as fast."""
    slow = frozenset({("fp32", "batch_s")})
    earlier = [entry(1), entry(2), entry(3, regressions=slow)]
    baseline = last_good(earlier, earlier[0].alike, 5)
    for method, run in (("fp32", "n2"), ("int8", "n3")):
        row = Verdict(method, BATCH, "regression", None, None, None, 0.025, "It is so.")
        assert baseline.latest(row).run == run
