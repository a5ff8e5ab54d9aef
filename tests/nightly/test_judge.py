"""False alarms and power on simulated runs of known truth, each kind of verdict, and what must hold."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import t as student

from harness.nightly.judge import _difference, judge
from harness.nightly.verdict import BATCH, EQUIVALENCE, NIGHTLY, Run, Settings, Verdict
from harness.stats.multiple_tests import holm
from harness.stats.night_noise import (
    QUICK,
    Contrast,
    Level,
    Spread,
    contrast,
    effective_methods,
    level,
    moderated,
    quick_batch,
)
from harness.table.metrics import TOP1, TOP5, Metric

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
METHODS = 10
KNOWN = 10  # repeats of an A/A run
SLOWER = math.log1p(NIGHTLY.slower)


def times(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    *,
    rounds_sd: float = 0.01,
    runs_sd: float = 0.0,
    common: float = 0.5,
    spikes: float = 0.02,
    tail: str = "normal",
) -> Floats:
    """Return seconds of shape (tables, runs, METHODS, rounds, batches).

    Args:
        rounds_sd: relative, between rounds.
        runs_sd: relative, between runs.
        common: part of the runs' variance that all methods share.
        spikes: chance of a round to be 5 to 30 % slow as a whole.
        tail: of rounds: normal, t5 or exponential.
    """
    tables, runs, methods, rounds, batches = shape
    of_rounds = {
        "normal": lambda size: rng.standard_normal(size),
        "t5": lambda size: rng.standard_t(5, size) * 0.6**0.5,
        "exponential": lambda size: rng.exponential(1, size) - 1,
    }[tail]((tables, runs, methods, rounds))
    shared = rng.standard_normal((tables, runs, 1, 1)) * common**0.5
    own = rng.standard_normal((tables, runs, methods, 1)) * (1 - common) ** 0.5
    logs = rounds_sd * of_rounds + runs_sd * (shared + own)
    contaminated = rng.random(logs.shape) < spikes
    logs += contaminated * np.log1p(rng.uniform(0.05, 0.3, logs.shape))
    if batches == 1:
        return np.exp(logs)[..., None]
    noise = rng.standard_normal(shape)
    for at in range(1, batches):
        noise[..., at] = 0.5 * noise[..., at - 1] + 0.75**0.5 * noise[..., at]
    return np.exp(logs[..., None] + 0.01 * noise)


def compared(seconds: Floats, baseline: int, slower: float = 0.0) -> Contrast:
    """Compare run 0 of each table with the ``baseline`` next; the other runs are an A/A run."""
    found = level(seconds)
    runs = Level(*(part.swapaxes(0, 1) for part in (found.value, found.variance, found.kept)))
    value = runs.value[0] + math.log1p(slower)
    candidate = Level(value, runs.variance[0], runs.kept[0])
    known = runs.value[1 + baseline :]
    squares = known.var(axis=0) * len(known) if len(known) else 0.0
    return contrast(candidate, runs[1 : 1 + baseline], squares, max(len(known) - 1, 0))


def false_alarms(found: Contrast, alpha: float = NIGHTLY.alpha) -> float:
    return float((holm(found.p_value) <= alpha).any(axis=-1).mean())


CASES: dict[str, dict[str, Any]] = {
    "quiet": {"rounds_sd": 0.003, "spikes": 0.0},
    "spikes": {"rounds_sd": 0.005},
    "noisy": {"rounds_sd": 0.02},
    "runs differ": {"rounds_sd": 0.003, "runs_sd": 0.003},
    "runs differ more": {"runs_sd": 0.02, "common": 0.0},
    "busy hours": {"runs_sd": 0.02, "common": 1.0},
    "heavy tails": {"runs_sd": 0.005, "tail": "t5"},
    "skewed": {"runs_sd": 0.005, "tail": "exponential"},
}


@pytest.mark.slow
@pytest.mark.parametrize(("baseline", "known"), [(1, KNOWN), (5, 0), (5, KNOWN), (10, 0)])
@pytest.mark.parametrize("rounds", [5, 10])
@pytest.mark.parametrize("case", CASES)
def test_false_alarms_of_whole_tables_stay_below_one_percent(
    case: str, rounds: int, baseline: int, known: int
) -> None:
    shape = (2000, 1 + baseline + known, METHODS, rounds, 1)
    found = compared(times(np.random.default_rng(rounds), shape, **CASES[case]), baseline)
    assert false_alarms(found) <= 0.01
    assert false_alarms(found, 0.01) <= 0.017  # 1 % and three standard errors of 2000 tables


def test_false_alarms_with_autocorrelated_batches() -> None:
    seconds = times(np.random.default_rng(1), (300, 6, METHODS, 10, 10), runs_sd=0.005)
    assert false_alarms(compared(seconds, 5)) <= 0.01


def test_rounds_alone_would_take_a_busy_hour_for_slow_code() -> None:
    seconds = times(np.random.default_rng(2), (500, 6, METHODS, 10, 1), runs_sd=0.01, common=1.0)
    found = compared(seconds, 5)
    alone = dataclasses.replace(found, runs_error=0 * found.runs_error)
    assert false_alarms(alone) >= 0.3
    assert false_alarms(found) <= 0.01


def test_runs_alone_would_take_a_contaminated_process_for_a_slow_run() -> None:
    seconds = times(np.random.default_rng(3), (2000, 11, METHODS, 5, 1))
    found = compared(seconds, 10)
    alone = dataclasses.replace(found, rounds_error=0 * found.rounds_error)
    assert false_alarms(alone, 0.01) >= 0.012
    assert false_alarms(found, 0.01) <= 0.006


@pytest.mark.parametrize(
    ("rounds", "baseline", "known", "case", "power"),
    [
        (5, 5, KNOWN, {"rounds_sd": 0.005}, 0.93),
        (5, 5, KNOWN, {"rounds_sd": 0.01}, 0.90),
        (10, 5, KNOWN, {"rounds_sd": 0.01}, 0.99),
        (10, 5, KNOWN, {"rounds_sd": 0.01, "runs_sd": 0.005}, 0.95),
        (10, 1, KNOWN, {"rounds_sd": 0.01}, 0.97),
        (10, 5, 0, {"rounds_sd": 0.005}, 0.98),
        (10, 10, 0, {"rounds_sd": 0.01}, 0.98),
    ],
)
def test_five_percent_slower_is_found(
    rounds: int, baseline: int, known: int, case: dict[str, Any], power: float
) -> None:
    shape = (1000, 1 + baseline + known, METHODS, rounds, 1)
    found = compared(times(np.random.default_rng(4), shape, **case), baseline, slower=0.05)
    seen = (found.p_value <= NIGHTLY.alpha / METHODS) & (found.difference >= SLOWER)
    assert seen.mean() >= power


@pytest.mark.parametrize("baseline", [2, 5, 10])
def test_the_interval_covers(baseline: int) -> None:
    seconds = times(np.random.default_rng(5), (1500, 1 + baseline, METHODS, 10, 1), runs_sd=0.01)
    found = compared(seconds, baseline)
    for tail in (0.005, 0.05):
        covered = np.abs(found.difference) <= found.reach(tail)
        assert covered.mean() >= 1 - 2 * tail - 0.01


@pytest.mark.parametrize("runs_sd", [0.0, 0.005, 0.01])
def test_none_is_seldom_said_of_a_slowdown_that_matters(runs_sd: float) -> None:
    seconds = times(np.random.default_rng(6), (1500, 6, METHODS, 10, 1), runs_sd=runs_sd)
    found = compared(seconds, 5, slower=NIGHTLY.slower)
    missed = np.abs(found.difference) + found.reach((1 - EQUIVALENCE) / 2) < SLOWER
    assert missed.mean() <= 1 - EQUIVALENCE


def answers(n: int = 10_000, right: int = 9200, lost: int = 0, won: int = 0) -> Bools:
    """Return the baseline's answers, or those that differ from it by so many images."""
    correct = np.arange(n) < right
    correct[:lost] = False
    correct[right : right + won] = True
    return correct


