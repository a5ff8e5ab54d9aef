"""The run: check, look at the model, fix the plan, measure row after row, write the tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from harness import executor, machine, threads
from harness.checks import check_inputs
from harness.config import Composed, compose_config, project_path
from harness.errors import InputError
from harness.plan import RunPlan, differences, new_run_id, warnings_of
from harness.progress import Bars, Lines
from harness.session import Session, absolute_paths, environment_of, open_session, value_of
from harness.store import PLAN, RunFolder
from harness.tables import write_tables


def run(overrides: Sequence[str], folders: Sequence[Path], show: Bars | Lines) -> int:
    """Measure every method that is not measured yet; return 0, or 3 if a row failed.

    Raises:
        InputError: before anything long where it can be known.
        KeyboardInterrupt: after the row in progress was recorded as interrupted.
    """
    folder, composed = open_folder(compose_config(overrides, folders), folders)
    with folder.locked():
        session = start(folder, composed, folders, show)
        finished = {r.method for r in folder.load_records() if r.outcome.finished}
        try:
            for position, name in enumerate(session.plan.methods):
                if name not in finished:
                    session.measure(position, name)
        finally:
            text = write_tables(folder)
        print(text, end="")
        return 0 if all(r.outcome.finished for r in folder.load_records()) else 3


def open_folder(composed: Composed, folders: Sequence[Path]) -> tuple[RunFolder, Composed]:
    """Return the run's folder and its configuration.

    ``run.id=ID`` alone continues with what was asked when the run began.

    Raises:
        InputError: the id is no plain name.
    """
    results, run_id = project_path(composed.values["run"]["results"]), composed.values["run"]["id"]
    if run_id is not None and ("/" in str(run_id) or str(run_id).startswith(".")):
        raise InputError(f"run.id={run_id}: use a plain name")
    known = sorted(path.parent for path in results.glob(f"*/{run_id}/{PLAN}"))
    if len(known) == 1:
        folder = RunFolder(known[0])
        plan = folder.load_plan()
        places = [word for word in composed.overrides if word.startswith("run.")]
        if plan is not None and len(places) == len(composed.overrides):
            asked = [word for word in plan.overrides if not word.startswith("run.")]
            composed = compose_config([*asked, *places], folders)
        return folder, composed
    name = composed.values["machine"] or machine.machine_name(machine.describe())
    return RunFolder(results / name / str(run_id or new_run_id())), composed


def start(
    folder: RunFolder, composed: Composed, folders: Sequence[Path], show: Bars | Lines
) -> Session:
    """Check the input, look at the model in a worker, fix the plan, prepare the images.

    Raises:
        InputError: the input is at fault, or the run was planned otherwise.
    """
    config = composed.values
    settings = threads.resolve(
        config["threads"], machine.read_topology(), threads.find_kmp_library()
    )
    environment = environment_of(settings.environment, config, folders)
    inputs = check_inputs(config["workload"])
    job = {
        "stage": "inspect",
        "workload": absolute_paths(config["workload"]),
        "methods": config["method"],
    }
    log = folder.path / "inspect.log"
    with show.step("looking at the model") as report:
        seen = value_of(executor.Worker(job, environment, log, folder.path).wait(report), log)
    plan = RunPlan(
        run=folder.id,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        overrides=composed.overrides,
        config=config,
        files=inputs.files,
        threads=settings.as_dict(),
        machine=machine.describe(),
        images=inputs.images,
        tuning_images=inputs.tuning_images,
        tuning_overlap=inputs.overlap,
        versions=seen["versions"],
        warnings=warnings_of(config["workload"], settings.warnings),
    )
    show.note(f"run {plan.run} -> {folder.path}")
    for warning in plan.warnings:
        show.note(f"warning: {warning}")
    plan = fixed(plan, folder)
    return open_session(plan, inputs, folder, environment, show)


def fixed(plan: RunPlan, folder: RunFolder) -> RunPlan:
    """Return the plan of a new run, now on disk, or that of a continued one if it is the same.

    Raises:
        InputError: something that determines the results has changed.
    """
    before = folder.load_plan()
    if before is None:
        folder.save_plan(plan)
        return plan
    changed = differences(before, plan)
    if changed:
        listed = "; ".join(changed[:8]) + ("; ..." if len(changed) > 8 else "")
        raise InputError(
            f"run {plan.run} was planned otherwise ({listed}): continue it with run.id={plan.run} "
            "alone, or leave run.id out to start a new run"
        )
    return before
