"""The plan of a run: what was asked and what it resolved to, fixed before anything is measured."""

# No ``from __future__ import annotations``: msgspec evaluates the annotations, on Python 3.9 too.

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Optional, Union

from msgspec import Meta

from harness import __version__
from harness.errors import HarnessError
from harness.facts.machine_facts import Machine, ThreadSettings, Versions
from harness.facts.typed import (
    Count,
    Facts,
    JsonObject,
    Mistyped,
    Name,
    Positive,
    Sha256,
    Texts,
    decode,
    plain,
)
from harness.storage.configuration import Configuration, Method, Workload
from harness.storage.configuration_checks import stored_fault
from harness.storage.method_options import EngineSearch, SearchOptions

SCHEMA = 2  # 2: config has the whole protocol, and max_cpu_isa
OWN_ID = ("run.id=", "run.results=", "run.cache=")  # they would lead to the run itself
FOREIGN = "foreign"  # the key that marks an imported plan
KEPT_IF_KNOWN = ("checkout", "packages")  # keys that are not written without a value
COMMIT = r"[0-9a-f]{40}(?:[0-9a-f]{24})?"  # SHA-1 or SHA-256
RANDOM_WEIGHTS = (
    "THE WEIGHTS ARE RANDOM (workload.params is not given): accuracies mean nothing, times do"
)


class InputFile(Facts, frozen=True, kw_only=True):
    """A file of the workload, where it was."""

    path: str
    bytes: Optional[Count] = None
    sha256: Sha256


class Checkout(Facts, frozen=True, kw_only=True):
    """The checkout that a run's code came from.

    Attributes:
        commit: its id in git.
        clean: whether the harness, conf/, the lock files and run.sh were as committed, with no file
            beside.
    """

    commit: Annotated[str, Meta(pattern=rf"\A{COMMIT}\Z", description="a commit's id")]
    clean: bool


@dataclass(frozen=True)
class RunPlan:
    """Everything that determines a run.

    Attributes:
        run: the run's id.
        created: UTC, ISO 8601.
        overrides: what the user typed.
        config: the configuration, resolved.
        files: the workload's files by role.
        threads: the thread policy: what was asked and the environment it came to.
        images: how many images are validated.
        tuning_images: how many images are tuned on.
        tuning_overlap: whether the tuning images are among the validated.
        versions: of what is really installed, from MXNet's own process.
        warnings: what the user should know before it starts and read under the table.
        harness: this package's version.
        code: digest of the harness's modules, of conf/ (not in plans of before it was added) and of the
            folders given with --conf; None in plans of before it was kept. A continued run may differ
            in it.
        checkout: the commit of the code; None where git does not know it, and in earlier plans.
        packages: installed versions of the packages of requirements/run.lock; None in earlier plans.
        foreign: whether it came in a pack, from wherever; such a run is only read. Kept where it is true.
    """

    run: Name
    created: str
    overrides: tuple[str, ...]
    config: Configuration
    files: dict[str, InputFile]
    threads: ThreadSettings
    machine: Machine
    images: Positive
    tuning_images: Positive
    tuning_overlap: bool
    versions: Versions
    warnings: tuple[str, ...]
    harness: str = __version__
    schema: int = SCHEMA
    code: Optional[str] = None
    checkout: Optional[Checkout] = None
    packages: Optional[Texts] = None
    foreign: bool = False

    @property
    def words(self) -> list[str]:
        """The words of a command line that measures the same as a new run."""
        return [word for word in self.overrides if not word.lstrip("+").startswith(OWN_ID)]

    def as_dict(self) -> JsonObject:
        values: JsonObject = plain(self)
        if not self.foreign:
            del values[FOREIGN]
        unknown = {key for key in KEPT_IF_KNOWN if values[key] is None}
        return {key: value for key, value in values.items() if key not in unknown}

    @classmethod
    def from_dict(cls, stored: object, path: Path) -> "RunPlan":
        """Return the plan of a JSON object read from ``path``.

        Raises:
            HarnessError: its schema is unknown, or a field is missing or is not what it should be.
        """
        schema = stored.get("schema") if isinstance(stored, Mapping) else None
        if not isinstance(stored, Mapping) or schema != SCHEMA:
            raise HarnessError(
                f"{path} has plan schema {schema}, this version reads {SCHEMA}: use the version "
                "that wrote it"
            )
        wrong: object
        try:
            plan = decode(stored, cls)
            wrong = _unknown_key(stored) or stored_fault(plan.config.stored, "config")
        except Mistyped as error:
            wrong = str(error)
        if wrong is not None:
            raise HarnessError(f"{path} is no plan ({wrong}): restore it")
        return plan

    def check_readable(self, path: Path) -> None:
        """Write and read the plan in memory, as it will be in ``path``, before anything is measured.

        Raises:
            HarnessError: it would not come back as it is.
        """
        try:
            stored = json.loads(json.dumps(self.as_dict(), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise HarnessError(
                f"{path} cannot be written ({error}): nothing was measured"
            ) from None
        if json.dumps(self.from_dict(stored, path).as_dict()) != json.dumps(self.as_dict()):
            raise HarnessError(f"{path} would not be read as it is written: nothing was measured")

    @property
    def workload(self) -> Workload:
        return self.config.workload

    @property
    def methods(self) -> dict[str, Method]:
        """The rows by name, in the table's order."""
        return self.config.method

    def search_options(self, method: str) -> Union[SearchOptions, EngineSearch, None]:
        """Return a row's ``options`` if they are a search's; None for those of an own method's own."""
        return self.methods[method].search_options if method in self.methods else None

    def error_threshold(self, method: str) -> Optional[float]:
        """Return that of a row's ``strategy_options``, if they have one that is a number."""
        return self.methods[method].error_threshold if method in self.methods else None


def _unknown_key(stored: Iterable[str]) -> Optional[str]:
    """Return a sentence on the first key that plans do not have; None without one."""
    known = {field.name for field in fields(RunPlan)}
    return next((f"{key} is no key of a plan" for key in stored if key not in known), None)


def new_run_id() -> str:
    """Return an id that sorts by time and that two runs of the same second do not share."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + secrets.token_hex(3)


CODE = (
    "harness",
    "benchmarks/bundled",
    "conf",
)  # of the project, whose files decide what is measured
CODE_SUFFIXES = (".py", ".yaml")


def digest_of_code(folders: Iterable[Path]) -> str:
    """Return the SHA-256 over the names and contents of all Python and YAML files in folders."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.suffix in CODE_SUFFIXES):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(folder)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def warnings_of(workload: Workload, threads: Sequence[str]) -> tuple[str, ...]:
    """Return what the user should know before it starts: of the workload and of the threads."""
    random = workload.random_weights and not workload.params
    return (*threads, RANDOM_WEIGHTS) if random else tuple(threads)
