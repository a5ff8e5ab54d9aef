"""The paragraph for papers says what the records say, not what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.facts.typed import changed
from harness.report.methods_text import methods_text
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord, Outcome, RoundRecord, Split
from harness.table.instances.splits import split_rows
from harness.table.notes.footnotes import footnotes
from harness.table.rows import build_rows
from harness.table.samples import samples_of
from harness.table.served.rates import ServedRow
from helpers.sample_records import (
    LABELS,
    LOAD,
    TUNING,
    configured,
    measured,
    plan,
    predicted,
    timed,
    together,
)


def test_other_engines_are_named_with_their_versions() -> None:
    made = plan()
    locked = {"openvino": "2026.4", "nncf": "3.4", "scipy": "1"}
    versions = changed(made.versions, engines={"mine": {"six": "1"}, "openvino": locked})
    paragraph, _ = said([measured("fp32", 1.0)], planned=replace(made, versions=versions))
    assert "in environments of their own: mine; openvino 2026.4, nncf 3.4." in paragraph
    assert "other engines" not in said([measured("fp32", 1.0)])[0]


def said(
    records: Sequence[MethodRecord],
    rounds: Sequence[RoundRecord] = (),
    planned: RunPlan | None = None,
) -> tuple[str, str]:
    """Return the paragraph and the footnotes."""
    made = planned or plan(rounds=max((each.round for each in rounds), default=0))
    samples = samples_of(rounds).get(100, {}) if made.config.protocol.rounds else None
    rows = build_rows(records, samples, lambda r: predicted(0.8, 0.9), LABELS, "fp32", "fp32_fused")
    return (
        methods_text(made, records, rows, rounds),
        "\n".join(footnotes(made, records, rounds, rows, "./run.sh run.id=r")),
    )


def tuned(
    sampling_size: int, calibrated: int | None, **options: Any
) -> tuple[RunPlan, MethodRecord]:
    """Return a plan and a record of a search that was told to calibrate on so many images."""
    told = {**TUNING, "sampling_size": sampling_size, **options}
    basic = {"label": "basic", "_target_": "x", "strategy": "basic", "options": told}
    made = configured(plan(), method={"basic": basic})
    quantization = {"strategy": "basic", "trials": 2}
    if calibrated is not None:
        quantization["calibration_images"] = calibrated
    record = measured("basic", 1.0)
    assert record.optimize is not None
    return made, replace(record, optimize=changed(record.optimize, quantization=quantization))


@pytest.mark.parametrize(
    ("sampling_size", "calibrated", "told"),
    [
        (5000, 100, "calibrated on 100 of them"),  # the record knows
        (64, 100, "calibrated on 100 of them"),  # INC takes whole batches
        (5000, None, "calibrated on at most 100 of them"),  # an old record, of 100 tuning images
        (64, None, "calibrated on at most 100 of them"),
        (100, None, "calibrated on 100 of them"),
    ],
)
def test_images_of_the_calibration(sampling_size: int, calibrated: int | None, told: str) -> None:
    made, record = tuned(sampling_size, calibrated)
    assert told in said([record], planned=made)[0]


def test_a_rows_own_options_are_what_its_search_was_told() -> None:
    made, record = tuned(
        100, 100, tolerance=0.25, criterion="absolute", seed=77, objective="footprint",
        max_trials=4, timeout_s=60,
    )  # fmt: skip
    text = said([record], planned=made)[0]
    assert "0.25 absolute" in text and "1 % relative" not in text
    assert "(objective footprint, at most 4 trials and 60 s, seed 77)" in text


def test_the_usual_limit_of_trials_comes_first_and_then_the_others() -> None:
    made, record = tuned(64, 100)
    methods = {
        name: {
            "label": f"INC {name}",
            "_target_": "x",
            "strategy": name,
            "options": {**TUNING, "max_trials": limit},
        }
        for name, limit in (("basic", 120), ("mse", 120), ("bayesian", 25))
    }
    records = [replace(record, method=name, label=name) for name in methods]
    text, _ = said(records, planned=configured(made, method=methods))
    assert ", at most 120 trials (INC bayesian: 25), seed 9)" in text


def test_searches_of_other_engines_are_told_each_with_its_own_limits() -> None:
    limited = {"max_trials": 7, "timeout_s": 60, "sampling_size": 192, "seed": 3}
    engines = {
        "inc": {"criterion": "relative", "tolerance": 0.01, **limited},
        "nncf": {"criterion": "absolute", "tolerance": 0.02},
        "plain": {"precision": "int8"},
    }
    own = {"environment": "mine", "_target_": "mine.Mine"}
    rows = {
        name: {"label": name, "_target_": "x", "engine": {**own, **options}}
        for name, options in engines.items()
    }
    records = [measured(name, 1.0) for name in rows]
    records[0] = replace(records[0], outcome=Outcome("no solution", trials=7), optimize=None)
    paragraph, _ = said(records, planned=configured(plan(), method=rows))
    assert (
        "inc accepted a loss of top-1 of 1 % relative on these images (at most 7 trials and 60 s, "
        "calibrated on at most 192 images, seed 3). nncf accepted a loss of top-1 of 0.02 absolute on "
        "these images."
    ) in paragraph
    assert "plain accepted" not in paragraph and "calibration cache" not in paragraph


def test_a_search_that_was_not_made_is_not_told() -> None:
    made, record = tuned(100, 100)
    made = configured(made, methods={"shared_calibration": True})
    failed = replace(record, outcome=Outcome("failed", "killed"), optimize=None, validate=None)
    text, notes = said([failed], planned=made)
    assert "calibrated on" not in text and "optimised" not in text and "Accuracies" not in text
    assert "Without a result: basic (failed: killed)." in text
    assert "shared one calibration" not in text + notes  # one row shares with nobody


def test_models_of_another_run_are_not_told_as_made_here() -> None:
    own, other = measured("fp32", 1.0), measured("int8", 1.0)
    assert other.optimize is not None
    reused = replace(other, optimize=changed(other.optimize, reused_from="old"))
    text = said([own, reused])[0]
    assert "1 method was optimised" in text
    assert "The models and costs of 1 method was taken over" not in text
    assert "1 method's model and cost were taken over from run old" in text


def test_threads_are_those_that_were_found() -> None:
    record = measured("fp32", 1.0)
    assert "MXNet was asked for 2 threads" in said([record])[0]
    assert record.validate is not None
    openmp = {"runtime": "libgomp", "max_threads": 1}
    found = changed(record.validate, openmp=openmp)
    assert "MXNet ran 1 thread of libgomp" in said([replace(record, validate=found)])[0]


def test_rounds_and_batches_are_those_that_were_timed() -> None:
    records = [measured("fp32", 1.0), measured("int8", 1.0)]
    rounds = [timed("fp32", n, [0.1] * 7) for n in (1, 2)] + [timed("int8", 1, [0.1] * 7)]
    text, notes = said(records, rounds, plan(rounds=9, batches=40))
    assert "1 to 2 of the 9 planned rounds of 7 batches" in text
    assert "1 to 2 rounds of 7 batches" in notes and "40 batches" not in text + notes
    untimed = said(records, [], plan(rounds=9))
    assert "not timed yet" in untimed[0] and "9 rounds of" not in "".join(untimed)


def test_disturbances_and_warm_ups_are_those_that_there_were() -> None:
    rounds = [
        timed("fp32", 1, [0.1] * 9, disturbed=[LOAD]),
        timed("fp32", 1, [0.1] * 9, attempt=2),
        timed("fp32", 2, [0.1] * 9, settled=False),
    ]
    text = said([measured("fp32", 1.0)], rounds)[0]
    assert "1 of 3 timings were disturbed and repeated up to 2 times" in text
    assert "the times of 1 of 3 timings had not settled" in text
    lost = [timed("fp32", 1, [0.1] * 9, disturbed=[LOAD], attempt=n) for n in (1, 2, 3)]
    lost[:2] = [replace(each, outcome=Outcome("failed", "it did")) for each in lost[:2]]
    assert "3 of 3 timings were disturbed" in said([measured("fp32", 1.0)], lost)[0]
    quiet = said([measured("fp32", 1.0)], [timed("fp32", n, [0.1] * 9) for n in (1, 2)])[0]
    assert "disturbed" not in quiet and "settled" not in quiet


def test_intervals_are_told_where_there_are_any_and_as_what_they_are() -> None:
    records = [measured("fp32", 1.0), measured("int8", 0.5)]
    assert "Intervals" not in said([measured("other", 1.0)], [timed("other", 1, [0.1] * 3)])[0]
    one = said(records, [timed(name, 1, [0.1, 0.11] * 9) for name in ("fp32", "int8")])[0]
    assert "signed-rank test over rounds" not in one and "do not cover other processes" in one
    two = [timed(name, n, [0.1, 0.11, 0.1 * n] * 6) for n in (1, 2) for name in ("fp32", "int8")]
    both = said(records, two)[0]
    assert "Wilcoxon's signed-rank test over rounds on the log scale" in both


@pytest.mark.parametrize(
    ("rounds", "stretched", "widened"), [(2, True, False), (6, False, False), (15, False, True)]
)
def test_what_is_done_to_intervals_is_told_by_the_number_of_rounds(
    rounds: int, stretched: bool, widened: bool
) -> None:
    timings = [
        timed(name, n, [0.1, 0.11, 0.1 * n] * 6)
        for n in range(1, rounds + 1)
        for name in ("fp32", "int8")
    ]
    text = said([measured("fp32", 1.0), measured("int8", 0.5)], timings)[0]
    assert ("stretched by Student's quantiles" in text) is stretched
    assert ("widened from 15 rounds on" in text) is widened


def test_splits_and_queries_are_told_where_they_were_measured() -> None:
    records = [measured("fp32", 1.0)]
    splits = split_rows(records, [together("fp32", n, Split(2, 2), [1.0, 1.0]) for n in (1, 2)])
    server = {"latency_ms": 10, "duration_s": 20, "queries": 1000, "precision": 0.02}
    made = plan(server={**server, "batch": 4, "delay_ms": 5, "seed": 3})
    served = [ServedRow("fp32", "fp32", "a split", 5.0, None, None, (), 0, None)]
    text = methods_text(made, records, [], (), splits, served)
    assert "Splits of the machine into 2 instances were timed in 2 rounds" in text
    assert "For 1 method the highest rate of queries of one image was searched" in text
    assert "was at most 10 ms." in text
    alone = methods_text(made, records, [])
    assert "Splits" not in alone and "queries" not in alone
