"""The figures of a report, in its order.

Importing this imports matplotlib: set MPLCONFIGDIR before.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.render.drawing import Drawing
from harness.report.figures import (
    batch_times,
    fronts,
    gain,
    influence,
    pareto,
    query_latency,
    scaling,
    shares,
    trials,
)
from harness.table.instances.splits import scaling as scaled
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
    """Return every figure of a run; one without data says why.

    Those of splits, of thread counts and of queries are there only where the run measured them.
    """
    drawings = [figure(run) for figure in FIGURES]
    if any(row.p99_ms is not None for row in run.splits):
        drawings.append(fronts.figure(run))
    if scaled(run.splits):
        drawings.append(scaling.figure(run))
    queries = query_latency.figure(run)
    if queries is not None:
        drawings.append(queries)
    return drawings
