"""P-values of several tests at once, adjusted for their number."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.resampling import Floats


def holm(p_values: ArrayLike) -> Floats:
    """Return p-values adjusted for the tests of a table, (..., T) as given.

    Rejecting where they are at most alpha keeps the chance of any false rejection in a table at most
    alpha, however the tests depend on each other (Holm, "A simple sequentially rejective multiple
    test procedure", Scandinavian Journal of Statistics 6, 1979).
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, axis=-1)
    steps = np.take_along_axis(values, order, axis=-1) * np.arange(values.shape[-1], 0, -1)
    steps = np.minimum(np.maximum.accumulate(steps, axis=-1), 1.0)
    adjusted = np.empty_like(values)
    np.put_along_axis(adjusted, order, steps, axis=-1)
    return adjusted
