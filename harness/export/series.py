"""Runs as a series in time: what may be one, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import InputError
from harness.export.exported_run import ExportedRun
from harness.facts.nested import differing, listed
from harness.storage.same_run import alike


def in_time(runs: Sequence[ExportedRun]) -> list[ExportedRun]:
    """Return runs of a series, oldest first.

    Raises:
        InputError: two were not measured alike, and no line may be drawn through them.
    """
    ordered = sorted(runs, key=lambda run: (run.plan.created, run.id))
    first = ordered[0]
    for run in ordered[1:]:
        unlike = listed(differing(alike(first.plan), alike(run.plan)))
        if run.machine != first.machine:
            unlike.insert(0, f"machine: {first.machine}, {run.machine}")
        if unlike:
            raise InputError(
                f"run {run.id} was not measured as run {first.id} was ({'; '.join(unlike[:3])}): "
                "export them one by one"
            )
    return ordered
