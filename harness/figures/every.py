"""All figures of a report, in its order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.derive.batches import Batches
from harness.derive.gain import Gains
from harness.derive.influence import Influence
from harness.derive.pareto import Front
from harness.derive.shares import Shares
from harness.derive.tuning import Trajectory
from harness.figures import batches, gain, influence, pareto, shares, tuning
from harness.figures.drawing import Drawing


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
        pareto.draw(found.front),
        gain.draw(found.gains),
        tuning.draw(found.searches),
        influence.draw(found.influences),
        batches.draw(found.batches),
        shares.draw(found.shares),
    ]
