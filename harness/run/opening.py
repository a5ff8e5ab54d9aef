"""The session of a run: its images prepared, and its engines' environments made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.files import locks, whole_files
from harness.host import isa, threads
from harness.host.topology import read_topology
from harness.images import preparation
from harness.process.jobs import ImageSet
from harness.render.progress import Display, told_once
from harness.run.course import course_of
from harness.run.engine_environments import Engines, engine_environments
from harness.run.inputs import Inputs
from harness.run.instances.open_files import allow_open_files
from harness.run.instances.placed_splits import placed_splits
from harness.run.session import Session
from harness.run.worker_setup import build_environment, workload_for_workers
from harness.storage.configuration import Method
from harness.storage.plan import RunPlan
from harness.storage.store import RunFolder


def open_session(
    plan: RunPlan,
    inputs: Inputs,
    folder: RunFolder,
    folders: Sequence[Path],
    show: Display,
    rows: Mapping[str, Method],
) -> Session:
    """Prepare the images, unless the cache holds them, and return the session of a run.

    The workers' thread settings come from the plan's options, never from the variables that the plan
    keeps: a plan is data, and such variables could make a worker load any library.

    Args:
        rows: those whose engines' environments are made: the rows that the session may measure.

    Raises:
        InputError: an image does not decode, or there is no space for the prepared images.
    """
    sources = {
        "validation": (inputs.validation, plan.images, plan.files["rec"], folder.labels),
        "tuning": (
            inputs.tuning,
            plan.images if inputs.overlap else plan.tuning_images,
            plan.files["rec" if inputs.overlap else "tuning"],
            folder.labels if inputs.overlap else folder.path / "labels_tuning.npy",
        ),
    }
    used = {"validation": plan.images, "tuning": plan.tuning_images}
    data: dict[str, ImageSet] = {}
    workload = workload_for_workers(plan.workload, plan.files, plan.config.mxnet_additions)
    unbound = build_environment({}, plan.config, folders)
    for role, (index, images, file, labels) in sources.items():
        with show.step(f"preparing the {role} images") as report:
            prepared, how = preparation.ensure(
                preparation.Source(index, file.sha256, images),
                workload.transform,
                plan.versions,
                preparation.Place.of(plan.config.run),
                plan.machine.usable_cores,
                unbound,  # to cores: bound workers would all sit on the first place
                report,
                plan.config.run.timeout_s,
                locks.Wait(
                    plan.config.run.wait_s,
                    "run.wait_s",
                    told_once(
                        show,
                        "another process prepares the same images",
                        plan.config.run.wait_s,
                        report,
                    ),
                ),
            )
        whole_files.write_array(labels, index.labels[:images])
        whole_files.write_json(folder.path / f"prepared_{role}.json", how.stored)
        data[role] = ImageSet(
            prepared=str(prepared.path), stored=images, labels=str(labels), images=used[role]
        )
    topology = read_topology()
    splits = placed_splits(plan.config, topology)
    allow_open_files(max((placed.split.instances for placed in splits), default=1))
    settings = threads.resolve(plan.config.threads.stored, topology, threads.find_kmp_library())
    # that of this shell would bind a part of OpenVINO
    engine_variables = {name: value for name, value in unbound.items() if name != isa.VARIABLE}
    if settings.allocator is not None:
        engine_variables[threads.PRELOAD] = settings.allocator
    cpus = threads.engine_cpus(settings, topology)
    unread = settings.environment[threads.KMP_AFFINITY] if cpus is None else None
    return Session(
        plan,
        folder,
        workload,
        build_environment(settings.environment, plan.config, folders),
        Engines(
            engine_environments(rows, folders, plan.config.max_cpu_isa, show, unread),
            engine_variables,
            cpus or [],
        ),
        data,
        show,
        course_of(plan, folder, [placed.split for placed in splits]),
        splits,
    )
