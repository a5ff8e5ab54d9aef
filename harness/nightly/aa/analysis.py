"""A/A analysis: how often verdicts on identical code are wrong, and which slowdowns they detect.

K repeats of the nightly measurement, each of R rounds, are K runs of the same code; whatever verdict
one gets against others is a false alarm. The repeats are used in two ways:

- As they came: each against those before it, as a night would be judged.
- Re-sampled: of the K repeats in random order the first is the candidate, the next are its baseline.
  Repeats are drawn without replacement and kept whole, every round and batch of every method, so
  that whatever hangs together in a repeat, over time or from method to method, still does. Time's
  order between repeats is lost. Rounds are not drawn: a bootstrap of them would add their noise a
  second time.

In both, how far runs lie apart (``Spread``) is taken from the repeats that are neither candidate nor
baseline. A night after an A/A run has all K for that, so it sees a little more than is stated here.

Re-samplings are not independent: the rate is that of these K repeats, and its interval, which is of
as many independent tables, too narrow for the machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from harness.nightly.aa.replay import Replays, replay, rounds_needed
from harness.nightly.verdict import NIGHTLY, Floats, Settings
from harness.stats.intervals import LEVEL, Interval
from harness.stats.multiple_tests import holm
from harness.stats.night_noise import Contrast, Level, Spread, contrast, level

BASELINE = 5  # runs before a night that it is compared with
FEWEST_REPEATS = 3  # a candidate, a baseline, and something to know the spread from
RESAMPLES = 1000
HISTORIES = 100
POWERS = (0.8, 0.95)  # at which the smallest detectable slowdown is stated


@dataclass(frozen=True)
class Alarms:
    """How many tables of identical code got a false verdict.

    Attributes:
        tables: judged.
        differing: with a regression, an improvement or a change in any row.
        waking: with a regression or an improvement in any row.
        suspected: with a row that a night would measure again.
    """

    tables: int
    differing: int
    waking: int
    suspected: int

    @property
    def rate(self) -> Interval:
        """The share of differing tables, with a 95 % interval as of independent ones."""
        return clopper_pearson(self.differing, self.tables)


@dataclass(frozen=True)
class MethodNoise:
    """The noise of one method.

    Attributes:
        seconds: a batch's.
        rounds_sd: relative standard deviation between rounds of a repeat: sqrt(R) times the error
            of their trimmed mean, so that a few contaminated ones do not count.
        repeats_sd: relative standard deviation between repeats.
        expected_sd: what repeats would differ by if rounds were all that did.
        detectable: by power, the smallest slowdown of this method alone that is suspected, and so
            measured again, in that share of the re-samplings at least; 0.05 is 5 % more time.
        freedom: degrees of freedom of ``repeats_sd``.
    """

    method: str
    seconds: float
    rounds_sd: float
    repeats_sd: float
    expected_sd: float
    detectable: Mapping[float, float]
    freedom: int

    @property
    def spread(self) -> Spread:
        """The spread of runs for later verdicts on this machine."""
        return Spread(self.repeats_sd, self.freedom)


@dataclass(frozen=True)
class AaReport:
    """The results of an A/A run.

    Attributes:
        repeats: K.
        rounds: R, the fewest of any method in any repeat.
        baseline: repeats that a re-sampled candidate is compared with.
        distinct: how many different tables re-sampling can make.
        common_sd: that of the median method between repeats: a slower hour slows all methods.
        previous: every repeat against the one before it.
        pooled: every repeat against all before it, the latest ``baseline`` at most.
        resampled: the re-samplings.
        replays: nights of single rounds, suspicions measured again; None of too few
            rounds, or where none were asked for.
        methods: in the order of the first repeat.
    """

    settings: Settings
    repeats: int
    rounds: int
    baseline: int
    distinct: int
    common_sd: float
    previous: Alarms
    pooled: Alarms
    resampled: Alarms
    replays: Replays | None
    methods: tuple[MethodNoise, ...]


def analyse(
    repeats: Sequence[Mapping[str, Floats]],
    settings: Settings = NIGHTLY,
    *,
    baseline: int = BASELINE,
    resamples: int = RESAMPLES,
    histories: int = HISTORIES,
    seed: int = 0,
) -> AaReport:
    """Return how often verdicts on identical code are wrong and what slowdown they detect.

    The smallest detectable slowdown needs no trials: a re-sampling's candidate is suspected from a
    known factor on, the one that brings its difference to the threshold and to what is significant.
    The share of re-samplings suspected is the distribution function of these factors.

    Args:
        repeats: K, in the order of time, of the same methods: by method (R, B) seconds.
        baseline: earlier runs that a night is compared with; fewer where there are not so many.
        resamples: tables to draw.
        histories: nights to replay; 0 for none.

    Raises:
        ValueError: fewer than 3 repeats, methods that differ, times that ``level`` refuses, or fewer
            rounds than ``settings`` asks for.
    """
    methods, levels, rounds = _levels(repeats, settings)
    count = len(repeats)
    baseline = min(baseline, count - 1)
    order = np.arange(count)
    nights = range(1, count)
    previous = [[k, k - 1, *np.delete(order, [k - 1, k])] for k in nights]
    earlier = [min(k, baseline) for k in nights]
    pooled = [
        np.r_[k, k - n : k, np.delete(order, range(k - n, k + 1))] for k, n in zip(nights, earlier)
    ]
    rng = np.random.default_rng(seed)
    drawn = rng.permuted(np.tile(order, (resamples, 1)), axis=1)
    contrasts = _compare(levels, drawn, baseline)
    return AaReport(
        settings,
        count,
        rounds,
        baseline,
        count * math.comb(count - 1, baseline),
        float(np.median(levels.value - levels.value.mean(axis=0), axis=1).std(ddof=1)),
        _alarms([_compare(levels, np.array(previous), 1)], settings),
        _alarms([_compare(levels, p[None], n) for p, n in zip(pooled, earlier)], settings),
        _alarms([contrasts], settings),
        _replays(repeats, rounds, baseline, settings, histories, seed),
        _noise(methods, levels, rounds, _critical(contrasts, settings)),
    )


def clopper_pearson(events: int, trials: int, level_: float = LEVEL) -> Interval:
    """Return a share with its exact interval (Clopper and Pearson, Biometrika 26, 1934)."""
    tail = (1 - level_) / 2
    low = float(betaincinv(events, trials - events + 1, tail)) if events else 0.0
    missed = trials - events
    high = float(betaincinv(events + 1, missed, 1 - tail)) if missed else 1.0
    return Interval(events / trials, low, high, level_)


def _levels(
    repeats: Sequence[Mapping[str, Floats]], settings: Settings
) -> tuple[list[str], Level, int]:
    """Return the methods, their levels (K, M), and the fewest rounds."""
    if len(repeats) < FEWEST_REPEATS:
        raise ValueError(f"{len(repeats)} repeats; an A/A run takes {FEWEST_REPEATS} at least")
    methods = list(repeats[0])
    for number, repeat in enumerate(repeats):
        if set(repeat) != set(methods):
            raise ValueError(
                f"repeat {number} has {', '.join(sorted(repeat))}; "
                f"the first has {', '.join(sorted(methods))}"
            )
    rounds = min(len(times) for repeat in repeats for times in repeat.values())
    if rounds < settings.rounds:
        raise ValueError(f"a method has {rounds} rounds; a verdict takes {settings.rounds}")
    stacked = [Level.stack([level(repeat[method]) for method in methods]) for repeat in repeats]
    return methods, Level.stack(stacked), rounds


def _compare(levels: Level, orders: npt.NDArray[np.int64], baseline: int) -> Contrast:
    """Compare tables at once, (n, M).

    Args:
        levels: (K, M).
        orders: (n, K): the candidate, ``baseline`` repeats, and those that give the spread.
    """
    others = levels[orders[:, 1 + baseline :]].value
    squares = (others.var(axis=1) * others.shape[1]) if others.shape[1] else 0.0
    freedom = max(others.shape[1] - 1, 0)
    before = levels[orders[:, 1 : 1 + baseline].T]
    return contrast(levels[orders[:, 0]], before, squares, freedom)


def _replays(
    repeats: Sequence[Mapping[str, Floats]],
    rounds: int,
    baseline: int,
    settings: Settings,
    histories: int,
    seed: int,
) -> Replays | None:
    """Replay histories of up to ``baseline`` nights, as far as there are rounds for them."""
    joined = {m: np.concatenate([repeat[m] for repeat in repeats]) for m in repeats[0]}
    total = min(len(times) for times in joined.values())
    nights = [n for n in range(1, baseline + 1) if rounds_needed(rounds, n) <= total]
    if not (nights and histories):
        return None
    return replay(joined, rounds, nights[-1], histories=histories, settings=settings, seed=seed)


def _alarms(contrasts: Sequence[Contrast], settings: Settings) -> Alarms:
    differing = waking = suspected = tables = 0
    for contrast_ in contrasts:
        significant = holm(contrast_.p_value) <= settings.alpha
        matters = np.abs(contrast_.difference) >= math.log1p(settings.slower)
        again = (contrast_.difference >= math.log1p(settings.slower)) & (
            contrast_.rounds_only.p_value <= settings.suspicion
        )
        tables += len(significant)
        differing += int(significant.any(axis=-1).sum())
        waking += int((significant & matters).any(axis=-1).sum())
        suspected += int(again.any(axis=-1).sum())
    return Alarms(tables, differing, waking, suspected)


def _critical(contrasts: Contrast, settings: Settings) -> Floats:
    """Return the factors of a candidate's times, (n, M), from which on it is suspected."""
    needed = np.maximum(
        contrasts.rounds_only.reach(settings.suspicion / 2), math.log1p(settings.slower)
    )
    factors: Floats = np.exp(np.maximum(needed - contrasts.difference, 0.0))
    return factors


def _noise(
    methods: list[str], levels: Level, rounds: int, critical: Floats
) -> tuple[MethodNoise, ...]:
    repeats_sd = levels.value.std(axis=0, ddof=1)
    expected = np.sqrt((levels.variance / levels.kept).mean(axis=0))
    reached = {
        power: np.quantile(critical, power, axis=0, method="inverted_cdf") - 1 for power in POWERS
    }
    return tuple(
        MethodNoise(
            method,
            math.exp(float(levels.value[:, at].mean())),
            float(expected[at]) * math.sqrt(rounds),
            float(repeats_sd[at]),
            float(expected[at]),
            {power: float(values[at]) for power, values in reached.items()},
            len(levels.value) - 1,
        )
        for at, method in enumerate(methods)
    )