def night(
    rng: np.random.Generator, factors: dict[str, float] | None = None, rounds: int = 10, **case: Any
) -> Run:
    """Return a run of methods a to j, of 10 ms to 10 s a batch; ``factors`` slow some of them."""
    seconds = times(rng, (1, 1, METHODS, rounds, 10), **case)[0, 0]
    slow = factors or {}
    return Run(
        {
            name: np.exp2(at) / 100 * slow.get(name, 1.0) * each
            for at, (name, each) in enumerate(zip("abcdefghij", seconds, strict=True))
        },
        {TOP1: {name: answers() for name in "abcdefghij"}},
    )


def nights(count: int, seed: int = 0, **case: Any) -> list[Run]:
    rng = np.random.default_rng(seed)
    return [night(rng, **({"rounds_sd": 0.004} | case)) for _ in range(count)]


def by_row(verdicts: tuple[Verdict, ...]) -> dict[tuple[str, str], Verdict]:
    return {(each.method, each.metric.name): each for each in verdicts}


def kinds(verdicts: tuple[Verdict, ...]) -> dict[tuple[str, str], str]:
    """Return the rows of which something differs."""
    return {
        row: each.kind
        for row, each in by_row(verdicts).items()
        if each.kind not in ("none", "cannot tell")
    }


