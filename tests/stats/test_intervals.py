"""Coverage on simulated data of known truth, published examples, and what must hold for any data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import ndtr
from scipy.stats import cramervonmises
from scipy.stats import t as student

from harness.stats import resampling
from harness.stats.accuracy import mcnemar, relative_loss
from harness.stats.intervals import Interval
from harness.stats.speed import percentiles, signed_rank_interval, speedup, throughput
from harness.stats.steady import CRAMER_VON_MISES, stable_from

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
REPEATS = 2000  # a coverage of 95 % is then known to half a point
TAILS = ("normal", "lomax")  # of batches; lomax has shape 3, so a variance but no third moment
BATCHES = 40


def noise(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    tail: str,
    rho: float = 0.5,
    scale: float = 0.05,
) -> Floats:
    """Return noise of mean 0, autocorrelated along the last axis."""
    normal = rng.standard_normal(shape)
    for at in range(1, shape[-1]):
        normal[..., at] = rho * normal[..., at - 1] + (1 - rho**2) ** 0.5 * normal[..., at]
    if tail == "normal":
        return scale * normal
    upper: Floats = ndtr(-normal)
    return scale * (upper ** (-1 / 3) - 1.5)


def between(rng: np.random.Generator, shape: tuple[int, ...], kind: str, sd: float) -> Floats:
    """Return factors of mean 1 and this standard deviation."""
    if kind == "normal":
        return 1 + sd * rng.standard_normal(shape)
    if kind == "t4":
        return 1 + sd * rng.standard_t(4, shape) / 2**0.5
    return 1 - sd + sd * rng.exponential(1, shape)


def simulate(
    rounds: int, tail: str, kind: str = "normal", repeats: int = REPEATS, seed: int = 0
) -> tuple[Floats, Floats]:
    """Return a reference of mean 4 s and a method of mean 1 s, each (repeats, rounds, BATCHES)."""
    rng = np.random.default_rng(seed)
    drift = between(rng, (repeats, rounds, 1), kind, 0.03)
    reference, method = (
        mean
        * drift
        * between(rng, (repeats, rounds, 1), kind, 0.02)
        * (1 + noise(rng, (repeats, rounds, BATCHES), tail))
        for mean in (4.0, 1.0)
    )
    return reference, method


def coverage(intervals: list[Interval], truth: float) -> float:
    return float(np.mean([each.low <= truth <= each.high for each in intervals]))


def answers(both: int, b: int, c: int, neither: int) -> tuple[Bools, Bools]:
    """Return what the reference and the method got right: b images the former only, c the latter."""
    counts = (both, b, c, neither)
    return np.repeat([True, True, False, False], counts), np.repeat(
        [True, False, True, False], counts
    )


@pytest.mark.parametrize("kind", ["normal", "t4", "exponential"])
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("rounds", [3, 5, 10])
def test_speedup_covers(rounds: int, tail: str, kind: str) -> None:
    pairs = zip(*simulate(rounds, tail, kind, seed=rounds), strict=True)
    found = [speedup(reference, method) for reference, method in pairs]
    assert 0.93 <= coverage(found, 4.0) <= 0.97
    assert all(each.between_rounds for each in found)


@pytest.mark.parametrize("kind", ["normal", "t4"])
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("rounds", [3, 5, 10])
def test_throughput_covers(rounds: int, tail: str, kind: str) -> None:
    _, method = simulate(rounds, tail, kind, seed=rounds + 20)
    assert 0.93 <= coverage([throughput(each, 32) for each in method], 32.0) <= 0.97


def test_very_skewed_rounds_cost_throughput_some_coverage() -> None:
    """As its module says; three to ten draws do not show how skewed they are."""
    _, method = simulate(5, "normal", "exponential", seed=3)
    assert 0.90 <= coverage([throughput(each, 32) for each in method], 32.0) <= 0.94


@pytest.mark.parametrize(("rounds", "stated"), [(3, 0.75), (5, 0.84), (10, 0.90)])
def test_a_percentile_bootstrap_of_rounds_would_not_cover(rounds: int, stated: float) -> None:
    reference, method = (each.mean(axis=2) for each in simulate(rounds, "lomax", seed=rounds))
    shares = np.full(rounds, 1 / rounds)
    drawn = np.random.default_rng(1).multinomial(rounds, shares, size=2000).T
    ratios = (reference @ drawn) / (method @ drawn)
    low, high = np.quantile(ratios, [0.025, 0.975], axis=1)
    assert np.mean((low <= 4) & (high >= 4)) == pytest.approx(stated, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(("tail", "lowest"), [("normal", 0.93), ("lomax", 0.90)])
def test_one_round_covers_its_own_process_only(
    tail: str, lowest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resampling, "RESAMPLES", 200)
    times = 1 + noise(np.random.default_rng(2), (REPEATS, 1, 60), tail)
    alone = [throughput(each, 1) for each in times]
    assert lowest <= coverage(alone, 1.0) <= 0.99
    pairs = zip(times[::2], times[1::2], strict=True)
    ratios = [speedup(reference, each) for reference, each in pairs]
    assert coverage(ratios, 1.0) >= 0.95
    assert {each.between_rounds for each in alone + ratios} == {False}


@pytest.mark.slow
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("rounds", [3, 10])
def test_percentiles_cover(rounds: int, tail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short of 93 % in the tail, as their docstring says."""
    monkeypatch.setattr(resampling, "RESAMPLES", 100)
    _, truth = simulate(200, tail, repeats=200, seed=5)
    _, method = simulate(rounds, tail, repeats=600, seed=6)
    found = [percentiles(each) for each in method]
    for q, lowest in ((50, 0.93), (90, 0.90), (99, 0.83)):
        actual = float(np.quantile(truth, q / 100))
        assert coverage([each[q] for each in found], actual) >= lowest


