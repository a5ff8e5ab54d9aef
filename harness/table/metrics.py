"""The columns of the tables, and accuracy from the predictions of each image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SECONDS, MILLISECONDS, PERCENT, MEGABYTES = "s", "ms", "%", "MB"  # units
RATE, QUERY_RATE = "images/s", "queries/s"


@dataclass(frozen=True)
class Metric:
    """A column of the table.

    Attributes:
        name: its header in the CSV.
        title: its header in Markdown.
        digits: decimals shown.
        higher_is_better: None where neither direction is better.
        has_interval: the CSV has columns for the ends of its 95 % interval.
        unit: of its values; empty for shares and ratios.
    """

    name: str
    title: str
    digits: int
    higher_is_better: bool | None
    has_interval: bool = False
    unit: str = ""

    def shown(self, value: float | None, missing: str) -> str:
        """Return a value with its decimals; ``missing`` where there is none."""
        return missing if value is None else f"{value:.{self.digits}f}"


TOP1 = Metric("top1", "Top-1", 4, True)
TOP5 = Metric("top5", "Top-5", 4, True)
TOP1_LOSS = Metric(
    "top1_rel_loss_pct", "Top-1 rel. loss %", 2, False, has_interval=True, unit=PERCENT
)
TOP5_LOSS = Metric(
    "top5_rel_loss_pct", "Top-5 rel. loss %", 2, False, has_interval=True, unit=PERCENT
)
COST = Metric("cost_s", "Cost s", 2, False, unit=SECONDS)
VALIDATION = Metric("validation_s", "Validation s", 2, False, unit=SECONDS)
SPEEDUP = Metric("speedup", "Speedup", 1, True, has_interval=True)
PUBLISHED = (TOP1, TOP5, TOP1_LOSS, TOP5_LOSS, COST, VALIDATION, SPEEDUP)

INFERENCE = Metric("inference_s", "Inference s", 2, False, unit=SECONDS)
THROUGHPUT = Metric("images_per_s", "Images/s", 1, True, has_interval=True, unit=RATE)
INFERENCE_SPEEDUP = Metric("inference_speedup", "Inference speedup", 2, True, has_interval=True)
VS_FUSED = Metric("speedup_vs_fused", "vs fused", 2, True, has_interval=True)
ADDED = (INFERENCE, THROUGHPUT, INFERENCE_SPEEDUP, VS_FUSED)

P50 = Metric(
    "p50_ms", "p50 ms", 3, False, has_interval=True, unit=MILLISECONDS
)  # of a batch's time
P90 = Metric("p90_ms", "p90 ms", 3, False, unit=MILLISECONDS)
P99 = Metric("p99_ms", "p99 ms", 3, False, unit=MILLISECONDS)
BY_SIZE = (THROUGHPUT, P50, P90, P99)

QUERIES = Metric("queries_per_s", "Queries/s", 2, True, unit=QUERY_RATE)  # of protocol=server


def top_k_correct(
    predictions: npt.NDArray[np.uint16], labels: npt.NDArray[np.int64], k: int
) -> npt.NDArray[np.bool_]:
    """Return whether each image's label is among its first ``k`` predictions, (images,) bool.

    Args:
        predictions: (images, at least k or all classes), best class first.
        labels: (images,).
    """
    correct: npt.NDArray[np.bool_] = (predictions[:, :k] == labels[:, None]).any(axis=1)
    return correct


def relative_loss_pct(value: float, reference: float) -> float | None:
    """Return 100 * (reference - value) / reference, or None where the reference is 0."""
    return 100 * (reference - value) / reference if reference else None