@pytest.mark.slow
def test_replayed_nights_name_the_slow_row_and_no_other() -> None:
    rng = np.random.default_rng(8)
    found, alarms = 0, 0
    for _ in range(40):
        history = [night(rng, rounds_sd=0.006, runs_sd=0.002) for _ in range(8)]
        alarms += bool(kinds(judge(history, night(rng, rounds_sd=0.006, runs_sd=0.002))))
        slow = night(rng, {"d": 1.05}, rounds_sd=0.006, runs_sd=0.002)
        found += kinds(judge(history, slow)) == {("d", "batch_s"): "regression"}
    assert found >= 38
    assert alarms <= 1


def test_an_injected_loss_of_half_a_point_is_found_and_nothing_else() -> None:
    history = nights(6)
    lossy = {**history[5].correct[TOP1], "g": answers(lost=70, won=20)}
    found = judge(history[:5], dataclasses.replace(history[5], correct={TOP1: lossy}))
    assert kinds(found) == {("g", "top1"): "regression"}
    verdict = by_row(found)["g", "top1"]
    assert verdict.estimate and verdict.estimate.estimate == pytest.approx(-0.5)
    assert "is 0.9150, 0.50 points less than the 0.9200 of the run before" in verdict.reason
    assert "of 10000 images 70 turned wrong and 20 turned right" in verdict.reason
    assert "Noise does not explain that, and 0.1 points or more matters." in verdict.advice


@pytest.mark.parametrize(
    ("factor", "kind", "says"),
    [
        (1.06, "regression", "2.5 % or more matters. Find what changed"),
        (1 / 1.06, "improvement", "Noise does not explain that: it became better. Nothing needs"),
        (1.02, "change", "less than 2.5 % does not matter. Nothing needs to be done."),
        (1.0, "none", "a change of 2.5 % is excluded. Nothing needs to be done."),
    ],
)
def test_kinds_of_times(factor: float, kind: str, says: str) -> None:
    history = nights(12, rounds_sd=0.001, spikes=0.0)
    slow = {**history[11].times, "c": history[11].times["c"] * factor}
    verdict = by_row(judge(history[:11], Run(slow)))["c", "batch_s"]
    assert (verdict.kind, verdict.metric) == (kind, BATCH)
    assert says in verdict.advice
    assert verdict.reason.startswith("A batch of c takes 0.0")
    assert "s of 11 earlier runs (90 % interval " in verdict.reason
    assert verdict.estimate and verdict.estimate.estimate == pytest.approx(factor, abs=0.006)
    assert verdict.estimate.level == 0.9
    assert verdict.p_value is not None and verdict.adjusted_p is not None
    assert (verdict.adjusted_p <= NIGHTLY.alpha) == (kind != "none")


