"""The order that a fleet sends to a node, and the digests that compare both sides' projects."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import PROJECT
from harness.errors import InputError
from harness.facts.nested import differing
from harness.facts.typed import JsonObject
from harness.files.whole_files import json_sha256, sha256_of
from harness.storage.plan import CODE, CODE_SUFFIXES

COMPARED = (  # files of the project that can change a result
    *(f"{folder}/**/*{suffix}" for folder in CODE for suffix in CODE_SUFFIXES),
    "benchmarks/strategies/**/*.py",  # which rows may name (harness/targets.py)
    "requirements/**/*.lock",
)
MOST_CONF_BYTES = 1 << 24
Files = dict[str, str]  # by path


@dataclass(frozen=True)
class Order:
    """One run that a node is to measure.

    Attributes:
        run: its id, given by the driver.
        type: the name of the machines that may measure it, as a plain name; empty for none.
        node: which of them does.
        overrides: what the user asked.
        folders: the content of each folder of ``--conf``, in base64 by path.
        project: the SHA-256 of every file of the project that can change a result, by path.
        files: the SHA-256 of the workload's files, by role.
        results: where the node keeps the run; None for its project's own results.
        models: whether the models come back as well.
    """

    run: str
    overrides: tuple[str, ...]
    folders: tuple[Files, ...]
    project: Files
    files: Files
    results: str | None
    models: bool
    type: str = ""
    node: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Order:
        stored: JsonObject = json.loads(text)
        return cls(**{**stored, "overrides": tuple(stored["overrides"])})


def plain_type(name: str) -> str:
    """Return a machine's type as a plain name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)


def project_digests(project: Path = PROJECT) -> Files:
    """Return the SHA-256 of every file of the project that can change a result, by path."""
    paths = sorted(path for pattern in COMPARED for path in project.glob(pattern))
    return {path.relative_to(project).as_posix(): sha256_of(path) for path in paths}


def unlike(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Return the paths whose files differ, sorted."""
    return sorted(difference.key for difference in differing(ours, theirs))


def folder_files(folder: Path) -> Files:
    """Return all files of a configuration folder, modules too.

    Raises:
        InputError: there is no such folder, or it is far larger than configuration is.
    """
    if not folder.is_dir():
        raise InputError(f"--conf {folder}: no such folder")
    files, size = {}, 0
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or "__pycache__" in path.parts or name.startswith("."):
            continue
        size += path.stat().st_size
        if size > MOST_CONF_BYTES:
            raise InputError(
                f"--conf {folder} holds more than {MOST_CONF_BYTES >> 20} MB, which a fleet sends to "
                "every machine: keep data elsewhere"
            )
        files[name] = base64.b64encode(path.read_bytes()).decode()
    return files


def lay_out(content: Mapping[str, str], folder: Path) -> Path:
    """Write the files of ``folder_files`` into a new folder."""
    folder.mkdir(parents=True)
    for name, text in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(text))
    return folder


def files_digest(parts: Iterable[Mapping[str, str]]) -> str:
    """Return one SHA-256 for several sets of files."""
    return json_sha256([dict(part) for part in parts])
