"""Detectors of shifts side by side, on public series with slowdowns put in.

The values between two shifts of a series' own are a stretch; those of at least 40 values are used. A
trial takes up to 90 values of a stretch in their order, and multiplies all from a place on. The place is
uniform among those that have ``WARM`` values before and ``HORIZON`` from it on. The detector sees the
values night by night. What it says in the first ``WARM`` nights does not count.

- An alarm is of the slowdown if it comes no earlier, and its place is at most ``SAME`` nights off. One
  that names no place is of it if it comes within ``HORIZON`` nights.
- The slowdown is found if its first alarm comes within ``HORIZON`` nights; the delay is the number of
  slow nights that the detector had seen by then.
- Every other alarm of a slowdown is false, as many as there are. The rate is that of all nights after
  the first ``WARM``. Alarms of improvements do not count, in any detector.
- F1 is of precision and recall: found to found and false, and found to trials. Every stretch has
  equally many trials, and every detector the same ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.verdicts import charts, searches
from benchmarks.verdicts.alarms import SAME, Alarm, Detector, nightly
from benchmarks.verdicts.figures import Figure
from benchmarks.verdicts.noise import Floats
from benchmarks.verdicts.public_series import load_series
from harness.nightly.memory.lasting import WINDOW
from harness.nightly.verdict import NIGHTLY

PART = "Detectors on public series"
PART_NOISY = "Detectors on the noisy public series"
NOISY = 0.012  # spread from which a trial is noisy: from here on a few nights do not show +5 %
SIZES = (0.03, 0.05, 0.10)
WARM = 20
HORIZON = 20
OURS = "ours"

DETECTORS: dict[str, Detector] = {
    OURS: nightly(searches.ours, WINDOW),
    "Otava": nightly(searches.otava(), WINDOW),
    "Otava, from 2.5 % on": nightly(searches.otava(NIGHTLY.slower), WINDOW),
    "E-divisive, permutations": nightly(searches.PermutedEnergy(), WINDOW),
    "least squares, BIC": nightly(searches.least_squares, WINDOW),
    "CUSUM": charts.cusum,
    "EWMA": charts.ewma,
    "Bayesian, online": charts.bayesian,
    "z-score (Conbench)": charts.z_score,
    "t of 12 nights (Perfherder)": charts.windows,
    "ratio (github-action-benchmark)": charts.ratio,
}


@dataclass(frozen=True)
class Trial:
    """Quiet values, and where they become slower."""

    quiet: Floats
    place: int


@dataclass(frozen=True)
class Score:
    """What a detector said of a trial.

    Attributes:
        delay: slow nights that it had seen when it found the slowdown; None where it did not.
        false: number of other alarms.
        nights: that it watched.
    """

    delay: int | None
    false: int
    nights: int


def measured(repeats: int, seed: int) -> Iterator[Figure]:
    """Yield the figures of each detector and size, from so many trials of each stretch.

    They are those of all stretches, and again those of the noisy ones alone.
    """
    trials = draw_trials(np.random.default_rng((seed, 2)), repeats)
    noisy = [spread(trial.quiet) >= NOISY for trial in trials]
    for size in SIZES:
        rows = {
            name: [score(trial, detect, size) for trial in trials]
            for name, detect in DETECTORS.items()
        }
        yield from figures_of(PART, size, rows)
        picked = {name: list(itertools.compress(row, noisy)) for name, row in rows.items()}
        yield from figures_of(PART_NOISY, size, picked)


def figures_of(part: str, size: float, rows: Mapping[str, Sequence[Score]]) -> Iterator[Figure]:
    """Yield the figures of each detector's scores, with what is wanted of this project's."""
    others = max(f1(scores) for name, scores in rows.items() if name != OURS)
    section = f"{part}, +{100 * size:.0f} %"
    for name, scores in rows.items():
        delays = [scored.delay for scored in scores if scored.delay is not None]
        is_ours = name == OURS
        is_limited = is_ours and size == 0.05
        yield Figure(section, name, None, "found %", 100 * len(delays) / len(scores))
        yield Figure(section, name, None, "F1", f1(scores), least=others if is_ours else None)
        delay = float(np.median(delays)) if delays else math.nan
        yield Figure(section, name, None, "delay in nights", delay, most=5 if is_limited else None)
        false = sum(scored.false for scored in scores)
        rate = 1000 * false / sum(scored.nights for scored in scores)
        most = 3.9 if is_limited else None
        yield Figure(section, name, None, "false alarms per 1,000 nights", rate, most=most)


def draw_trials(rng: np.random.Generator, repeats: int) -> list[Trial]:
    trials = []
    for series in load_series():
        for stretch in series.stretches(WARM + HORIZON):
            for _ in range(repeats):
                count = min(len(stretch), WINDOW)
                start = int(rng.integers(len(stretch) - count + 1))
                place = int(rng.integers(WARM, count - HORIZON + 1))
                trials.append(Trial(stretch[start : start + count], place))
    return trials


def spread(times: Floats) -> float:
    """Return the standard deviation from night to night, from the median step of the logarithms."""
    return float(np.median(np.abs(np.diff(np.log(times))))) / 0.954


def score(trial: Trial, detect: Detector, size: float) -> Score:
    times = trial.quiet.copy()
    times[trial.place :] *= 1 + size
    alarms = detect(times, WARM)
    mine = [alarm for alarm in alarms if _is_of(alarm, trial.place)]
    soon = [alarm.night for alarm in mine if alarm.night < trial.place + HORIZON]
    delay = min(soon) - trial.place + 1 if soon else None
    return Score(delay, len(alarms) - len(mine), len(times) - WARM)


def _is_of(alarm: Alarm, place: int) -> bool:
    if alarm.night < place:
        return False
    if alarm.place is None:
        return alarm.night < place + HORIZON
    return abs(alarm.place - place) <= SAME


def f1(scores: Sequence[Score]) -> float:
    found = sum(scored.delay is not None for scored in scores)
    false = sum(scored.false for scored in scores)
    return 2 * found / (found + false + len(scores))