def test_what_noise_would_hide_cannot_be_told() -> None:
    history = nights(6, rounds_sd=0.05)
    found = by_row(judge(history[:5], history[5]))["a", "batch_s"]
    assert found.kind == "cannot tell"
    assert found.gap == "noise"
    assert "a change of 2.5 % cannot be told from none, so this was not judged" in found.advice
    assert found.advice.endswith("measure more rounds (protocol.rounds).")


def test_one_earlier_run_needs_a_known_spread() -> None:
    before, now = nights(2)
    slow = Run({**now.times, "a": now.times["a"] * 1.06})
    unknown = by_row(judge([before], slow))["a", "batch_s"]
    assert (unknown.kind, unknown.suspected) == ("cannot tell", True)
    assert unknown.gap == "few runs"
    assert "One earlier run does not show" in unknown.advice
    alike = by_row(judge([before], now))["a", "batch_s"]
    assert (alike.kind, alike.suspected) == ("none", False)
    known = judge([before], slow, spread={name: Spread(0.002, 9) for name in now.times})
    assert by_row(known)["a", "batch_s"].kind == "regression"
    wide = judge([before], slow, spread={name: Spread(0.02, 9) for name in now.times})
    assert by_row(wide)["a", "batch_s"].kind == "cannot tell"


def test_few_rounds_cannot_tell() -> None:
    history = nights(5)
    few = {name: each[:4] for name, each in history[4].times.items()}
    found = by_row(judge(history[:4], Run(few)))["b", "batch_s"]
    assert (found.kind, found.estimate) == ("cannot tell", None)
    assert found.reason == "b has 4 rounds, and a verdict takes 5 of each run."


def test_missing_and_new_rows() -> None:
    history = nights(6)
    rows = {name: each for name, each in history[5].times.items() if name != "a"}
    right = {**history[5].correct[TOP1], "k": answers()}
    found = judge(history[:5], Run({**rows, "k": history[5].times["j"]}, {TOP1: right}))
    assert kinds(found) == {
        ("a", "batch_s"): "missing",
        ("k", "batch_s"): "new",
        ("k", "top1"): "new",
    }
    said = [each.sentences for each in found if each.kind in ("missing", "new")]
    assert any(
        each.startswith("The time of a was measured before and is not now.") for each in said
    )
    assert (
        "Top-1 of k is 0.9200. It is measured for the first time, and later nights are compared with it."
        in said
    )


def test_a_method_counts_in_the_runs_that_have_it() -> None:
    history = nights(6)
    partial = [Run({k: v for k, v in history[0].times.items() if k != "a"}), *history[1:5]]
    found = by_row(judge(partial, history[5]))
    assert "of 4 earlier runs" in found["a", "batch_s"].reason
    assert "of 5 earlier runs" in found["b", "batch_s"].reason


@pytest.mark.parametrize(
    ("lost", "won", "kind"),
    [
        (0, 0, "none"),
        (6, 0, "cannot tell"),
        (9, 0, "change"),
        (30, 30, "cannot tell"),
        (20, 2, "regression"),
        (2, 20, "improvement"),
        (1, 1, "none"),
    ],
)
def test_kinds_of_accuracies(lost: int, won: int, kind: str) -> None:
    before = Run({}, {TOP1: {"a": answers()}, TOP5: {"a": answers()}})
    now = Run({}, {TOP1: {"a": answers(lost=lost, won=won)}, TOP5: {"a": answers()}})
    found = by_row(judge([before], now))
    assert found["a", "top1"].kind == kind
    assert found["a", "top5"].kind == "none"
    assert found["a", "top5"].reason == "Top-5 of a is the same on each of the 10000 images."


