"""A run by what a user calls it: its id, its machine and id, or ``latest``."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from harness.errors import HarnessError, InputError, nearest, proposal
from harness.facts.faults import is_name
from harness.storage.plan import RunPlan
from harness.storage.store import AGAIN, PINNED, PLAN, RunFolder

LATEST = "latest"


def planned_runs(results: Path) -> list[RunFolder]:
    """Return the folders of all runs, by machine and id."""
    return [RunFolder(path.parent) for path in sorted(results.glob(f"*/*/{PLAN}"))]


def find_run(results: Path, run_id: str) -> RunFolder:
    """Return the folder of a run by its id, on whatever machine it was measured.

    Args:
        run_id: RUN, or MACHINE/RUN where several machines have a run of that name; ``latest`` is the
            newest, unless a run has that id. The other runs that a night makes are passed over.

    Raises:
        InputError: there is none, or more than one.
    """
    machine, _, run = run_id.rpartition("/")
    pattern = f"{machine or '*'}/{run}/{PLAN}"
    are_names = is_name(run) and (is_name(machine) or run == run_id)
    paths = sorted(path.parent for path in results.glob(pattern)) if are_names else []
    folders = [RunFolder(path) for path in paths]
    if len(folders) == 1:
        return folders[0]
    if folders:
        named = ", ".join(folder.address for folder in folders)
        raise InputError(f"run {run_id} exists for several machines: name one of {named}")
    known = planned_runs(results)
    if run == LATEST:
        newest = _newest([each for each in known if machine in ("", each.path.parent.name)])
        if newest is not None:
            return newest
    ids = [each.id for each in sorted(known, key=_created)]
    hint = f"the last ones are {', '.join(ids[-3:])}" if ids else "there is none yet"
    hint += (
        f"{proposal(run, [*ids, LATEST])}; ./run.sh list shows all"
        if ids
        else "; ./run.sh measures one"
    )
    raise InputError(f"no run {run_id} under {results}: {hint}")


def like_run(results: Path, run_id: str) -> str:
    """Return the id of a run for which a new one may be mistyped; empty if there is none.

    Ids that differ in their numbers alone, or where one goes on after the other, are those of a series.
    """
    ids = [folder.id for folder in planned_runs(results)]
    others = [
        known
        for known in ids
        if not known.startswith(run_id)
        and not run_id.startswith(known)
        and re.sub(r"\d", "", known) != re.sub(r"\d", "", run_id)
    ]
    return "" if run_id in ids else nearest(run_id, others)


def readable_plan(folder: RunFolder) -> RunPlan | None:
    """Return the plan of a run; None if it has none, or a damaged one."""
    with suppress(HarnessError):
        return folder.load_plan()
    return None


def _created(folder: RunFolder) -> tuple[str, str]:
    """Return when a run was planned, and its id; a damaged plan is the oldest."""
    plan = readable_plan(folder)
    return "" if plan is None else plan.created, folder.id


def _is_of_a_night(folder: RunFolder) -> bool:
    """Whether a night made the run beside its own: one of suspected rows, or of another checkout."""
    night = re.fullmatch(rf"(.+)(?:{AGAIN}(?:-\d+)?|{PINNED})", folder.id)
    return night is not None and (folder.path.parent / night[1] / PLAN).is_file()


def _newest(runs: list[RunFolder]) -> RunFolder | None:
    """Return the run that was planned last; the project's example only where there is no other."""
    dated = []
    for folder in runs:
        plan = readable_plan(folder)
        if plan is not None and not _is_of_a_night(folder):  # a damaged one cannot say when it was
            dated.append((not folder.is_committed, plan.created, folder.id, folder))
    return max(dated, key=lambda each: each[:3])[-1] if dated else None
