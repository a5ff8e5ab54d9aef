"""Reuse the tuned models of an earlier run, so that they are only measured again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from harness.errors import InputError
from harness.facts.typed import changed
from harness.storage import outcomes, recorded_files
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord
from harness.storage.same_run import SAME_MODELS, differences
from harness.storage.store import RunFolder
from harness.workloads.model_files import check_symbol, check_weights


def adopt(earlier: RunFolder, folder: RunFolder, plan: RunPlan) -> None:
    """Copy an earlier run's models, with their costs, into a new run's folder.

    Rows without a solution are taken over as such; what the earlier run has no model of is made anew.

    Raises:
        InputError: the earlier run was planned otherwise, on other files or on another machine, or
            one of its models is no longer the one that was recorded.
    """
    before = earlier.load_plan()
    assert before is not None  # it was found by its plan
    unlike = differences(before, plan, SAME_MODELS)
    if unlike:
        listed = "; ".join(unlike[:8]) + ("; ..." if len(unlike) > 8 else "")
        raise InputError(
            f"run.reuse_tuned={earlier.id} was planned otherwise ({listed}): leave it out to tune "
            "anew, or ask for the same"
        )
    rows = [row for row in earlier.load_records() if row.method in plan.methods]
    for row in rows:
        damaged = damage(row, earlier)
        if damaged is not None:
            hint = "; pack it with models=true" if earlier.is_imported else ""
            raise InputError(
                f"run.reuse_tuned={earlier.id}: {damaged} is missing or is not the model that was "
                f"recorded{hint}; leave run.reuse_tuned out to tune anew"
            )
    for row in rows:
        if row.outcome.kind in (outcomes.NO_SOLUTION, outcomes.REFUSED):
            # it keeps the id of the run that searched; the tuning history stays there
            folder.save_record(replace(row, history=None))
        elif row.optimize is not None:
            copy_model(row, earlier, folder, row.method)


def damage(row: MethodRecord, earlier: RunFolder) -> Path | None:
    """Return the file of a row's model that is missing or is not the one recorded, if any is."""
    for part in row.optimize.files if row.optimize else ():
        file = earlier.method(row.method) / part.path
        if not recorded_files.is_intact(file, part):
            return file
    return None


def copy_model(row: MethodRecord, earlier: RunFolder, folder: RunFolder, method: str) -> None:
    """Copy a row's model into another run, as what its row ``method`` was optimised to."""
    assert row.optimize is not None
    source, target = earlier.method(row.method), folder.method(method)
    target.mkdir(parents=True, exist_ok=True)
    if row.optimize.network is None:  # an engine's model is checked by the engine alone
        for part, check in zip(row.optimize.model, (check_symbol, check_weights)):
            check(source / part.path)  # it may have come in a pack
    for part in row.optimize.files:
        shutil.copyfile(source / part.path, target / part.path)
    first = row.optimize.reused_from or earlier.id  # through any chain
    folder.save_optimized(method, changed(row.optimize, reused_from=first))
