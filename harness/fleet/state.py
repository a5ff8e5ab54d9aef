"""The state of a fleet under ``results/fleet/ID``, so that another driver can continue it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import InputError
from harness.facts.nested import differing
from harness.facts.typed import JsonObject
from harness.files import locks, whole_files
from harness.fleet.schedule import Job
from harness.storage import store
from harness.words.overrides import looks_up, set_to

SCHEMA = 1
FOLDER = "fleet"  # under results/
STATE = "fleet.json"


@dataclass(frozen=True)
class Fleet:
    """A fleet's arguments and the state of its runs.

    Attributes:
        fleet: its id.
        created: UTC, ISO 8601.
        overrides: what the user asked of every run.
        arguments: of the verb, those that must stay as they were.
        project: the SHA-256 of the project's files that can change a result.
        conf: that of the folders of ``--conf``.
        jobs: one a machine.
    """

    fleet: str
    created: str
    overrides: list[str]
    arguments: dict[str, str]
    project: str
    conf: str
    jobs: list[Job]
    schema: int = SCHEMA

    def save(self, folder: Path) -> None:
        whole_files.write_json(folder / STATE, asdict(self))

    def check_continued(self, typed: Mapping[str, str], overrides: Sequence[str]) -> None:
        """Raise InputError if the arguments differ from those that the fleet began with.

        Args:
            typed: those of the verb's arguments that the user gave.

        Raises:
            InputError: an argument or an override differs.
        """
        now = {key: typed.get(key, value) for key, value in self.arguments.items()}
        changed = [f"{one.key}={one.after}" for one in differing(self.arguments, now)]
        changed += [word for word in overrides if word not in self.overrides]
        if changed:
            raise InputError(
                f"{' '.join(changed)}: fleet {self.fleet} began with "
                f"{' '.join(self.overrides) or 'no overrides'}; go on with fleet.id={self.fleet} alone, "
                "or leave it out to begin anew"
            )

    def check_plain(self, typed: Mapping[str, str], overrides: Sequence[str], project: str) -> None:
        """Raise InputError if the fleet's file names what the user has not typed now.

        Args:
            typed: those of the verb's arguments that the user gave.
            project: the default of fleet.project.

        Raises:
            InputError: a word of the state looks something up, or another project's code would run.
        """
        again = [word for word in self.overrides if looks_up(word) and word not in overrides]
        place = self.arguments["fleet.project"]
        if place not in (project, typed.get("fleet.project")):
            again.append(set_to("fleet.project", place))
        if again:
            raise InputError(
                f"fleet {self.fleet} began with {' '.join(again)}, which is not taken from a file: give "
                f"that again with fleet.id={self.fleet}"
            )


def load(folder: Path) -> Fleet | None:
    """Return the fleet of a folder, its unfinished runs waiting again; None for a new one.

    Raises:
        InputError: it has the schema of another version.
        HarnessError: its file is damaged.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    stored: JsonObject = whole_files.load_json(path)
    if stored.get("schema") != SCHEMA:
        raise InputError(
            f"{path} has schema {stored.get('schema')}, this version reads {SCHEMA}: use the version "
            "that wrote it"
        )
    return Fleet(**{**stored, "jobs": [Job.from_dict(job) for job in stored["jobs"]]})


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a fleet for this driver; remove the folder if no fleet began in it.

    Raises:
        InputError: another process drives it, or the folder cannot be made.
    """
    whole_files.make_folder(folder, "run.results")
    with locks.held(folder / store.LOCK, wait=None) as alone:
        if not alone:
            raise InputError(f"fleet.id={folder.name}: another process drives this fleet")
        try:
            yield
        finally:
            if not (folder / STATE).is_file():
                shutil.rmtree(folder, ignore_errors=True)