@pytest.mark.slow
@pytest.mark.parametrize("images", [576, 10_000, 50_000])
@pytest.mark.parametrize("discordant", [0.001, 0.01, 0.1])
@pytest.mark.parametrize("one_way", [True, False])
def test_relative_loss_covers(images: int, discordant: float, one_way: bool) -> None:
    lost = discordant if one_way else discordant / 2
    shares = (0.75 - lost, lost, discordant - lost, 0.25 - discordant + lost)
    truth = 100 * (2 * lost - discordant) / 0.75
    drawn = np.random.default_rng(images).multinomial(images, shares, size=REPEATS)
    tables, times = np.unique(drawn, axis=0, return_counts=True)
    found = [relative_loss(*answers(*table)) for table in tables]
    covered = np.average([each.low <= truth <= each.high for each in found], weights=times)
    assert covered >= 0.93
    if images * discordant > 5:  # else too discrete for 95 %
        assert covered <= 0.97


def test_relative_loss_agrees_with_the_published_score_interval() -> None:
    """Cavo et al. 2012 in R's contingencytables (Fagerland, Lydersen and Laake): Tang's interval."""
    found = relative_loss(*answers(59, 16, 6, 80))
    assert found.estimate == pytest.approx(100 * (1 - 65 / 75))
    assert 1 - found.high / 100 == pytest.approx(0.7476, abs=5e-5)
    assert 1 - found.low / 100 == pytest.approx(0.9876, abs=5e-5)


def test_relative_loss_without_discordant_images_is_not_certain() -> None:
    """By hand: the score is then sqrt(a (1 - r) / r) for a ratio r below 1."""
    found = relative_loss(*answers(7500, 0, 0, 2500))
    z2 = 1.959964**2
    assert found.estimate == 0
    assert found.high == pytest.approx(100 * z2 / (7500 + z2), rel=1e-5)
    assert found.low == pytest.approx(-100 * z2 / 7500, rel=1e-5)


def test_relative_loss_is_total_where_nothing_is_right() -> None:
    found = relative_loss(*answers(0, 5, 0, 5))
    assert found.estimate == found.high == 100
    assert 0 < found.low < 100


