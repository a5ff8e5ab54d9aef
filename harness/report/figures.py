"""All figures of a report, in its order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.report import (
    draw_batch_times,
    draw_gain,
    draw_influence,
    draw_pareto,
    draw_shares,
    draw_tuning,
)
from harness.report.batch_times import Batches
from harness.report.drawing import Drawing
from harness.report.gain import Gains
from harness.report.influence import Influence
from harness.report.pareto import Front
from harness.report.shares import Shares
from harness.report.tuning import Trajectory


@dataclass(frozen=True)
class Drawable:
    """What the figures are drawn from."""

    front: Front
    gains: Gains | None
    searches: Sequence[Trajectory]
    influences: Sequence[Influence]
    batches: Batches
    shares: Shares


def draw_all(found: Drawable) -> list[Drawing]:
    """Return the figures; one without data says why."""
    return [
        draw_pareto.draw(found.front),
        draw_gain.draw(found.gains),
        draw_tuning.draw(found.searches),
        draw_influence.draw(found.influences),
        draw_batch_times.draw(found.batches),
        draw_shares.draw(found.shares),
    ]
