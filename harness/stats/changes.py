"""Shifts in the history of a row: lasting changes, as opposed to single spikes.

Segments of the series are found by PELT with the cost of absolute deviations from the median (Killick,
Fearnhead and Eckley, "Optimal detection of changepoints with a linear computational cost", JASA 107,
2012; in ``ruptures``), which a single spike does not move. Each boundary is then tested, as in E-divisive
with t-tests (Fleming, Kolaczkowski et al., "Hunter: using change point detection to hunt for performance
regressions", ICPE 2023, the method of Apache Otava): the segments on either side must differ by Mann and
Whitney's exact test and by the threshold. The whole of Otava needs a later NumPy than MXNet has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu

FEWEST = 4  # runs on either side: with fewer no rank test reaches LEVEL
LEVEL = 0.03  # of the rank test; four against four that all lie apart have 0.029
PENALTY = 3.0  # times log n and the noise: a new segment must take off so much


@dataclass(frozen=True)
class Shift:
    """A change that lasts.

    Attributes:
        at: index of the first value after it.
        ratio: of the medians of the segments, after to before.
        p_value: that both segments are draws of one distribution.
    """

    at: int
    ratio: float
    p_value: float


def shifts(values: Sequence[float], least: float) -> tuple[Shift, ...]:
    """Return the shifts of a series, oldest first.

    Args:
        values: positive, oldest first: one a run, such as seconds of a batch.
        least: smallest change of the ratio from 1 that counts.

    Raises:
        ValueError: a value is not positive and finite.
    """
    positive = np.asarray(values, dtype=np.float64)
    if not (np.isfinite(positive).all() and (positive > 0).all()):
        raise ValueError("a value is not positive and finite")
    series = np.log(positive)
    if len(series) < 2 * FEWEST:
        return ()
    noise = float(np.median(np.abs(np.diff(series)))) / 0.954  # of steps of normal noise, to one sd
    scaled = series / max(noise, least / 10, 1e-12)
    from ruptures import Pelt  # loads much of scipy: only where there is a history

    segments = Pelt(model="l1", min_size=FEWEST, jump=1).fit(scaled)
    ends = [0, *segments.predict(pen=PENALTY * math.log(len(series)))]
    lasting = []
    for start, middle, end in zip(ends, ends[1:], ends[2:]):
        before, after = series[start:middle], series[middle:end]
        difference = float(np.median(after) - np.median(before))
        p_value = float(mannwhitneyu(before, after, method="exact").pvalue)
        if p_value <= LEVEL and abs(difference) >= math.log1p(least):
            lasting.append(Shift(middle, math.exp(difference), p_value))
    return tuple(lasting)
