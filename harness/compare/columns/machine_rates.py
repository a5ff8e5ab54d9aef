"""The images/s of a whole machine, row by row, and the split into instances that reaches them.

This is the one place where a comparison takes throughputs from: its tables, costs, speedups between
machines and rankings follow.
"""

from __future__ import annotations

from harness.compare.columns.column import MachineRate
from harness.table.instances.splits import best_split, by_method
from harness.table.loaded_run import LoadedRun


def machine_rates(run: LoadedRun) -> dict[str, MachineRate]:
    """Return the throughput of the best split of each row that was timed, by method.

    It is that of one process on all cores where no split is faster.
    """
    rounds = {method: len(samples.rounds) for method, samples in (run.timed or {}).items()}
    rates = {
        row.method: MachineRate(
            row.images_per_s, row.intervals.get("images_per_s"), rounds.get(row.method, 0)
        )
        for row in run.rows
        if row.images_per_s is not None
    }
    for measured in by_method(run.splits):
        best = best_split(measured)
        known = None if best is None else rates.get(best.method)
        if best is not None and known is not None and best.images_per_s > known.images_per_s:
            rates[best.method] = MachineRate(
                best.images_per_s, best.interval, best.rounds, best.name
            )
    return rates
