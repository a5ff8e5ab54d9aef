"""``./run.sh verify``: is every file of a run the one that was recorded, and are two runs the same?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.config import project_path
from harness.errors import HarnessError, InputError
from harness.facts.nested import differing
from harness.facts.typed import Texts, fault
from harness.files import whole_files
from harness.packs.pack import MODELS
from harness.storage import recorded_files, store
from harness.storage.deterministic_part import deterministic_part, digests
from harness.storage.stage_facts import File
from harness.storage.store import RunFolder

DIGESTS = "digests.json"


@dataclass(frozen=True)
class Verified:
    """What was checked.

    Attributes:
        files: how many files were checked.
        absent_models: how many files of models an imported run, or the project's example, came
            without.
        absent_inputs: how many of the workload's files are not on this machine, as of a run from
            elsewhere.
        wrong: what is missing or differs, one line each.
        digest: of the run's deterministic part.
    """

    files: int
    absent_models: int
    absent_inputs: int
    wrong: tuple[str, ...]
    digest: str


def save_digests(folder: RunFolder) -> str:
    """Write the digests of a run's deterministic part and return that of all."""
    found = _digests(folder)
    whole_files.write_json(folder.path / DIGESTS, found)
    return found["*"]


def verify(folder: RunFolder) -> Verified:
    """Check every digest that a run stored: of models, predictions, the workload's files, the results.

    Raises:
        InputError: nothing was planned in this folder.
        HarnessError: a record or the list of digests cannot be read.
    """
    plan = folder.load_plan()
    if plan is None:
        raise InputError(f"{folder.path} holds no run: there is no {store.PLAN}")
    checked, absent_models, absent_inputs, wrong = 0, 0, 0, []
    for planned in plan.files.values():
        if folder.is_imported:  # a path of another machine: what has its name here is not opened
            absent_inputs += 1
            continue
        path = project_path(planned.path)
        if not path.is_file():
            absent_inputs += 1
            continue
        checked += 1
        if whole_files.sha256_of(path) != planned.sha256:
            wrong.append(f"{path} is not the file that was recorded")
    is_without_models = folder.is_imported or folder.is_committed
    for path, file in _recorded(folder):
        if is_without_models and path.name.endswith(MODELS) and not path.is_file():
            absent_models += 1
            continue
        checked += 1
        if not path.is_file():
            wrong.append(f"{path} is missing")
        elif not recorded_files.is_intact(path, file):
            wrong.append(f"{path} is not the file that was recorded")
    now = _digests(folder)
    kept = folder.path / DIGESTS
    if kept.is_file():
        stored = whole_files.load_json(kept)
        if fault(stored, Texts):
            raise HarnessError(f"{kept} is no list of digests: delete it, or restore it")
        names = [difference.key for difference in differing(stored, now)]
        wrong += [f"{kept}: {name} differs from what the records say now" for name in names]
    else:
        wrong.append(f"{kept} is missing: the run was not finished, or is older than it")
    return Verified(checked, absent_models, absent_inputs, tuple(wrong), now["*"])


def differences(one: RunFolder, other: RunFolder) -> list[str]:
    """Return what of the deterministic parts of two runs differs: ``workload`` or methods."""
    names = [difference.key for difference in differing(_digests(one), _digests(other))]
    return [name for name in names if name != "*"]


def _digests(folder: RunFolder) -> dict[str, str]:
    plan = folder.load_plan()
    assert plan is not None
    return digests(deterministic_part(plan, folder.load_records()))


def _recorded(folder: RunFolder) -> Iterator[tuple[Path, File]]:
    """Yield each file of the rows that has a digest, and what was recorded of it."""
    for record in folder.load_records():
        for path, file in folder.files_of(record):
            if path.name != store.HISTORY or not folder.is_imported:  # it never travels
                yield path, file
