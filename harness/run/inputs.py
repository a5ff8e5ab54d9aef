"""Checks of the user's files before MXNet starts: they exist, are whole, and fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config import project_path
from harness.errors import InputError
from harness.images.record_file import RecordFile, RecordIndex
from harness.storage import whole_files
from harness.workloads.model_files import check_symbol, check_weights

OUR_LOADERS = ("harness.workloads.", "benchmarks.bundled.")


@dataclass(frozen=True)
class Inputs:
    """The user's files after the checks.

    Attributes:
        validation: the validation record's index.
        tuning: that of the tuning images; the same object where they are the validation's head.
        images: how many images to validate.
        tuning_images: how many to tune on.
        files: by role, each with path, bytes and sha256.
    """

    validation: RecordIndex
    tuning: RecordIndex
    images: int
    tuning_images: int
    files: dict[str, dict[str, Any]]

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


def check_inputs(workload: Mapping[str, Any]) -> Inputs:
    """Scan the records whole, digest every file, and check that the batches fit.

    Raises:
        InputError: a file is missing, damaged or not the expected one; the batches do not fit.
    """
    validation = _index(workload, workload["rec"], "workload.rec")
    images = _count_images(workload, len(validation))
    source = workload["tuning"]["source"]
    tuning = validation
    if source != "head":
        tuning = _index(workload, source, "workload.tuning.source")
    available = images if source == "head" else len(tuning)
    roles = {
        "rec": workload["rec"],
        "params": workload.get("params"),
        "symbol": workload.get("symbol"),
        "tuning": None if source == "head" else source,
    }
    known = {"rec": validation.sha256, "tuning": tuning.sha256}  # of the bytes that were indexed
    return Inputs(
        validation,
        tuning,
        images,
        _count_tuning_images(workload, available),
        {
            role: _digested(path, role, workload, known.get(role))
            for role, path in roles.items()
            if path
        },
    )


def file_checks(workload: Mapping[str, Any]) -> dict[str, Callable[[], None]]:
    """Return, by the role of each file that a workload names, what checks it as a run does.

    Each raises InputError if a run would refuse the file: one that is damaged, is none of its kind, is
    not the expected one, or holds too few images. Weights and symbols that a loader of the user's own
    reads are of a form of their own, so that only their digests are checked.
    """
    source = workload["tuning"]["source"]
    is_ours = str(workload["model"].get("_target_")).startswith(OUR_LOADERS)

    def record() -> None:
        index = _index(workload, workload["rec"], "workload.rec")
        _digested(workload["rec"], "rec", workload, index.sha256)
        images = _count_images(workload, len(index))
        if source == "head":
            _count_tuning_images(workload, images)

    def tuning() -> None:
        _count_tuning_images(workload, len(_index(workload, source, "workload.tuning.source")))

    def model_file(role: str, check: Callable[[Path], object]) -> None:
        _digested(workload[role], role, workload, None)
        if is_ours:
            check(project_path(workload[role]))

    return {
        "rec": record,
        "tuning": tuning,
        "params": lambda: model_file("params", check_weights),
        "symbol": lambda: model_file("symbol", check_symbol),
    }


def _index(workload: Mapping[str, Any], path: str | None, key: str) -> RecordIndex:
    if path is None:
        raise InputError(f"the workload {workload['name']} needs {key}=/path/to/file.rec")
    with RecordFile(project_path(path)) as record:
        return record.index(workload["classes"])


def _count_images(workload: Mapping[str, Any], available: int) -> int:
    wanted = workload["images"]
    if wanted is None:
        return available
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not 1 <= wanted <= available:
        raise InputError(
            f"workload.images={wanted}: the record {workload['rec']} holds {available}; "
            "give a number from 1 to that, or null for all"
        )
    return wanted


def _count_tuning_images(workload: Mapping[str, Any], available: int) -> int:
    batches, size = workload["tuning"]["batches"], workload["batch_size"]
    wanted = int(batches * size)
    if wanted > available:
        raise InputError(
            f"workload.tuning.batches={batches} of workload.batch_size={size} are {wanted} images, "
            f"but only {available} are there: lower one of the two; type "
            + (
                f"workload.tuning.batches={available // size}"
                if available >= size
                else f"workload.batch_size={available} workload.tuning.batches=1"
            )
        )
    return wanted


def _digested(
    path: str, role: str, workload: Mapping[str, Any], known: str | None
) -> dict[str, Any]:
    file = project_path(path)
    if not file.is_file():
        raise InputError(f"workload.{role}={file}: there is no such file")
    try:
        digest = known or whole_files.sha256_of(file)
    except OSError as error:
        raise InputError(f"workload.{role}={file} cannot be read: {error.strerror}") from None
    expected = workload.get(f"{role}_sha256")
    if expected is not None and digest != expected:
        raise InputError(
            f"workload.{role}={file} has SHA-256 {digest}, expected {expected} "
            f"(workload.{role}_sha256): restore the file, or set the digest to the one you mean"
        )
    return {"path": str(file), "bytes": file.stat().st_size, "sha256": digest}
