"""Runs on disk: saving, loading, listing, and the lock that keeps two runs apart."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from harness import PROJECT
from harness.errors import HarnessError, InputError
from harness.files import durable, locks
from harness.files.reading import (
    BadArray,
    Unreadable,
    open_plain,
    read_json_and_digest,
    read_npy,
    read_open_npz,
    read_struct,
)
from harness.files.whole_files import (
    load_json,
    make_folder,
    stream_sha256,
    unreadable,
    unwritable,
    write_json,
)
from harness.storage.outcomes import OK
from harness.storage.plan import RunPlan
from harness.storage.record import (
    RECORD_FILES,
    RECORDS,
    ROUND_FILES,
    InstancesRecord,
    MethodRecord,
    RoofRecord,
    RoundRecord,
)
from harness.storage.recorded_files import is_intact
from harness.storage.served.server_record import ServerRecord
from harness.storage.stage_facts import File, Optimize

PLAN = "plan.json"
LABELS = "labels.npy"
METHODS = "methods"
LOCK = ".lock"
PACKED = "pack.json"  # in a run that was imported: the manifest of its pack
SIGNED = "signature.json"  # there too, if its pack was signed by a key that was trusted
OPTIMIZED = "optimize.json"  # in a row's folder: what its model is, once that is whole
MODEL = ("symbol", "params")  # its files, in those facts
HISTORY = "tuning_history.jsonl"  # there too: what each trial of a search is made from again
TRIALS = "trials.npz"  # and what each predicted
TRAJECTORY = "trajectory.json"  # and each one's accuracy, time and changes
INSPECT_LOG = "inspect.log"
PREDICTIONS = "predictions.npz"  # there too: the best classes of each image
AGAIN, PINNED = "-again", "-pinned"  # end the ids of the other runs that a night makes
NIGHT = "nightly.json"  # of a night alone: its verdict, or how far it was when it was stopped
COMMITTED = PROJECT / "results" / "example"  # the runs that the project's repository holds


class _Origin(Struct):
    """What a plan says of where it came from."""

    foreign: bool = False


class NotAsRecorded(HarnessError):
    """A file is missing or is not the one whose digest a record names."""

    def __init__(self, path: Path, advice: str) -> None:
        super().__init__(f"{path} is missing or is not the file that was recorded: {advice}")
        self.path = path


class RunFolder:
    """The folder of one run: ``results/<machine>/<run id>``.

    Attributes:
        digests: SHA-256 of the plan, the records and the rounds that were read through this object,
            by path in the folder; of the bytes that were parsed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.digests: dict[str, str] = {}

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def address(self) -> str:
        """MACHINE/ID: what names it where several machines have a run of its id."""
        return f"{self.path.parent.name}/{self.id}"

    @property
    def is_imported(self) -> bool:
        """Whether it is a copy, without tuning history and maybe without models: its plan says so.

        Nothing else of the plan is looked at: a history asks this of a thousand nights.

        Raises:
            HarnessError: its plan is damaged.
        """
        origin = read_struct(self.path / PLAN, _Origin) or self.load_plan()
        is_foreign = origin is not None and origin.foreign
        return is_foreign or (self.path / PACKED).is_file()  # earlier versions left that one alone

    @property
    def is_committed(self) -> bool:
        """Whether the project's repository holds it; it is only read, and came without its models."""
        return COMMITTED in self.path.resolve().parents and (self.path / PLAN).is_file()

    @property
    def is_night(self) -> bool:
        """Whether ``./run.sh nightly`` measured it and judged it or was stopped."""
        return (self.path / NIGHT).is_file()

    @property
    def resuming(self) -> str:
        """The command that measures what is missing; of a night it is the one that judges it, too."""
        return f"./run.sh {'nightly ' if self.is_night else ''}run.id={self.id}"

    def require_own(self, otherwise: str) -> None:
        """Refuse to measure or write in a run that is only read here.

        Args:
            otherwise: what to do instead.

        Raises:
            InputError: the run was imported, or the project's repository holds it.
            HarnessError: its plan is damaged.
        """
        if self.is_committed:
            raise InputError(
                f"run {self.id} is the project's committed example, which is only read: {otherwise}"
            )
        if self.is_imported:
            raise InputError(f"run {self.id} was imported: {otherwise}")

    def method(self, name: str) -> Path:
        """Return the folder of one row: its models, logs and tuning history."""
        return self.path / METHODS / name

    @property
    def has_lost_its_plan(self) -> bool:
        """Whether there is something of a run, but not what it was."""
        kept = any((self.path / name).exists() for name in (RECORDS, METHODS))
        return kept and not (self.path / PLAN).exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process alone.

        Raises:
            InputError: another process is using it, or it cannot be made.
        """
        make_folder(self.path, "run.results")
        with locks.held(self.path / LOCK, wait=None) as alone:
            if not alone:
                raise InputError(
                    f"another process is working on run {self.id}: wait for it, or leave run.id out "
                    "to start a new one"
                )
            yield

    def discard(self) -> bool:
        """Remove what a run left that was refused before it was planned; False if it was planned."""
        if (self.path / PLAN).exists():
            return False
        for name in (INSPECT_LOG, LOCK):
            (self.path / name).unlink(missing_ok=True)
        for name in (METHODS, RECORDS):  # taken over from an earlier run
            shutil.rmtree(self.path / name, ignore_errors=True)
        for folder in (self.path, self.path.parent):
            with suppress(OSError):  # it holds something else
                folder.rmdir()
        return True

    def damaged_predictions(self, record: MethodRecord) -> Path | None:
        """Return a row's file of predictions if it is missing or is not the one recorded."""
        if record.validate is None:
            return None
        file = record.validate.predictions
        path = self.method(record.method) / file.path
        return None if is_intact(path, file) else path

    def save_plan(self, plan: RunPlan) -> None:
        write_json(self.path / PLAN, plan.as_dict())

    def load_plan(self) -> RunPlan | None:
        """Return the plan, or None for a new folder.

        Raises:
            HarnessError: the file is damaged or of an unknown schema.
        """
        path = self.path / PLAN
        return RunPlan.from_dict(self.load(path), path) if path.is_file() else None

    def load(self, path: Path) -> Any:
        """Return a JSON file's value as ``load_json`` does, and keep its digest."""
        try:
            value, digest = read_json_and_digest(path)
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from None
        self.digests[path.relative_to(self.path).as_posix()] = digest
        return value

    def load_intact(self, path: Path) -> Any:
        """Return the object of a JSON file as ``load`` does; None where the file is damaged."""
        try:
            value, digest = read_json_and_digest(path)
        except ValueError:
            return None
        self.digests[path.relative_to(self.path).as_posix()] = digest
        return value if isinstance(value, dict) else None

    def save_record(self, record: MethodRecord) -> None:
        """Write a row's record, once all files that it names are on their disk."""
        log = [self.path / record.outcome.log] if record.outcome.log else []
        self._keep([*(path for path, _ in self.files_of(record)), *log])
        write_json(self.path / record.path, record.as_dict())

    def save_optimized(self, method: str, facts: Optimize) -> None:
        """Write what a row's model is, once the model is on its disk."""
        folder = self.method(method)
        self._keep([folder / file.path for file in facts.files])
        write_json(folder / OPTIMIZED, facts.stored)

    def _keep(self, files: Sequence[Path]) -> None:
        try:
            durable.keep(files, self.path)
        except OSError as error:
            raise unwritable(files[0].parent, error, "run.results") from None

    def files_of(self, record: MethodRecord) -> Iterator[tuple[Path, File]]:
        """Yield the path of each file that a row's record names, and what was recorded of it."""
        base = self.method(record.method)
        files = [
            *(record.optimize.files if record.optimize else ()),
            *((record.history,) if record.history else ()),
            *((record.validate.predictions,) if record.validate else ()),
        ]
        for file in files:
            yield base / file.path, file

    def load_records(self) -> list[MethodRecord]:
        """Return the records in the table's order.

        Raises:
            HarnessError: a record is damaged or of an unknown schema.
        """
        paths = sorted(self.path.glob(RECORD_FILES))
        return [MethodRecord.from_dict(self.load(path), path) for path in paths]

    def save(self, record: RoundRecord | RoofRecord | InstancesRecord | ServerRecord) -> None:
        """Write a record whole or not at all, in its folder, which is made if need be."""
        write_json(self.path / record.path, record.as_dict())

    def load_rounds(self) -> list[RoundRecord]:
        """Return the rounds' records by round, method and attempt.

        Raises:
            HarnessError: a record is damaged or of an unknown schema.
        """
        paths = self.path.glob(ROUND_FILES)
        return in_order([RoundRecord.from_dict(self.load(path), path) for path in paths], self.path)

    def load_roof(self) -> RoofRecord | None:
        """Return what was measured of the machine's roof, or None.

        Raises:
            HarnessError: the record is damaged or of an unknown schema.
        """
        path = self.path / RoofRecord.path
        return RoofRecord.from_dict(load_json(path), path) if path.is_file() else None

    @property
    def labels(self) -> Path:
        """The validated images' labels, (images,) int64."""
        return self.path / LABELS

    def load_labels(self, images: int | None = None) -> npt.NDArray[np.int64]:
        """Return the validated images' labels.

        Args:
            images: how many there must be.

        Raises:
            HarnessError: the file is missing, damaged or of another number of images.
        """
        try:
            return read_npy(self.labels, "<i8", (images,))
        except BadArray as error:
            raise HarnessError(
                f"{self.labels} cannot be read ({error}): restore it, or give run.id={self.id}, which "
                "writes it again"
            ) from None

    def load_predictions(self, row: MethodRecord, images: int) -> npt.NDArray[np.uint16]:
        """Return a validated row's best classes, (images, 5) or fewer columns, after their digest.

        The file is opened once, so that what is read is what was digested.

        Raises:
            NotAsRecorded: the file is missing or is not the one that was recorded.
            HarnessError: it holds another number of images, or no predictions.
        """
        assert row.validate is not None
        file = row.validate.predictions
        path = self.method(row.method) / file.path
        advice = f"restore it, or give run.id={self.id}, which measures the row again"
        try:
            with open_plain(path) as handle:
                if stream_sha256(handle) != file.sha256:
                    raise NotAsRecorded(path, advice)
                handle.seek(0)
                return read_open_npz(handle, "top", "<u2", (images, None))
        except (FileNotFoundError, NotADirectoryError, Unreadable):
            raise NotAsRecorded(path, advice) from None
        except BadArray as error:
            raise HarnessError(f"{path} holds no predictions ({error}): {advice}") from None


def in_order(rounds: list[RoundRecord], folder: Path) -> list[RoundRecord]:
    """Return records of rounds by round, method and attempt.

    Raises:
        HarnessError: one timed another number of batches than the others: it is damaged.
    """
    counts: dict[tuple[str, int], int] = {}
    ordered = sorted(rounds, key=lambda row: (row.round, row.method, row.attempt))
    for row in ordered:
        for part in row.timed if row.outcome.kind == OK else ():
            size, count = part.batch_size, len(part.forward_s)
            expected = counts.setdefault((row.method, size), count)
            if count != expected:
                raise HarnessError(
                    f"{folder / row.path} timed {count} batches of {size}, other rounds of "
                    f"{row.method} {expected}: restore or delete it"
                )
    return ordered
