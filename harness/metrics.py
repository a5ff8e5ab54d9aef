"""Accuracy from per-image predictions, and what each metric is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Metric:
    """A column of the table.

    Attributes:
        name: its header in the CSV.
        title: its header in Markdown.
        digits: decimals shown.
        higher_is_better: None where neither direction is better.
    """

    name: str
    title: str
    digits: int
    higher_is_better: bool | None


TOP1 = Metric("top1", "Top-1", 4, True)
TOP5 = Metric("top5", "Top-5", 4, True)
TOP1_LOSS = Metric("top1_rel_loss_pct", "Top-1 rel. loss %", 2, False)
TOP5_LOSS = Metric("top5_rel_loss_pct", "Top-5 rel. loss %", 2, False)
COST = Metric("cost_s", "Cost s", 2, False)
VALIDATION = Metric("validation_s", "Validation s", 2, False)
SPEEDUP = Metric("speedup", "Speedup", 1, True)
PUBLISHED = (TOP1, TOP5, TOP1_LOSS, TOP5_LOSS, COST, VALIDATION, SPEEDUP)


def top_k_accuracy(
    predictions: npt.NDArray[np.uint16], labels: npt.NDArray[np.int64], k: int
) -> float:
    """Return the share of images whose label is among their first ``k`` predictions.

    Args:
        predictions: (images, at least k or all classes), best class first.
        labels: (images,).
    """
    return float((predictions[:, :k] == labels[:, None]).any(axis=1).mean())


def relative_loss_pct(value: float, reference: float) -> float | None:
    """Return 100 * (reference - value) / reference, or None where the reference is 0."""
    return 100 * (reference - value) / reference if reference else None
