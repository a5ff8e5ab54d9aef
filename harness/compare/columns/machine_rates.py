"""The images/s of a whole machine, row by row, and the split into instances that reaches them.

This is the one place where a comparison takes throughputs from: its tables, costs, speedups between
machines and rankings follow.
"""

from __future__ import annotations

from harness.compare.columns.column import MachineRate
from harness.table.loaded_run import LoadedRun


def machine_rates(run: LoadedRun) -> dict[str, MachineRate]:
    """Return the throughput of the best split of each row that was timed, by method."""
    return {
        row.method: MachineRate(row.images_per_s, row.intervals.get("images_per_s"))
        for row in run.rows
        if row.images_per_s is not None
    }