@pytest.mark.parametrize(
    ("table", "p_value"),
    [
        (
            (1, 1, 7, 12),
            0.0390625,
        ),  # Bentur et al. 2009, Fagerland et al. 2013: 0.039; by hand 10/256
        ((59, 6, 16, 80), 0.034690),  # Cavo et al. 2012, from R's contingencytables
        ((5, 2, 2, 5), 1 - 0.375 / 2),  # b = c
        ((5, 0, 0, 5), 1.0),
    ],
)
def test_mcnemar_agrees_with_published_values(
    table: tuple[int, int, int, int], p_value: float
) -> None:
    found = mcnemar(*answers(*table))
    assert (found.b, found.c) == table[1:3]
    assert found.p_value == pytest.approx(p_value, abs=1e-6)


COUNTS = st.tuples(*[st.integers(0, 60)] * 4).filter(lambda table: table[0] + table[1] > 0)


@given(COUNTS)
def test_mcnemar_is_symmetric_and_a_probability(table: tuple[int, int, int, int]) -> None:
    reference, method = answers(*table)
    one, other = mcnemar(reference, method), mcnemar(method, reference)
    assert (one.b, one.c, one.p_value) == (other.c, other.b, other.p_value)
    assert 0 < one.p_value <= 1


@given(COUNTS)
def test_relative_loss_holds_its_estimate_and_inverts(table: tuple[int, int, int, int]) -> None:
    reference, method = answers(*table)
    found = relative_loss(reference, method)
    assert found.low < found.high
    assert found.low <= found.estimate <= found.high
    if method.any():
        back = relative_loss(method, reference)
        assert 1 - found.low / 100 == pytest.approx(1 / (1 - back.high / 100), rel=1e-6)


def two_runs() -> st.SearchStrategy[Floats]:
    """Two methods' times, (2, R, B)."""
    shapes = st.tuples(st.just(2), st.integers(1, 5), st.integers(8, 20))
    return hnp.arrays(np.float64, shapes, elements=st.floats(0.01, 10))


@settings(max_examples=50)
@given(two_runs(), st.floats(0.01, 100))
def test_times_scale_and_swap(runs: Floats, factor: float) -> None:
    reference, times = runs
    found, swapped = speedup(reference, times), speedup(times, reference)
    assert found.low <= found.estimate <= found.high
    assert found.estimate * swapped.estimate == pytest.approx(1)
    assert found.low * swapped.high == pytest.approx(1)
    slower = speedup(reference, factor * times)
    for name in ("low", "estimate", "high"):
        assert getattr(slower, name) * factor == pytest.approx(getattr(found, name), rel=1e-6)
    if len(times) <= 2:  # of more, the typical rounds of the two need not be the same one
        rates = throughput(times, 8).estimate / throughput(reference, 8).estimate
        assert rates == pytest.approx(found.estimate)


@settings(max_examples=50)
@given(two_runs())
def test_a_method_is_as_fast_as_itself(runs: Floats) -> None:
    found = speedup(runs[0], runs[0])
    assert found.low <= found.estimate == 1 <= found.high


@settings(max_examples=30)
@given(two_runs())
def test_percentiles_rise_and_hold_their_estimates(runs: Floats) -> None:
    found = percentiles(runs[0])
    assert list(found) == [50, 90, 99]
    for q, each in found.items():
        assert each.low <= each.estimate <= each.high
        assert each.estimate == pytest.approx(np.percentile(runs[0], q))


def test_the_seed_decides_and_the_level_widens() -> None:
    times = 1 + noise(np.random.default_rng(0), (1, 50), "lomax")
    assert throughput(times, 1, seed=1) == throughput(times, 1, seed=1)
    assert throughput(times, 1, seed=1) != throughput(times, 1, seed=2)
    assert percentiles(times, seed=1) == percentiles(times, seed=1)
    assert throughput(times, 1, level=0.99).high > throughput(times, 1).high


