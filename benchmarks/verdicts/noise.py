"""Rounds of known truth: the kinds of noise that processes of identical code show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SPIKES = 0.05  # of rounds
KINDS = (
    "normal",
    "t3",
    "log-normal",
    "exponential",
    "bimodal",
    "spikes on both sides",
    "spikes on one side",
    "AR 0.5",
    "AR 0.8",
)


def draw(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> Floats:
    """Return noise, autocorrelated along the last axis where the kind says so.

    Mean 0 and standard deviation 1, but for spikes: a twentieth of the rounds is off by 5 to 25, the
    others have a standard deviation of 0.5. The two modes of bimodal noise are equally frequent.
    """
    normal = rng.standard_normal(shape)
    if kind == "normal":
        return normal
    if kind == "t3":
        return np.asarray(rng.standard_t(3, shape) / 3**0.5)
    if kind == "log-normal":
        return np.asarray((np.exp(normal) - np.e**0.5) / ((np.e - 1) * np.e) ** 0.5)
    if kind == "exponential":
        return rng.exponential(1, shape) - 1
    if kind == "bimodal":
        return np.asarray(0.97 * (2 * rng.integers(0, 2, shape) - 1) + 0.24 * normal)
    if kind.startswith("spikes"):
        sizes = rng.uniform(5, 25, shape)
        if kind == "spikes on both sides":
            sizes *= 2 * rng.integers(0, 2, shape) - 1
        return np.asarray(0.5 * normal + (rng.random(shape) < SPIKES) * sizes)
    rho = float(kind.removeprefix("AR "))
    for at in range(1, shape[-1]):
        normal[..., at] = rho * normal[..., at - 1] + (1 - rho**2) ** 0.5 * normal[..., at]
    return normal


def typical(kind: str) -> float:
    """Return the pseudomedian of a kind of noise: the median of the mean of two draws."""
    if kind not in ("log-normal", "exponential", "spikes on one side"):
        return 0.0  # symmetric
    rng = np.random.default_rng(0)
    pairs = draw(rng, kind, (2, 2_000_000))
    return float(np.median(pairs.mean(axis=0)))