def test_a_loss_below_the_threshold_is_a_change() -> None:
    before, now = ({TOP1: {"a": answers(lost=lost)}} for lost in (0, 9))
    found = judge([Run({}, before)], Run({}, now), Settings(points=0.2))
    assert [each.kind for each in found] == ["change"]


def test_a_metric_without_direction_changes() -> None:
    agreement = Metric("agreement", "Agreement", 4, None)
    before, now = ({agreement: {"a": answers(lost=lost)}} for lost in (0, 90))
    assert [each.kind for each in judge([Run({}, before)], Run({}, now))] == ["change"]


def test_identical_predictions_cost_times_no_power() -> None:
    history = nights(6)
    alone = [Run(each.times) for each in history]
    assert [each.adjusted_p for each in judge(alone[:5], alone[5])] == [
        each.adjusted_p for each in judge(history[:5], history[5]) if each.metric == BATCH
    ]


def test_accuracy_is_that_against_the_latest_run() -> None:
    runs = [Run({}, {TOP1: {"a": answers(lost=lost)}}) for lost in (80, 0, 0)]
    assert [each.kind for each in judge(runs[:2], runs[2])] == ["none"]


@pytest.mark.parametrize("share", [0.0005, 0.005, 0.05])
@pytest.mark.parametrize("one_way", [True, False])
def test_the_interval_of_points_covers(share: float, one_way: bool) -> None:
    """At 90 and 99 %, as published: close to its level, above it where images are few."""
    lost = share if one_way else share / 2
    drawn = np.random.default_rng(9).multinomial(10_000, (lost, share - lost, 1 - share), 2000)
    for nominal in (0.9, 0.99):
        found = [_difference(int(b), int(c), 10_000, nominal) for b, c, _ in drawn]
        truth = 100 * (share - 2 * lost)
        covered = np.mean([each.low <= truth <= each.high for each in found])
        assert covered >= nominal - 0.03


def test_the_interval_of_points_is_agresti_and_mins() -> None:
    """By hand, with half an image more in each cell: 16.5 and 6.5 of 163."""
    found = _difference(16, 6, 161, 0.95)
    centre, error = -10 / 163, math.sqrt(23 - 100 / 163) / 163
    assert found.estimate == pytest.approx(-1000 / 161)
    assert found.low == pytest.approx(100 * (centre - 1.959964 * error))
    assert found.high == pytest.approx(100 * (centre + 1.959964 * error))


def test_the_faster_half_counts() -> None:
    """Yuen's error by hand: winsorised squares over h (h - 1)."""
    seconds = np.exp([[5.0], [1.0], [2.0], [3.0], [100.0]])
    found = level(seconds)
    assert found.value == pytest.approx(2.0)
    assert found.kept == 3
    winsorised = np.array([1.0, 2.0, 3.0, 3.0, 3.0])
    squares = ((winsorised - winsorised.mean()) ** 2).sum()
    assert found.variance / found.kept == pytest.approx(squares / (3 * 2))


@pytest.mark.parametrize(("runs", "methods"), [(2, 9), (5, 9), (5, 3)])
def test_methods_lend_each_other_their_spread(runs: int, methods: int) -> None:
    """Alike methods are known as one of many runs would be; unlike ones lend little."""
    rng = np.random.default_rng(12)
    found = [moderated(0.01 * rng.standard_normal((runs, methods))) for _ in range(200)]
    known = [each for each in found if each]
    assert len(known) == 200
    assert np.median([each.sd for each in known]) == pytest.approx(0.01, rel=0.25)
    most = (methods - 1) * (runs - 1)
    assert all(0 < each.freedom <= most for each in known)
    assert np.mean([each.freedom == most for each in known]) > 0.4
    unlike = 0.01 * 30.0 ** np.linspace(-1, 1, methods)
    spread = [moderated(unlike * rng.standard_normal((runs, methods))) for _ in range(200)]
    assert np.median([each.freedom for each in spread if each]) < max(3, most / 2)
    assert moderated(np.zeros((1, methods))) is None
    assert moderated(np.zeros((runs, 1))) is None


