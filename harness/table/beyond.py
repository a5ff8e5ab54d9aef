"""Rows that the published table lacks against its best: as accurate, as cheap and as fast at once?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.stats.accuracy import relative_loss
from harness.stats.intervals import Interval
from harness.storage.record import MethodRecord
from harness.table.rows import Predictions, measurements, speedup_interval
from harness.table.samples import Samples

FASTEST = "int8_full_naive"  # what no row of the published table is faster than
BASIC, MSE = "int8_inc_basic", "int8_inc_mse"
SECOND_BASELINE = "fp32_as_released"  # no rival of the others
INC = (BASIC, MSE, "int8_inc_mycustom", "int8_inc_bayesian")
PUBLISHED = (  # in the published table's order
    "fp32",
    "fp32_fused",
    FASTEST,
    "int8_full_entropy",
    "int8_smart_naive",
    "int8_smart_entropy",
    *INC,
)
KNOWN = (*PUBLISHED, SECOND_BASELINE)


@dataclass(frozen=True)
class Against:
    """A row beside those that it would replace; what was not measured is None.

    Attributes:
        loss: of top-1 against the most accurate INC row, in percent of its top-1, on the same images.
        of_basic, of_mse: its cost over the cost of the row INC basic or INC mse.
        speed: of inference, over the speed of int8 full naive.
    """

    method: str
    label: str
    loss: Interval
    of_basic: float | None
    of_mse: float | None
    speed: Interval | None


@dataclass(frozen=True)
class Beyond:
    """The rows that the published table lacks, and the label of the INC row with the best top-1."""

    best: str
    rows: tuple[Against, ...]


def beyond(
    records: Sequence[MethodRecord],
    timed: Mapping[str, Samples] | None,
    predictions: Predictions,
    labels: npt.NDArray[np.int64],
) -> Beyond | None:
    """Return the comparison; None without such a row or without one of INC's.

    Args:
        timed, predictions, labels: as in ``rows.build_rows``.
    """
    measured = measurements(records, timed, predictions, labels)
    by_method = {record.method: record for record in records}
    rivals = [method for method in INC if method in measured]
    new = [method for method in by_method if method in measured and method not in KNOWN]
    if not rivals or not new:
        return None
    best = max(rivals, key=lambda method: float(measured[method].correct1.mean()))
    if not measured[best].correct1.any():
        return None

    def share(method: str, of: str) -> float | None:
        ours, theirs = by_method[method].optimize, by_method[of].optimize
        return ours.cost_s / theirs.cost_s if ours and theirs and theirs.cost_s else None

    def speed(method: str) -> Interval | None:
        if FASTEST not in measured:
            return None
        ours, theirs = measured[method].forward, measured[FASTEST].forward
        return speedup_interval(theirs, ours) if ours is not None and theirs is not None else None

    return Beyond(
        by_method[best].label,
        tuple(
            Against(
                method,
                by_method[method].label,
                relative_loss(measured[best].correct1, measured[method].correct1),
                share(method, BASIC) if BASIC in measured else None,
                share(method, MSE) if MSE in measured else None,
                speed(method),
            )
            for method in new
        ),
    )
