"""A/A on simulated repeats of known noise: rates, what is detected, and the same verdict as at night."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binomtest

from harness.nightly.aa.analysis import Alarms, _compare, _levels, analyse, clopper_pearson
from harness.nightly.aa.report import to_markdown
from harness.nightly.judge import judge
from harness.nightly.verdict import NIGHTLY, Run, Settings
from harness.stats.multiple_tests import holm
from harness.stats.night_noise import Spread

Floats = npt.NDArray[np.float64]
NAMES = "abcdefghij"


def repeats(
    seed: int = 0,
    count: int = 10,
    *,
    rounds: int = 10,
    batches: int = 10,
    rounds_sd: float = 0.006,
    runs_sd: float = 0.003,
    spikes: float = 0.02,
) -> list[dict[str, Floats]]:
    """Return repeats of ten methods, some rounds 5 to 30 % slow, half of the runs' variance shared."""
    rng = np.random.default_rng(seed)
    shape = (count, len(NAMES), rounds, batches)
    logs = rounds_sd * rng.standard_normal((*shape[:3], 1)) + 0.01 * rng.standard_normal(shape)
    shared = rng.standard_normal((count, 1, 1, 1)) + rng.standard_normal((*shape[:2], 1, 1))
    logs += runs_sd * shared / math.sqrt(2)
    slow = np.log1p(rng.uniform(0.05, 0.3, (*shape[:3], 1)))
    seconds = np.exp(logs + slow * (rng.random(slow.shape) < spikes))
    return [{name: 2.0**at * seconds[k, at] for at, name in enumerate(NAMES)} for k in range(count)]


def as_runs(spread_from: list[dict[str, Floats]]) -> dict[str, Spread]:
    """Return the spread of these repeats, by the module's own levels."""
    methods, levels, _ = _levels(spread_from, NIGHTLY)
    sds = levels.value.std(axis=0, ddof=1)
    return {m: Spread(float(sd), len(spread_from) - 1) for m, sd in zip(methods, sds, strict=True)}


@pytest.mark.parametrize("runs_sd", [0.0, 0.003, 0.01])
def test_false_alarms_of_independent_machines_stay_below_one_percent(runs_sd: float) -> None:
    reports = [
        analyse(repeats(seed, runs_sd=runs_sd), resamples=200, histories=0) for seed in range(30)
    ]
    assert np.mean([each.resampled.rate.estimate for each in reports]) <= 0.012
    assert sum(each.pooled.differing for each in reports) <= 0.01 * 9 * 30 + 3
    assert sum(each.previous.differing for each in reports) <= 0.01 * 9 * 30 + 3
    assert {each.previous.tables for each in reports} == {9}


def test_it_is_the_verdict_of_the_night() -> None:
    """Drawn tables, judged as runs: the same p-values and the same alarms."""
    found = repeats(3, runs_sd=0.012, rounds=5)
    found[4] = {name: times * 1.12 for name, times in found[4].items()}
    methods, levels, _ = _levels(found, NIGHTLY)
    orders = np.random.default_rng(5).permuted(np.tile(np.arange(10), (60, 1)), axis=1)
    contrast = _compare(levels, orders, 5)
    adjusted = holm(contrast.p_value)
    differing = 0
    for order, p_values in zip(orders, adjusted, strict=True):
        runs = [Run(found[at]) for at in order]
        spread = as_runs([found[at] for at in order[6:]])
        verdicts = judge(runs[1:6], runs[0], spread=spread)
        assert [each.method for each in verdicts] == methods
        assert [each.adjusted_p for each in verdicts] == pytest.approx(list(p_values))
        differs = {"regression", "improvement", "change"} & {each.kind for each in verdicts}
        assert bool(differs) == bool((p_values <= NIGHTLY.alpha).any())
        differing += bool(differs)
    assert differing


def test_a_repeat_of_other_code_is_an_alarm() -> None:
    found = repeats(4)
    found[7] = {**found[7], "c": found[7]["c"] * 1.1}
    report = analyse(found, resamples=400, histories=0)
    assert report.pooled.waking >= 1 and report.previous.waking >= 1
    assert report.resampled.waking == pytest.approx(40, abs=20)  # whenever it is the candidate
    assert analyse(found, Settings(slower=0.2), resamples=400, histories=0).resampled.waking == 0


@pytest.mark.slow
def test_the_smallest_detectable_slowdown_is_detected() -> None:
    """By brute force: scale the candidate, judge the table, count the suspicions."""
    found = repeats(6, rounds=5)
    report = analyse(found, resamples=80, seed=2)
    orders = np.random.default_rng(2).permuted(np.tile(np.arange(10), (80, 1)), axis=1)
    least = {each.method: each.detectable for each in report.methods}
    for method, power in (("b", 0.8), ("g", 0.95)):
        slower, shares = least[method][power], []
        for factor in (1 + slower * 1.0001, 1 + slower * 0.98):
            called = 0
            for order in orders:
                runs = [Run(found[at]) for at in order]
                slow = Run({**found[order[0]], method: found[order[0]][method] * factor})
                spread = as_runs([found[at] for at in order[6:]])
                verdicts = judge(runs[1:6], slow, spread=spread)
                called += [v.suspected for v in verdicts if v.method == method] == [True]
            shares.append(called / len(orders))
        assert shares[0] >= power > shares[1]