@pytest.mark.parametrize(("shared", "low", "high"), [(0.0, 9, 10), (0.5, 2, 5), (1.0, 1, 1.1)])
def test_methods_that_share_a_night_count_as_fewer(shared: float, low: float, high: float) -> None:
    rng = np.random.default_rng(15)
    nights_ = rng.standard_normal((200, 10, 1)) * shared**0.5
    own = rng.standard_normal((200, 10, 10)) * (1 - shared) ** 0.5
    counts = [effective_methods(values) for values in nights_ + own]
    assert low <= np.median(counts) <= high
    lent = [spread.freedom for values in nights_ + own if (spread := moderated(values))]
    assert np.median(lent) <= (high - 1) * 9


def test_a_shared_night_is_not_lent_as_many() -> None:
    """With all degrees of freedom, 1.5 % of tables of unchanged code would have a difference."""
    rng = np.random.default_rng(16)
    claimed = 0
    for values in 0.01 * rng.standard_normal((1500, 6, 1)) * np.ones(10):
        known = moderated(values[:5] + 1e-6 * rng.standard_normal((5, 10)))
        assert known is not None
        runs = Level(values, np.full(values.shape, 1e-8), np.full(values.shape, 10.0))
        excess = contrast(runs[5], runs[:5], known.sum_of_squares, known.freedom)
        claimed += bool((holm(excess.p_value) <= NIGHTLY.alpha).any())
    assert claimed <= NIGHTLY.alpha * 1500 + 8


@pytest.mark.slow
@pytest.mark.parametrize("baseline", [2, 3, 5])
@pytest.mark.parametrize("runs_sd", [0.0, 0.01])
def test_false_alarms_with_lent_spread(baseline: int, runs_sd: float) -> None:
    rng = np.random.default_rng(13)
    wrong = 0
    for _ in range(150):
        history = [night(rng, rounds_sd=0.01, runs_sd=runs_sd) for _ in range(baseline + 1)]
        wrong += bool(kinds(judge(history[:-1], history[-1])))
    assert wrong <= 0.02 * 150


def test_a_suspicion_is_of_slower_code_only() -> None:
    rng = np.random.default_rng(14)
    history = [night(rng, rounds_sd=0.02, rounds=20) for _ in range(4)]
    for factor, expected in ((1.06, True), (1 / 1.06, False)):
        found = by_row(judge(history[:3], night(rng, {"e": factor}, rounds=20, rounds_sd=0.02)))
        assert found["e", "batch_s"].suspected is expected


def test_a_contrast_by_hand() -> None:
    """Without rounds' noise: Student's t of a run against the mean of three, with 2 + 4 runs known."""
    baseline = level(np.exp(np.array([0.0, 0.01, 0.02]))[:, None, None] * np.ones((5, 2)))
    found = contrast(level(np.full((5, 2), math.exp(0.05))), baseline, 4 * 0.01**2, 4)
    assert found.difference == pytest.approx(0.04)
    assert found.rounds_error == pytest.approx(0.0, abs=1e-12)
    assert found.runs_error == pytest.approx(0.01 * math.sqrt(4 / 3))
    assert found.runs_freedom == 6
    assert found.p_value == pytest.approx(2 * student.sf(math.sqrt(12), 6))


SECONDS = hnp.arrays(np.float64, (6, 3), elements=st.floats(0.01, 10))
KNOWN_SPREAD = {"a": Spread(0.005, 9)}


