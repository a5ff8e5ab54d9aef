"""The run: check the input, inspect the model, fix the plan, measure the rows, write the tables."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness import PROJECT
from harness.checkout.commit import read_checkout
from harness.checkout.packages import installed_versions
from harness.config import Composed, project_path
from harness.errors import HarnessError, InputError
from harness.facts.machine_facts import Versions
from harness.facts.typed import changed, decode
from harness.files.whole_files import make_folder, write_atomically
from harness.host import ec2, machine, threads
from harness.host.topology import read_topology
from harness.packs.verify import save_digests
from harness.process import executor
from harness.process.confinement import ROOT_WARNING
from harness.process.interrupt import finishing, resumable
from harness.process.jobs import InspectJob, Limits
from harness.process.own_modules import compile_project
from harness.process.variables import MODELS
from harness.render.progress import Display
from harness.run.context import Context
from harness.run.continuing import continued
from harness.run.engine_environments import engine_versions
from harness.run.inputs import check_finished, check_inputs
from harness.run.instances.placed_splits import notes_of, placed_splits
from harness.run.instances.server_rows import run_server
from harness.run.instances.split_rounds import run_split_rounds
from harness.run.job_result import require_answer
from harness.run.measure_roof import measure_roof
from harness.run.opening import open_session
from harness.run.reuse import adopt
from harness.run.rounds import run_rounds
from harness.run.session import Session
from harness.run.worker_setup import (
    build_environment,
    inspection_memory_limit,
    workload_for_workers,
)
from harness.setup.environments import SetupError
from harness.setup.setup_env import LOCKS
from harness.storage.configuration import Configuration
from harness.storage.damage import set_aside_damaged
from harness.storage.known_runs import LATEST, find_run, like_run
from harness.storage.plan import CODE, RunPlan, digest_of_code, new_run_id, warnings_of
from harness.storage.same_run import differences, renewed, software_differences
from harness.storage.stage_facts import Inspection
from harness.storage.store import INSPECT_LOG, PLAN, RunFolder
from harness.table.tables import write_tables


def measure_run(context: Context) -> tuple[int, RunFolder]:
    """Measure every method that is not measured yet and write the tables.

    Returns:
        0, or 3 if a row, or the roof, failed or is invalid; and the run's folder.

    Raises:
        InputError: before anything long where it can be known.
        KeyboardInterrupt: after the record in progress was finished, or the row in progress recorded
            as interrupted; it names the run.
    """
    folder, composed = open_folder(context.composed, context.folders)
    if folder.is_night:
        context.show.note(
            f"run {folder.id} is a night, and this does not judge it: {folder.resuming} does"
        )
    return measure_folder(folder, composed, context.folders, context.show), folder


def measure_folder(
    folder: RunFolder,
    composed: Composed,
    folders: Sequence[Path],
    show: Display,
    check: Callable[[RunPlan], None] | None = None,
) -> int:
    """Complete the run in a folder and write its tables, as ``measure_run``.

    Args:
        check: gets the plan before anything is measured and may raise InputError.
    """
    like = like_run(folder.path.parent.parent, folder.id) if composed.config.run.id else ""
    if like:
        show.note(f"new run {folder.id} ({like} exists; did you mean it?)")
    with folder.locked():
        _require_own(folder)
        if folder.has_lost_its_plan:
            raise InputError(
                f"{folder.path} has measurements and no {PLAN}: restore it, or leave run.id out to "
                "start a new run"
            )
        executor.clear_asides(folder.path)
        for name in set_aside_damaged(folder):
            show.note(f"{name} is damaged: it is {name}.damaged now, and measured again")
        log = folder.path / INSPECT_LOG
        before = log.read_bytes() if log.is_file() else b""
        try:
            session = start_session(folder, composed, folders, show, check)
        except (InputError, KeyboardInterrupt) as error:
            executor.clear_asides(folder.path)  # a signal may come between making one and waiting
            if folder.discard():
                raise
            if isinstance(error, InputError):
                if before:  # a run that is refused stays as it was
                    write_atomically(log, before)
                raise
            raise KeyboardInterrupt(f"run.id={folder.id}") from None
        with resumable(f"run.id={folder.id}"):
            try:
                run_rows(session)
                run_rounds(session)
                run_split_rounds(session)
                run_server(session)
                has_roof = measure_roof(session)
            finally:
                write_tables(folder, composed.config.table.intervals)
            unfinished = [r.label for r in folder.load_records() if not r.outcome.finished]
            if not unfinished:
                show.note(f"digest of all but times: {save_digests(folder)}")
        if unfinished or not has_roof:
            again = ", ".join(unfinished or ["the roof"])
            show.note(f"not finished: {again}; run.id={folder.id} measures that again, and no more")
            return 3
        return 0


def _require_own(folder: RunFolder) -> None:
    folder.require_own("it goes on where it was measured; leave run.id out to start a new run")


def run_rows(session: Session) -> None:
    """Run the stages optimize, validate and profile of every row that is not finished yet."""
    before = {r.method: r for r in session.folder.load_records()}
    for position, name in enumerate(session.plan.methods):
        known = before.get(name)
        if known is None or not known.outcome.finished:
            with finishing(f"row {name}", session.show.note):
                session.run_stages(position, name, known)


def open_folder(composed: Composed, folders: Sequence[Path]) -> tuple[RunFolder, Composed]:
    """Return the run's folder and its configuration.

    A known id continues with what its plan keeps and what is asked now on top of it, so that
    ``run.id=ID`` alone asks for the same again; ``run.id=latest`` is the newest run.

    Raises:
        InputError: what the plan keeps can no longer be measured; the run is only read here; there
            is no latest run.
    """
    results, run_id = project_path(composed.config.run.results), composed.config.run.id
    if run_id == LATEST:
        run_id = find_run(results, run_id).id
    known = [] if run_id is None else sorted(results.glob(f"*/{run_id}/{PLAN}"))
    if len(known) == 1:
        folder = RunFolder(known[0].parent)
        plan = folder.load_plan()
        _require_own(folder)
        if plan is not None:
            composed = continued(plan, composed, folders)
        return folder, composed
    name = composed.config.machine or machine.machine_name(machine.describe())
    return RunFolder(results / name / (run_id or new_run_id())), composed


def start_session(
    folder: RunFolder,
    composed: Composed,
    folders: Sequence[Path],
    show: Display,
    check: Callable[[RunPlan], None] | None = None,
) -> Session:
    """Check the input, inspect the model in a worker, fix the plan, prepare the images.

    Raises:
        InputError: the input is at fault, or the run was planned otherwise.
    """
    config = composed.config
    topology = read_topology()
    settings = threads.resolve(config.threads.stored, topology, threads.find_kmp_library())
    splits = placed_splits(config, topology)
    environment = build_environment(settings.environment, config, folders)
    compile_project()
    cache = project_path(config.run.cache)
    make_folder(cache, "run.cache")
    if config.workload.download:
        make_folder(cache / MODELS, "run.cache")  # a worker may write what is there
    inputs = check_inputs(config.workload)
    files = {**inputs.files, **check_finished(config.method)}
    job = InspectJob(
        workload=workload_for_workers(config.workload, inputs.files, config.mxnet_additions),
        methods=config.method,
        # later stages find in the cache what this one downloads
        confine=Limits(
            network=composed.download,
            memory_bytes=inspection_memory_limit(config, inputs.files),
        ),
    )
    log = folder.path / INSPECT_LOG
    with show.step("looking at the model") as report:
        worker = executor.Worker(job, environment, log, folder.path)
        ended = worker.wait(report, config.run.timeout_s)
    if ended.kind == executor.KILLED:
        raise HarnessError(
            f"looking at the model failed: {ended.message}; start it again, and if it dies again, "
            "workload.params or the network may be damaged in a way that MXNet's native code does not "
            f"check, or want more memory than a worker may hold (run.memory_gb; log: {log})"
        )
    try:
        seen = require_answer(ended, Inspection, "looking at the model", log)
    except InputError as error:
        if config.workload.download and not composed.download:
            raise InputError(
                f"{error}. What a run began with does not give it the network again: add "
                "++workload.download=true"
            ) from None
        raise
    plan = RunPlan(
        run=folder.id,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        overrides=composed.overrides,
        config=config,
        files=files,
        threads=settings,
        machine=machine.describe(ec2=ec2.describe()),
        images=inputs.images,
        tuning_images=inputs.tuning_images,
        tuning_overlap=inputs.overlap,
        versions=with_engines(seen.versions, config, folders),
        warnings=(
            *warnings_of(config.workload, settings.warnings),
            *notes_of(splits),
            *inputs.warnings,
            *seen.warnings,
            *((ROOT_WARNING,) if os.geteuid() == 0 else ()),
        ),
        code=code_digest(folders),
        checkout=read_checkout(PROJECT, show.note),
        packages=installed_versions(LOCKS / "run.lock"),
    )
    plan.check_readable(folder.path / PLAN)
    if check is not None:
        check(plan)
    show.note(f"run {plan.run} -> {folder.path}")
    for warning in plan.warnings:
        show.note(f"warning: {warning}")
    _require_whole_batches(config, plan.images)
    earlier = config.run.reuse_tuned
    if earlier is not None and folder.load_plan() is None:
        adopt(find_run(project_path(config.run.results), earlier), folder, plan)
    plan = fix_plan(plan, folder, show.note)
    return open_session(plan, inputs, folder, folders, show, plan.methods)


def _require_whole_batches(config: Configuration, images: int) -> None:
    """Raise an InputError if a batch that will be timed needs more images than are validated."""
    protocol, size = config.protocol, config.workload.batch_size
    sizes = protocol.sizes(size) if protocol.rounds else ()
    timed = [("workload.batch_size" if each == size else "protocol.sweep", each) for each in sizes]
    if protocol.server is not None:
        timed.append(("protocol.server.batch", protocol.server.batch))
    for key, images_of_batch in timed:
        if images_of_batch > images:
            raise InputError(
                f"{key}: whole batches are timed, and one of {images_of_batch} needs more than the "
                f"{images} images that are validated; use a smaller one"
            )


def with_engines(versions: Versions, config: Configuration, folders: Sequence[Path]) -> Versions:
    """Return the versions of what is installed, with those of the engines that rows ask for.

    Raises:
        InputError: an engine has no lock file.
    """
    try:
        engines = engine_versions(config.method, folders)
    except SetupError as error:
        raise InputError(str(error)) from None
    return changed(versions, engines=engines) if engines else versions


def code_digest(folders: Sequence[Path]) -> str:
    """Return the digest of the present code and configuration."""
    return digest_of_code([*(PROJECT / folder for folder in CODE), *folders])


def fix_plan(plan: RunPlan, folder: RunFolder, note: Callable[[str], None]) -> RunPlan:
    """Write the plan of a new run, or check it against a continued run's; return the run's plan.

    Args:
        note: is told if the software has changed, which determines no plan.

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
    others = software_differences(before, plan)
    if others:
        note(
            f"warning: run {plan.run} began with other software ({'; '.join(others[:4])}), which its "
            "plan names: what is measured from now on is not by that"
        )
    config = renewed(before.config.stored, plan.config.stored)
    return replace(before, config=decode(config, Configuration))