def test_one_round_has_the_error_of_its_blocks() -> None:
    """Whose bootstrap variance is known: that of every circular block's mean, over four blocks."""
    times = 1 + noise(np.random.default_rng(4), (1, 40), "lomax")
    blocks = [np.roll(times[0], -start)[:10].mean() for start in range(40)]
    error = np.std(blocks) / times.mean() / 4**0.5 * (4 / 3) ** 0.5
    found = throughput(times, 1)
    assert np.log(found.high / found.estimate) == pytest.approx(3.1824 * error, rel=0.07)


@pytest.mark.parametrize(("rounds", "freedom"), [(1, 3), (3, 2), (6, 5)])
def test_every_interval_of_times_is_of_students_t(rounds: int, freedom: int) -> None:
    reference, times = 1 + noise(np.random.default_rng(7), (2, rounds, 20), "lomax")
    makers: tuple[Callable[[float], Interval], ...] = (
        lambda level: throughput(times, 1, level=level),
        lambda level: speedup(reference, times, level=level),
        lambda level: percentiles(times, level=level)[90],
    )
    for make in makers if rounds == 1 else makers[2:]:  # of rounds, times are Wilcoxon's
        wide, narrow = (np.log(each.high / each.low) for each in (make(0.95), make(0.5)))
        expected = student.ppf(0.975, freedom) / student.ppf(0.75, freedom)
        assert wide / narrow == pytest.approx(expected)


def test_the_signed_rank_interval_is_that_of_all_signs() -> None:
    """At a level that nine values reach, its ends are means of two, by the sums of all 512 signs."""
    values = np.random.default_rng(10).standard_normal(9)
    signs = (np.arange(512)[:, None] >> np.arange(9)) & 1
    sums = (signs * np.arange(1, 10)).sum(axis=1)
    least = 6  # of the sums that are not rejected
    level = 1 - 2 * float((sums < least).mean())
    means = sorted((a + b) / 2 for at, a in enumerate(values) for b in values[at:])
    estimate, low, high = signed_rank_interval(values, level)
    assert estimate == pytest.approx(np.median(means))
    assert (low, high) == pytest.approx((means[least - 1], means[-least]))


def test_a_rare_slow_round_moves_the_typical_one_little() -> None:
    times = 1 + noise(np.random.default_rng(8), (20, 10), "normal")
    slow = times.copy()
    slow[7] *= 3
    calm, disturbed = throughput(times, 1), throughput(slow, 1)
    assert disturbed.estimate == pytest.approx(calm.estimate, rel=0.01)
    assert disturbed.high / disturbed.low < 1.5 * calm.high / calm.low


def test_rounds_that_resemble_each_other_say_less() -> None:
    steps = np.repeat([1.0, 1.05, 0.97, 1.02], 5)[:, None] * np.ones((20, 10))
    mixed = steps[np.random.default_rng(9).permutation(20)]
    together, apart = throughput(steps, 1), throughput(mixed, 1)
    assert apart.doubt is None
    assert together.doubt and "resemble the rounds before (autocorrelation 0." in together.doubt
    assert together.high / together.low > (apart.high / apart.low) ** 2


def test_pairing_by_round_removes_shared_drift() -> None:
    drift = np.array([[1.0], [1.5], [0.8]]) * np.ones(10)
    found = speedup(4 * drift, drift)
    assert found.low == pytest.approx(4) == found.high


def series(shape: Callable[[Floats], Floats], length: int, tail: str = "lomax") -> Floats:
    """Return (200, length): this course of level, with noise."""
    level = shape(np.arange(length, dtype=np.float64))
    return level * (1 + noise(np.random.default_rng(length), (200, length), tail, scale=0.03))


def dropped(times: Floats) -> tuple[float, list[int]]:
    """Return the share that never settles, and how many are dropped where it does."""
    found = [stable_from(each) for each in times]
    settled = [each for each in found if each is not None]
    return 1 - len(settled) / len(found), settled


@pytest.mark.parametrize("length", [30, 60, 200])
def test_steady_times_are_kept(length: int) -> None:
    never, kept = dropped(series(lambda at: 1.0 + 0.0 * at, length))
    assert never <= 0.05
    assert np.median(kept) == 0