@hypothesis_settings(max_examples=100, deadline=None)
@given(SECONDS, SECONDS)
def test_swapping_mirrors_the_verdict(before: Floats, now: Floats) -> None:
    mirrored = {"regression": "improvement", "improvement": "regression"}
    (there,) = judge([Run({"a": before})], Run({"a": now}), spread=KNOWN_SPREAD)
    (back,) = judge([Run({"a": now})], Run({"a": before}), spread=KNOWN_SPREAD)
    assert there.estimate and back.estimate
    assume(abs(abs(math.log(there.estimate.estimate)) - SLOWER) > 1e-9)
    assert back.kind == mirrored.get(there.kind, there.kind)
    assert back.p_value == pytest.approx(there.p_value)
    assert back.estimate.low == pytest.approx(1 / there.estimate.high)


@hypothesis_settings(max_examples=100, deadline=None)
@given(SECONDS, SECONDS, st.floats(0.01, 100))
def test_scaling_both_changes_nothing(before: Floats, now: Floats, factor: float) -> None:
    (found,) = judge([Run({"a": before})], Run({"a": now}), spread=KNOWN_SPREAD)
    (scaled,) = judge([Run({"a": before * factor})], Run({"a": now * factor}), spread=KNOWN_SPREAD)
    assert found.estimate and scaled.estimate
    assert scaled.p_value == pytest.approx(found.p_value, rel=1e-6, abs=1e-9)
    assert scaled.estimate.estimate == pytest.approx(found.estimate.estimate)


P_VALUES = hnp.arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1))


@hypothesis_settings(deadline=None)
@given(P_VALUES, st.randoms(use_true_random=False))
def test_holm_keeps_the_order_and_never_helps(p_values: Floats, shuffler: Any) -> None:
    adjusted = holm(p_values)
    assert (adjusted >= p_values).all() and (adjusted <= 1).all()
    assert adjusted.min() == pytest.approx(min(1.0, p_values.min() * len(p_values)))
    order = np.argsort(p_values)
    assert (np.diff(adjusted[order]) >= 0).all()
    assert holm(p_values / 2) == pytest.approx(np.minimum(holm(p_values / 2), adjusted))
    shuffled = list(range(len(p_values)))
    shuffler.shuffle(shuffled)
    assert holm(p_values[shuffled]) == pytest.approx(adjusted[shuffled])


@pytest.mark.parametrize("batches", range(1, 30))
def test_the_quick_batch_is_the_quantile_to_the_last_bit(batches: int) -> None:
    seconds = np.random.default_rng(batches).lognormal(size=(3, 20, batches))
    assert (quick_batch(seconds) == np.quantile(seconds, QUICK, axis=-1)).all()


def test_holm_by_hand() -> None:
    """The example of Wright, Biometrics 48, 1992, in short: 0.01, 0.04, 0.03, 0.005."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    tables = holm([[0.01, 0.04], [0.6, 0.5]])
    assert tables == pytest.approx(np.array([[0.02, 0.04], [1.0, 1.0]]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Settings(alpha=0.5), "alpha 0.5 and"),
        (lambda: Settings(slower=0), "thresholds 0, 0.25 and 0.1"),
        (lambda: Settings(rounds=1), "rounds is 1"),
        (lambda: level(np.ones((2, 5))), "at least 3 rounds"),
        (lambda: level(np.zeros((5, 5))), "not positive and finite"),
        (
            lambda: judge(nights(4), Run({"a": -np.ones((5, 5))})),
            "a: a time is not positive and finite",
        ),
        (
            lambda: judge(
                [Run({}, {TOP1: {"a": answers()}})], Run({}, {TOP1: {"a": answers(500, 400)}})
            ),
            "Top-1 of a, now against before: correct has 500 images, correct_reference 10000",
        ),
    ],
)
def test_errors_name_what_is_wrong(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_nothing_to_judge_gives_no_verdict() -> None:
    assert judge([], Run({})) == ()
    (new,) = judge([], Run({"a": np.ones((5, 5))}))
    assert new.kind == "new"
