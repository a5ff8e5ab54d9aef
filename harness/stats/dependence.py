"""How much rounds in a row resemble each other, and what that does to an error.

Statistics over rounds take them for independent. Where a neighbour comes and goes slowly, successive
rounds resemble each other, and R of them say less than R. The lag-one autocorrelation r shows it, yet
from few rounds r is known badly, with a standard error of about 1 / sqrt(R), and it is too small by
(1 + 3 r) / R (Kendall, "Note on bias in the estimation of autocorrelation", Biometrika 41, 1954). The
usual factor of the error, sqrt((1 + r) / (1 - r)), with that r covers 82 % instead of 95 % where
the true one is 0.8 and R is 20. So the factors here rise with r from where independent rounds seldom
reach, further than the usual one, and were chosen by simulation (``./run.sh benchmark verdicts``).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

START, WIDTH = 0.1, 0.4  # the autocorrelation from which on errors are larger, and until it is full

Floats = npt.NDArray[np.float64]


def autocorrelation(values: Floats) -> float:
    """Return the lag-one autocorrelation of the normal scores of values; single spikes weigh little.

    Args:
        values: (n,), in the order of time.

    Returns:
        0 with fewer than 3 values, and where all are alike.
    """
    count = len(values)
    if count < 3 or np.ptp(values) == 0:
        return 0.0
    ranks = np.empty(count)
    ranks[np.argsort(values, kind="stable")] = np.arange(1, count + 1)
    scores = ndtri((ranks - 0.375) / (count + 0.25))
    return float((scores[1:] * scores[:-1]).sum() / (scores**2).sum())


def widening(correlation: float, most: float, start: float = START) -> float:
    """Return the factor by which an error is larger, 1 where the autocorrelation is low.

    Args:
        correlation: of successive rounds, as ``autocorrelation`` returns it.
        most: the factor where it is high.
        start: the correlation up to which the factor is 1.
    """
    share = min(max((correlation - start) / WIDTH, 0.0), 1.0)
    return 1 + (most - 1) * share


def usual_widening(correlation: float, count: int) -> float:
    """Return the factor of the error of a mean of values of first-order autocorrelation.

    Args:
        correlation: as found in ``count`` values; its bias is removed.
    """
    unbiased = min(max((correlation + 1 / count) / (1 - 3 / count), 0.0), 0.95)
    return math.sqrt((1 + unbiased) / (1 - unbiased))
