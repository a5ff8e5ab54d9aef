"""Rows that the published table lacks against its best: is a row at once as accurate, cheap and fast?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.stats.intervals import Interval, relative_loss
from harness.storage.record import MethodRecord
from harness.table.rows import Predictions, measured_of, speedup_of
from harness.table.samples import Samples

FASTEST = "int8_full_naive"  # what no row of the published table is faster than
BASIC, MSE = "int8_inc_basic", "int8_inc_mse"
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


@dataclass(frozen=True)
class Against:
    """A row beside those that it would replace; what was not measured is None.

    Attributes:
        loss: top-1 relative to the most accurate INC row's, percent lost, of paired images.
        of_basic, of_mse: its cost as a share of that row's.
        speed: of inference, relative to int8 full naive's.
    """

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
        timed, predictions, labels: as in ``table.build_rows``.
    """
    measured = measured_of(records, timed, predictions, labels)
    by_method = {record.method: record for record in records}
    rivals = [method for method in INC if method in measured]
    new = [method for method in by_method if method in measured and method not in PUBLISHED]
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
        return speedup_of(theirs, ours) if ours is not None and theirs is not None else None

    return Beyond(
        by_method[best].label,
        tuple(
            Against(
                by_method[method].label,
                relative_loss(measured[best].correct1, measured[method].correct1),
                share(method, BASIC) if BASIC in measured else None,
                share(method, MSE) if MSE in measured else None,
                speed(method),
            )
            for method in new
        ),
    )