def test_it_detects_less_where_there_is_more_noise() -> None:
    quiet, noisy = (analyse(repeats(7, runs_sd=sd), histories=0) for sd in (0.002, 0.01))
    for less, more in zip(quiet.methods, noisy.methods, strict=True):
        assert NIGHTLY.slower * 0.7 < less.detectable[0.8] < more.detectable[0.8]
        assert less.detectable[0.8] <= less.detectable[0.95]
    assert np.median([each.detectable[0.8] for each in quiet.methods]) < 0.05


def test_the_noise_is_found() -> None:
    report = analyse(
        repeats(8, 40, rounds_sd=0.008, runs_sd=0.01, batches=1, spikes=0.0), histories=0
    )
    # the mean of the faster half of normal rounds has 1.18 times the error of that of all
    of_rounds = 1.18 * math.hypot(
        0.008, 0.01
    )  # a batch's own noise is that of a round of one batch
    assert np.mean([each.rounds_sd for each in report.methods]) == pytest.approx(of_rounds, rel=0.1)
    assert np.mean([each.expected_sd for each in report.methods]) == pytest.approx(
        of_rounds / math.sqrt(10), rel=0.1
    )
    between = math.hypot(0.01, of_rounds / math.sqrt(10))
    assert np.mean([each.repeats_sd for each in report.methods]) == pytest.approx(between, rel=0.2)
    assert [each.seconds for each in report.methods] == pytest.approx(
        2.0 ** np.arange(10), rel=0.02
    )
    assert 0.01 / math.sqrt(2) * 0.8 < report.common_sd < 0.01
    assert report.methods[0].spread == Spread(report.methods[0].repeats_sd, 39)


def test_known_figures_of_a_report() -> None:
    report = analyse(repeats(9), resamples=250, histories=9, seed=3)
    assert (report.repeats, report.rounds, report.baseline) == (10, 10, 5)
    assert report.distinct == 1260
    assert report.resampled.tables == 250
    assert report.replays and report.replays.histories == 9
    assert report == analyse(repeats(9), resamples=250, histories=9, seed=3)
    assert analyse(repeats(9, 3)).baseline == 2


@pytest.mark.quiet
def test_a_thousand_resamplings_take_seconds() -> None:
    found = repeats(10, batches=20)
    began = time.perf_counter()
    analyse(found, resamples=1000, histories=0)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(("events", "trials"), [(0, 200), (2, 200), (9, 9), (5, 10)])
def test_clopper_and_pearson(events: int, trials: int) -> None:
    """Against scipy's exact interval; none of 200 excludes more than 1.8 %."""
    found = clopper_pearson(events, trials)
    expected = binomtest(events, trials).proportion_ci(0.95, "exact")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.estimate == events / trials
    if not events:
        assert found.high == pytest.approx(0.0183, abs=1e-4)


def test_the_report_states_its_figures() -> None:
    report = analyse(repeats(11), resamples=200, histories=9)
    text = to_markdown(report, [], 1.0)
    worst = max(each.detectable[0.8] for each in report.methods)
    assert f"at the worst of the methods: {100 * worst:.1f} % in 80 %" in text
    assert "10 repeats of 10 rounds of 10 methods" in text
    assert "of 9 histories" in text
    assert "alpha 0.005 for a table and a threshold of 2.5 % of time" in text
    (line,) = (each for each in text.splitlines() if "re-sampled, against 5" in each)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    counts = report.resampled
    assert cells[1:] == [
        "200",
        f"{counts.waking} ({counts.waking / 2:.1f} %)",
        f"{counts.differing} ({counts.differing / 2:.1f} %)",
        f"{100 * counts.rate.low:.1f} to {100 * counts.rate.high:.1f} %",
        f"{counts.suspected} ({counts.suspected / 2:.1f} %)",
    ]
    assert sum(line.startswith(f"| {name} ") for name in NAMES for line in text.splitlines()) == 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: analyse(repeats(0, 2)), "2 repeats; an A/A run takes 3"),
        (
            lambda: analyse([*repeats(0, 3), {"a": np.ones((5, 5))}]),
            "repeat 3 has a; the first has",
        ),
        (lambda: analyse(repeats(0, 3, rounds=4)), "a method has 4 rounds; a verdict takes 5"),
        (lambda: analyse([{"a": np.zeros((5, 5))}] * 3), "not positive"),
    ],
)
def test_errors_name_what_is_wrong(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_rate_counts_every_difference() -> None:
    assert Alarms(200, differing=2, waking=1, suspected=3).rate.estimate == 0.01
