"""The figures of a report, in its order.

Importing this imports matplotlib: set MPLCONFIGDIR before.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.render.drawing import Drawing
from harness.report.figures import batch_times, gain, influence, pareto, shares, trials
from harness.table.loaded_run import LoadedRun

FIGURES: tuple[Callable[[LoadedRun], Drawing], ...] = (
    pareto.figure,
    gain.figure,
    trials.figure,
    influence.figure,
    batch_times.figure,
    shares.figure,
)


def draw_all(run: LoadedRun) -> list[Drawing]:
    """Return every figure of a run; one without data says why."""
    return [figure(run) for figure in FIGURES]
