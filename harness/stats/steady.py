"""Timings: their checks, and where a series becomes steady. Free of SciPy, since workers import it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

FEWEST_TO_SETTLE = 20  # iterations; fewer cannot show a steady state
NEGLIGIBLE = 0.01  # of the level: a change no larger is none
CRAMER_VON_MISES = 0.461  # 95 % point of the integral of a squared Brownian bridge

Floats = npt.NDArray[np.float64]


def checked_timings(name: str, values: ArrayLike, dimensions: int = 2) -> Floats:
    """Return timings as an array of floats.

    Args:
        name: what a message calls them.
        dimensions: 2 for (R, B), 1 for (n,).

    Raises:
        ValueError: the shape is another, or a time is not positive and finite.
    """
    seconds = np.asarray(values, dtype=np.float64)
    if seconds.ndim != dimensions or not seconds.size:
        wanted = "(R, B)" if dimensions == 2 else "(n,)"
        raise ValueError(f"{name} has shape {seconds.shape}, not {wanted} of at least one time")
    if not (np.isfinite(seconds).all() and (seconds > 0).all()):
        raise ValueError(f"{name} has a time that is not positive and finite")
    return seconds


def stable_from(times: ArrayLike) -> int | None:
    """Return how many leading iterations to drop as warm-up, or None if it never settles.

    The stationarity test of Heidelberger and Welch (Operations Research 31, 1983): drop leading
    twentieths (theirs are tenths) until a Cramér-von Mises test at 5 % no longer sees the level of the
    rest move; None if it still does with half dropped, and for fewer than 20 iterations. Three changes
    suit timings:

    - Leading iterations slower than all of the second half are dropped one by one first.
    - Slow outliers are clipped, five robust standard deviations above the second half's median.
    - The spectral density at zero is that of a first-order autoregression, from differences at lags 1
      and 2 of the second half: a late change of level must not pass for noise (difference-based
      variances: Hall, Kay and Titterington, Biometrika 77, 1990). Its coefficient is held to 0.7.

    As in Barrett et al. ("Virtual machine warmup blows hot and cold", OOPSLA 2017), a change too small
    to matter, here 1 % of the level, is none, and no steady state is an answer. Steady series are
    refused in up to 5 % of cases (12 % at autocorrelation 0.8); MSER-5 refuses 31 to 54 % of them.
    With noise up to 5 %, a change of 30 % at 60 % of the series is refused in 80 to 100 % of cases from
    60 iterations on but in a quarter at most of 30; one in the last tenth takes 200 to be seen.

    Args:
        times: (n,), seconds, in order from the first iteration of a process.

    Raises:
        ValueError: ``times`` is not 1-D, or a time is not positive and finite.
    """
    seconds = checked_timings("times", times, dimensions=1)
    half = len(seconds) // 2
    if len(seconds) < FEWEST_TO_SETTLE:
        return None
    late = seconds[half:]
    level = float(np.median(late))
    robust_sd = 1.4826 * float(np.median(np.abs(late - level)))
    clipped = np.minimum(seconds, level + 5 * max(robust_sd, NEGLIGIBLE * level))
    noise = _spectral_density_at_zero(clipped[half:])
    usual = seconds[:half] <= late.max()
    start = int(np.argmax(usual)) if usual.any() else half
    while start <= half:
        rest = clipped[start:]
        # A step of NEGLIGIBLE halfway through would have this density pass the test just so.
        floor = (NEGLIGIBLE * level) ** 2 * len(rest) / (48 * CRAMER_VON_MISES)
        bridge = np.cumsum(rest - rest.mean())
        if float(bridge @ bridge) / len(rest) ** 2 / max(noise, floor) < CRAMER_VON_MISES:
            return start
        start += max(1, len(seconds) // 20)
    return None


def _spectral_density_at_zero(values: Floats) -> float:
    """Return n times the variance of the mean, for an AR(1) series in (n,)."""
    first = float(np.mean(np.diff(values) ** 2)) / 2  # variance * (1 - rho)
    second = float(np.mean((values[2:] - values[:-2]) ** 2)) / 2  # variance * (1 - rho ** 2)
    rho = min(max(second / first - 1, 0.0), 0.7) if first else 0.0
    return first * (1 + rho) / (1 - rho) ** 2