@pytest.mark.parametrize("length", [30, 60, 200])
@pytest.mark.parametrize("warmup", [1, 3, 10])
def test_slow_first_iterations_are_dropped(length: int, warmup: int) -> None:
    never, kept = dropped(series(lambda at: 1.0 + 2 * (at < warmup), length))
    assert never <= 0.05
    assert min(kept) == warmup
    assert np.median(kept) == warmup


def test_fast_first_iterations_are_dropped() -> None:
    never, kept = dropped(series(lambda at: 1.0 - 0.3 * (at < 20), 100))
    assert never <= 0.05
    assert np.quantile(kept, 0.01) >= 19
    assert np.median(kept) == 20


def test_a_decay_is_dropped_until_it_is_small() -> None:
    never, kept = dropped(series(lambda at: 1 + np.exp(-at / 5), 200))
    assert never <= 0.05
    assert 8 <= np.median(kept) <= 25


@pytest.mark.parametrize("change", [0.3, -0.3])
def test_what_keeps_changing_never_settles(change: float) -> None:
    assert dropped(series(lambda at: 1.0 + change * at / 200, 200))[0] >= 0.95
    assert dropped(series(lambda at: 1.0 + change * (at > 120), 200))[0] >= 0.95


def test_a_change_too_small_to_matter_is_none() -> None:
    assert stable_from(np.where(np.arange(100) < 70, 1.0, 1.005)) == 0
    assert stable_from(np.where(np.arange(100) < 70, 1.0, 1.05)) is None


def test_exact_repetition_is_steady_and_a_short_series_undecided() -> None:
    assert stable_from(np.full(50, 0.1)) == 0
    assert stable_from(np.r_[1.0, 1.0, np.full(48, 0.1)]) == 2
    assert stable_from(np.full(19, 0.1)) is None


def test_the_critical_value_is_that_of_cramer_and_von_mises() -> None:
    """Against scipy's distribution, for a sample whose statistic is about that large."""
    for power in np.linspace(1, 1.6, 200):
        found = cramervonmises(((np.arange(2000) + 0.5) / 2000) ** power, "uniform")
        if found.statistic > CRAMER_VON_MISES:
            break
    assert found.pvalue == pytest.approx(0.05, abs=0.02)


GOOD = np.ones((3, 10))
RIGHT = np.ones(4, dtype=bool)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: throughput(np.ones(5), 1), r"times has shape \(5,\), not \(R, B\)"),
        (lambda: throughput(np.ones((0, 5)), 1), "times has shape"),
        (lambda: throughput(GOOD - 1, 1), "times has a time that is not positive"),
        (lambda: throughput(GOOD * np.nan, 1), "times has a time that is not positive and finite"),
        (lambda: throughput(GOOD, 0), "batch_size is 0"),
        (lambda: throughput(GOOD, 1, level=1.0), "level is 1.0"),
        (lambda: throughput(np.ones((1, 7)), 1), "one round of 7 batches carries no interval"),
        (lambda: speedup(GOOD[:2], GOOD), r"\(3, 10\) against reference of \(2, 10\)"),
        (lambda: speedup(-GOOD, GOOD), "reference has a time"),
        (lambda: percentiles(GOOD, (50, 100)), r"q is \(50, 100\)"),
        (lambda: percentiles(GOOD[0]), "latencies has shape"),
        (lambda: relative_loss(RIGHT, RIGHT.astype(int)), "correct is int64"),
        (lambda: relative_loss(RIGHT[:0], RIGHT), "correct_reference is bool of shape"),
        (lambda: relative_loss(RIGHT, RIGHT[:3]), "correct has 3 images, correct_reference 4"),
        (lambda: relative_loss(~RIGHT, RIGHT), "no correct image"),
        (lambda: relative_loss(RIGHT, RIGHT, level=0), "level is 0"),
        (lambda: mcnemar(RIGHT[:, None], RIGHT), "correct_reference is bool of shape"),
        (lambda: stable_from(GOOD), r"not \(n,\)"),
    ],
)
def test_errors_name_what_is_wrong(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
