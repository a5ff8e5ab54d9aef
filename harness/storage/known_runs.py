"""A run by what a user calls it: its id, its machine and id, or ``latest``."""

from __future__ import annotations

from pathlib import Path

from harness.errors import HarnessError, InputError, proposal
from harness.facts.faults import is_name
from harness.storage.store import PLAN, RunFolder

LATEST = "latest"


def planned_runs(results: Path) -> list[RunFolder]:
    """Return the folders of all runs, by machine and id."""
    return [RunFolder(path.parent) for path in sorted(results.glob(f"*/*/{PLAN}"))]


def find_run(results: Path, run_id: str) -> RunFolder:
    """Return the folder of a run by its id, on whatever machine it was measured.

    Args:
        run_id: RUN, or MACHINE/RUN where several machines have a run of that name; ``latest`` is the
            newest, unless a run has that id.

    Raises:
        InputError: there is none, or more than one.
    """
    machine, _, run = run_id.rpartition("/")
    pattern = f"{machine or '*'}/{run}/{PLAN}"
    are_names = is_name(run) and (is_name(machine) or run == run_id)
    paths = sorted(path.parent for path in results.glob(pattern)) if are_names else []
    if len(paths) == 1:
        return RunFolder(paths[0])
    if paths:
        named = ", ".join(f"{path.parent.name}/{path.name}" for path in paths)
        raise InputError(f"run {run_id} exists for several machines: name one of {named}")
    known = planned_runs(results)
    if run == LATEST:
        newest = _newest([each for each in known if machine in ("", each.path.parent.name)])
        if newest is not None:
            return newest
    ids = sorted(each.id for each in known)
    hint = f"the last ones are {', '.join(ids[-3:])}" if ids else "there is none yet"
    hint += f"{proposal(run, ids)}; ./run.sh list shows all" if ids else "; ./run.sh measures one"
    raise InputError(f"no run {run_id} under {results}: {hint}")


def _newest(runs: list[RunFolder]) -> RunFolder | None:
    """Return the run that was planned last; the project's example only where there is no other."""
    dated = []
    for folder in runs:
        try:
            plan = folder.load_plan()
        except HarnessError:  # a damaged one cannot say when it was
            continue
        if plan is not None:
            dated.append((not folder.is_committed, plan.created, folder.id, folder))
    return max(dated, key=lambda each: each[:3])[-1] if dated else None
