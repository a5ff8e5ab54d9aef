"""The error of keeping a tensor in int8, and its effect on a decision, to first order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.methods.weights import INT8, Array

UNSIGNED = 255  # steps of a tensor without negative values
PART = 1 << 15  # numbers that are rounded at a time: they and their errors stay in a core's cache

Single = npt.NDArray[np.float32]
Limits = tuple[float, float]


def halved(limits: Limits, times: int) -> Limits:
    """Return a range with its larger side halved ``times`` times."""
    largest = max(-limits[0], limits[1]) / 2**times
    return max(limits[0], -largest), min(limits[1], largest)


def shifts(
    values: Single, gradient: Single, limits: Limits, signed: bool, halvings: Sequence[int]
) -> Array:
    """Return (images, halvings): what rounding shifts a decision by, <gradient, rounded - values>.

    Args:
        values: of a tensor, (images, ...).
        gradient: of each image's decision at the tensor, of the same shape.
        limits: the tensor's range: what lies outside is cut off.
        signed: whether negative values have steps although the range has none.
        halvings: how many times the range is halved.
    """
    count = len(values)
    values, gradient = values.reshape(count, -1), gradient.reshape(count, -1)
    products = np.zeros((count, len(halvings)))
    scaled, rounded = np.empty(PART, dtype=np.float32), np.empty(PART, dtype=np.float32)
    steps = [_steps(halved(limits, times), signed) for times in halvings]
    for image in range(count):
        for start in range(0, values.shape[1], PART):
            part = values[image, start : start + PART]
            by = gradient[image, start : start + PART]
            exact, nearest = scaled[: len(part)], rounded[: len(part)]
            for at, (scale, least, most) in enumerate(steps):
                np.multiply(part, scale, out=exact)
                np.maximum(exact, least, out=nearest)
                np.minimum(nearest, most, out=nearest)
                np.rint(nearest, out=nearest)
                np.subtract(nearest, exact, out=nearest)
                products[image, at] += float(np.dot(nearest, by)) / float(scale)
    return products


def _steps(limits: Limits, signed: bool) -> tuple[Any, Any, Any]:
    """Return a range's steps a unit, its lowest step and its highest."""
    low, high = limits
    if low >= 0 and not signed:
        steps = UNSIGNED / max(high, 1e-30), 0, UNSIGNED
    else:
        steps = INT8 / max(-low, high, 1e-30), -INT8, INT8
    scale, least, most = (np.float32(number) for number in steps)
    return scale, least, most
