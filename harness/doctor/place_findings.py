"""Findings about folders and files, and about what the kernel allows there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import PROJECT
from harness.doctor.finding import BAD, GIB, OK, WARN, Finding, in_gib, level
from harness.errors import HarnessError, InputError
from harness.files import locks
from harness.host import calls
from harness.process.executor import worker_environment
from harness.storage.configuration import Workload

DISK_NEEDED, DISK_WANTED = 1 * GIB, 12 * GIB  # ImageNet's prepared images take 7.5 GB
UNREFUSED = "nothing has to be done; a newer kernel or Docker allows it"
UNLOCKED = "start no two runs there from different hosts or users at once, or choose another folder"


@dataclass(frozen=True)
class FileFact:
    """A file that the configuration names.

    Attributes:
        role: what it is to the run, such as "validation record".
        path: None when the configuration names none.
        required: a run cannot do without it.
        advice: what to do when it is not there.
        check: raises InputError if a run would refuse the file; None: nothing more is looked at.
    """

    role: str
    path: Path | None
    required: bool
    advice: str
    check: Callable[[], None] | None = None


def files_of(
    workload: Workload,
    path_of: Callable[[str], Path],
    checks: Mapping[str, Callable[[], None]],
) -> list[FileFact]:
    """Return the files that a workload names.

    Args:
        path_of: returns the path that a text in the configuration means.
        checks: what a run checks of each, by role.
    """
    advice = {
        "rec": "give workload.rec=/path/to/file.rec",
        "params": "give workload.params=/path/to/weights.params",
        "symbol": "give workload.symbol=/path/to/model-symbol.json",
        "tuning": "give workload.tuning.source=/path/to/file.rec, or head",
    }
    fetched = workload.download or workload.random_weights
    return [
        FileFact(
            role,
            path_of(str(path)) if path else None,
            role == "rec" or not fetched,
            advice[role],
            checks[role],
        )
        for role, path in workload.paths.items()
        if role in ("rec", "params") or path
    ]


def disk_findings(path: Path) -> list[Finding]:
    """Judge the folder that will be written to; it need not exist yet."""
    folder = _nearest(path)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        advice = "choose a folder that you may write to (run.results, run.cache)"
        return [Finding(BAD, "disk", f"{path}: not writable", advice)]
    free = shutil.disk_usage(folder).free
    advice = f"ImageNet's prepared images and models want {in_gib(DISK_WANTED)}"
    mark = level(free, DISK_NEEDED, DISK_WANTED)
    return [Finding(mark, "disk", f"{path}: {in_gib(free)} free", advice)]


def refused_findings(paths: Sequence[Path]) -> list[Finding]:
    """Say which system calls and locks the kernel, a container or a file system refuses.

    Args:
        paths: the folders that will be written to; what cannot be written is no finding of this.
    """
    found: dict[str, Finding] = {}
    for folder in map(_nearest, paths):
        if not os.access(folder, os.W_OK | os.X_OK):
            continue
        for call, instead in calls.refused_calls(folder):
            found[call] = Finding(WARN, "system calls", f"refused: {call}; {instead}", UNREFUSED)
        try:
            weakness = locks.weakness(folder)
        except HarnessError as error:
            found[str(error)] = Finding(BAD, "locks", str(error), UNREFUSED)
        else:
            if weakness:
                found[weakness] = Finding(WARN, "locks", f"{folder}: {weakness}", UNLOCKED)
    return list(found.values()) or [Finding(OK, "system calls", "none is refused, locks work")]


def confinement_findings() -> list[Finding]:
    """Say what a worker would give up here; a process that is confined as one tells."""
    code = (
        "import json; from harness.process.confinement import confine; print(json.dumps(confine()))"
    )
    with tempfile.TemporaryDirectory() as aside:
        command = [sys.executable, "-c", code]
        environment = worker_environment({"PYTHONPATH": str(PROJECT)})
        told = subprocess.run(
            command, cwd=aside, env=environment, capture_output=True, text=True, check=False
        )
    if told.returncode:
        said = told.stderr.strip().rpartition("\n")[2]
        return [Finding(BAD, "workers", f"cannot be confined: {said}", UNREFUSED)]
    held = json.loads(told.stdout)
    lacks = [
        f"{what}: {held[key]}"
        for key, what, whole in (
            ("network", "the network is in reach", "none"),
            ("files", "all of the user's files are in reach", "Landlock"),
            ("system_calls", "system calls are not filtered", "filtered"),
        )
        if not held[key].startswith(whole)
    ]
    value = f"no network, {held['files']}, system calls filtered"
    found = [Finding(WARN, "workers", each, UNREFUSED) for each in lacks]
    found = found or [Finding(OK, "workers", value)]
    if held["root"]:
        found.append(Finding(WARN, "workers", "run as root", "run as a user who owns little"))
    return found


def workload_findings(files: Sequence[FileFact]) -> list[Finding]:
    """Say of each file whether it is there and a run would take it."""
    findings = []
    for file in files:
        missing = BAD if file.required else WARN
        if file.path is None:
            findings.append(Finding(missing, file.role, "not configured", file.advice))
        elif not file.path.is_file():
            findings.append(Finding(missing, file.role, f"{file.path}: not found", file.advice))
        elif not os.access(file.path, os.R_OK):
            findings.append(Finding(BAD, file.role, f"{file.path}: may not be read", file.advice))
        elif (problem := _problem(file)) is not None:
            findings.append(Finding(BAD, file.role, problem, file.advice))
        else:
            size = file.path.stat().st_size
            findings.append(Finding(OK, file.role, f"{file.path} ({size / 1e6:,.2f} MB)"))
    return findings


def _problem(file: FileFact) -> str | None:
    """Return why a run would refuse a file; None if it would not."""
    try:
        if file.check is not None:
            file.check()
    except InputError as error:
        return str(error)
    return None


def _nearest(path: Path) -> Path:
    """Return a folder, or the one above it in which it will be made."""
    folder = path.resolve()
    while not folder.exists():
        folder = folder.parent
    return folder
