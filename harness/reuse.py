"""Take over the tuned models of an earlier run, so that they are only measured again."""

from __future__ import annotations

import shutil
from dataclasses import replace

from harness import record, store
from harness.errors import InputError
from harness.plan import RunPlan, differences
from harness.record import MethodRecord
from harness.store import RunFolder

MEASURING = (  # what may differ: it changes how models are measured, not which are made
    "config.protocol",
    "config.baseline",
    "config.fused",
)
SAME_MACHINE = ("cpu_model", "isa", "usable_cores")


def adopt(earlier: RunFolder, folder: RunFolder, plan: RunPlan) -> None:
    """Copy an earlier run's models, with their costs, into a new run's folder.

    Rows without a solution are taken over as such; rows that failed are made anew.

    Raises:
        InputError: the earlier run is not finished, was planned otherwise, on other files or on
            another machine, or one of its models is no longer the one that was recorded.
    """
    before = earlier.load_plan()
    assert before is not None  # it was found by its plan
    changed = differences(before, plan, MEASURING)
    changed += [
        f"machine.{key}: was {before.machine[key]!r}, is {plan.machine[key]!r}"
        for key in SAME_MACHINE
        if before.machine[key] != plan.machine[key]
    ]
    if changed:
        listed = "; ".join(changed[:8]) + ("; ..." if len(changed) > 8 else "")
        raise InputError(
            f"run.reuse_tuned={earlier.id} was planned otherwise ({listed}): leave it out to tune "
            "anew, or ask for the same"
        )
    found = {each.method: each for each in earlier.load_records()}
    for name in plan.methods:
        row = found.get(name)
        if row is not None and row.outcome.kind == record.NO_SOLUTION:
            folder.save_record(replace(row, run=plan.run))
        elif row is not None and row.optimize is not None:
            _copy_model(row, earlier, folder)


def _copy_model(row: MethodRecord, earlier: RunFolder, folder: RunFolder) -> None:
    assert row.optimize is not None
    source, target = earlier.method(row.method), folder.method(row.method)
    target.mkdir(parents=True, exist_ok=True)
    for part in (row.optimize["symbol"], row.optimize["params"]):
        file = source / part["path"]
        if not file.is_file() or store.sha256_of(file) != part["sha256"]:
            raise InputError(
                f"run.reuse_tuned={earlier.id}: {file} is missing or is not the model that was "
                "recorded; leave run.reuse_tuned out to tune anew"
            )
        shutil.copyfile(file, target / part["path"])
    facts = {"reused_from": earlier.id, **row.optimize}  # the first run's id, through any chain
    store.write_json(target / store.OPTIMIZED, facts)
