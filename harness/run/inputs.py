"""Checks of the user's files before MXNet starts: they exist, are whole, and fit together."""

from __future__ import annotations

from dataclasses import dataclass

from harness.config import project_path
from harness.errors import InputError
from harness.files import whole_files
from harness.images.record_file import RecordFile, RecordIndex
from harness.storage.configuration import Workload
from harness.storage.plan import InputFile


@dataclass(frozen=True)
class Inputs:
    """The user's files after the checks.

    Attributes:
        validation: the validation record's index.
        tuning: that of the tuning images; the same object where they are the validation's head.
        images: how many images to validate.
        tuning_images: how many to tune on.
        files: by role.
    """

    validation: RecordIndex
    tuning: RecordIndex
    images: int
    tuning_images: int
    files: dict[str, InputFile]

    @property
    def overlap(self) -> bool:
        return self.tuning is self.validation

    @property
    def warnings(self) -> list[str]:
        """Sentences about the records for the reader of the table."""
        indices = [self.validation] if self.overlap else [self.validation, self.tuning]
        return [
            f"{index.path.with_suffix('.idx').name} names {len(index)} of the {index.stored} records of "
            f"{index.path.name}: only those were read, as MXNet reads them"
            for index in indices
            if len(index) != index.stored
        ]


def check_inputs(workload: Workload) -> Inputs:
    """Scan the records whole, digest every file, and check that the batches fit.

    Raises:
        InputError: a file is missing, damaged or not the expected one; the batches do not fit.
    """
    validation = _index(workload, workload.rec, "workload.rec")
    images = _count_images(workload, len(validation))
    source = workload.paths["tuning"]
    tuning, available = validation, images
    if source is not None:
        tuning = _index(workload, source, "workload.tuning.source")
        available = len(tuning)
    known = {"rec": validation.sha256, "tuning": tuning.sha256}  # of the bytes that were indexed
    return Inputs(
        validation,
        tuning,
        images,
        _count_tuning_images(workload, available),
        {
            role: _digested(path, role, workload, known.get(role))
            for role, path in workload.paths.items()
            if path
        },
    )


def _index(workload: Workload, path: str | None, key: str) -> RecordIndex:
    if path is None:
        raise InputError(f"the workload {workload.name} needs {key}=/path/to/file.rec")
    with RecordFile(project_path(path)) as record:
        return record.index(workload.classes)


def _count_images(workload: Workload, available: int) -> int:
    wanted = workload.images
    if wanted is None:
        return available
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not 1 <= wanted <= available:
        raise InputError(
            f"workload.images={wanted}: the record {workload.rec} holds {available}; "
            "give a number from 1 to that, or null for all"
        )
    return wanted


def _count_tuning_images(workload: Workload, available: int) -> int:
    batches, size = workload.tuning.batches, workload.batch_size
    wanted = batches * size
    if wanted > available:
        raise InputError(
            f"workload.tuning.batches={batches} of workload.batch_size={size} are {wanted} images, "
            f"but only {available} are there: lower one of the two"
        )
    return wanted


def _digested(path: str, role: str, workload: Workload, known: str | None) -> InputFile:
    file = project_path(path)
    if not file.is_file():
        raise InputError(f"workload.{role}={file}: there is no such file")
    try:
        digest = known or whole_files.sha256_of(file)
    except OSError as error:
        raise InputError(f"workload.{role}={file} cannot be read: {error.strerror}") from None
    expected = workload.digests[role]
    if expected is not None and digest != expected:
        raise InputError(
            f"workload.{role}={file} has SHA-256 {digest}, expected {expected} "
            f"(workload.{role}_sha256): restore the file, or set the digest to the one you mean"
        )
    return InputFile(path=str(file), bytes=file.stat().st_size, sha256=digest)
