"""One run on each chosen machine of a Ray cluster, gathered."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness import PROJECT
from harness.errors import InputError, remedy
from harness.facts.faults import PLAIN_NAME, is_name
from harness.facts.override_key import key_of
from harness.files import whole_files
from harness.fleet import state
from harness.fleet.chosen_machines import Chosen, chosen_machines
from harness.fleet.fleet_report import to_markdown
from harness.fleet.order import (
    Order,
    files_digest,
    folder_files,
    plain_type,
    project_digests,
)
from harness.fleet.ray_cluster import RayCluster
from harness.fleet.schedule import ARRIVED, Job, Schedule
from harness.fleet.state import Fleet
from harness.packs.importing import import_pack
from harness.process.interrupt import resumable
from harness.run.context import Context
from harness.run.inputs import check_inputs
from harness.storage.plan import new_run_id

REPORT = "fleet.md"
LOG = "ray.log"
COMPUTED = {  # the defaults that depend on where this is
    "address": os.environ.get("RAY_ADDRESS") or "auto",
    "fleet.project": str(PROJECT),
}
FIXED = (
    "machines",
    "fleet.each",
    "models",
    "fleet.project",
    "fleet.results",
)  # a fleet goes on with these


def run_fleet(
    typed: Mapping[str, str], defaults: Mapping[str, str], context: Context
) -> tuple[int, str, list[str]]:
    """Measure on every chosen machine what has not arrived yet.

    Args:
        typed: those of the verb's own arguments that the user gave.
        defaults: of all of them, but for those in COMPUTED.

    Returns:
        0, or 3 if a run was lost or refused, or one of its rows failed; a report of the runs; and
        the ids of those that arrived.

    Raises:
        InputError: the configuration, an argument or a file is at fault, there is no cluster or no
            such machine, or the fleet began otherwise.
        KeyboardInterrupt: what has arrived is kept.
    """
    results = context.results
    name = typed.get("fleet.id") or new_run_id()
    if not is_name(name):
        raise InputError(f"fleet.id={name}: use {PLAIN_NAME}")
    words = [word for word in context.overrides if key_of(word) not in ("run.results", "run.id")]
    folder = results / state.FOLDER / name
    with state.locked(folder):
        before = state.load(folder)
        if before:
            before.check_continued(typed, words)
            before.check_plain(typed, words, COMPUTED["fleet.project"])
        arguments = {**defaults, **COMPUTED, **typed, **(before.arguments if before else {})}
        began = context.composing(before.overrides) if before else context
        orders = _order(arguments, before.overrides if before else words, began)
        fleet = Fleet(
            fleet=name,
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            overrides=list(orders.overrides),
            arguments={key: arguments[key] for key in FIXED},
            project=files_digest([orders.project]),
            conf=files_digest(orders.folders),
            jobs=[],
        )
        if before and (before.project, before.conf) != (fleet.project, fleet.conf):
            raise InputError(
                f"fleet.id={name} began with another version of the project or of --conf: give the "
                "same --conf at the same commit, or leave fleet.id out to begin anew"
            )
        fleet = before or fleet
        if not before or any(job.state != ARRIVED for job in before.jobs):
            goes_on = resumable(f"fleet.id={name}")
            with goes_on, (folder / LOG).open("a") as log, redirect_stdout(log):  # Ray prints there
                fleet = _drive(fleet, orders, arguments, folder, context)
        text = to_markdown(name, fleet.jobs)
        whole_files.write_atomically(folder / REPORT, text)
    arrived = [job.run for job in fleet.jobs if job.state == ARRIVED]
    whole = len(arrived) == len(fleet.jobs) and not any(job.code for job in fleet.jobs)
    return (0 if whole else 3), text, arrived


def _order(arguments: Mapping[str, str], overrides: Sequence[str], context: Context) -> Order:
    """Return what every node is sent, but for the run's id.

    Args:
        overrides: the words of the configuration that nodes compose.
        context: of those words, here.
    """
    workload = context.composed.config.workload
    return Order(
        run="",
        overrides=tuple(overrides),
        folders=tuple(folder_files(each) for each in context.folders),
        project=project_digests(),
        files={role: file.sha256 for role, file in check_inputs(workload).files.items()},
        results=arguments["fleet.results"] or None,
        models=arguments["models"] == "true",
    )


def _drive(
    fleet: Fleet,
    orders: Order,
    arguments: Mapping[str, str],
    folder: Path,
    context: Context,
) -> Fleet:
    """Connect, plan a new fleet's runs, and see every run to its end."""
    chosen = chosen_machines(arguments["machines"], arguments["fleet.each"])
    wait_s = _seconds(arguments["fleet.wait_s"])
    cluster = RayCluster(arguments["address"], arguments["fleet.project"], list(chosen.counts))
    try:
        fleet = fleet if fleet.jobs else replace(fleet, jobs=_jobs(fleet.fleet, cluster, chosen))
        fleet.save(folder)
        context.show.note(
            f"fleet {fleet.fleet}: {len(fleet.jobs)} runs; fleet.id={fleet.fleet} goes on with it"
        )
        for job in fleet.jobs:
            cluster.order(replace(orders, run=job.run))
        Schedule(
            jobs=fleet.jobs,
            cluster=cluster,
            keep=partial(_keep, folder, context.results),
            save=partial(fleet.save, folder),
            note=context.show.note,
            wait_s=wait_s,
            clock=time.monotonic,
        ).drive()
    finally:
        cluster.close()
    return fleet


def _jobs(fleet: str, cluster: RayCluster, chosen: Chosen) -> list[Job]:
    """Return one run for each chosen machine; those beyond the wanted number stand by."""
    machines, names = cluster.machines(), list(chosen.counts)
    missing = sorted(set(names) - {machine.type for machine in machines})
    if missing or not machines:
        raise InputError(
            f"machines={','.join(names) or 'all'}: the cluster has no node called "
            f"{', '.join(missing) or 'so, that offers a CPU'}; its nodes are called "
            f"{', '.join(cluster.names()) or 'nothing'} (labels and custom resources, docs/fleet.md)"
        )
    ordered = sorted(machines, key=lambda machine: (machine.type, machine.address, machine.node))
    by_type = {
        name: [machine for machine in ordered if machine.type == name]
        for name in dict.fromkeys(machine.type for machine in ordered)
    }
    for name, there in by_type.items():
        wanted = chosen.number(name)
        if wanted is not None and wanted > len(there):
            raise InputError(
                f"{chosen.key}: {wanted} machines {name} are wanted and the cluster has {len(there)}: "
                "start more, or ask for fewer"
            )
    measured = [
        machine for name, there in by_type.items() for machine in there[: chosen.number(name)]
    ]
    jobs = [
        Job(f"{fleet}-{number:02d}-{plain_type(machine.type)}", machine.type, machine.node)
        for number, machine in enumerate(measured, 1)
    ]
    for job in jobs:
        if not is_name(job.run):
            raise InputError(
                f"fleet.id={fleet}: its run {job.run} would have too long a name; use a shorter one"
            )
    return jobs


def _keep(folder: Path, results: Path, job: Job, pack: bytes) -> None:
    """Take in the run that was ordered and no other; the pack stays only until then."""
    file = folder / f"{job.run}.zip"
    try:
        file.write_bytes(pack)
    except OSError as error:
        file.unlink(missing_ok=True)
        raise InputError(f"{file} cannot be written ({error.strerror}): {remedy(error)}") from None
    try:
        import_pack(file, results, job.run)
    finally:
        file.unlink()


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise InputError(f"fleet.wait_s={text}: use a number of seconds")
    return float(text)
