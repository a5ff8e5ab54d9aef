"""Checks of the user's files before MXNet starts: they exist, are whole, and fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.config import project_path
from harness.errors import InputError
from harness.facts.typed import decode
from harness.files import whole_files
from harness.images.record_file import RecordFile, RecordIndex
from harness.storage.configuration import HEAD, Method, Workload
from harness.storage.method_options import MADE_ELSEWHERE, Finished
from harness.storage.plan import InputFile
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


def check_finished(methods: Mapping[str, Method]) -> dict[str, InputFile]:
    """Return the files of models that were made elsewhere, by role, such as ``int8_mine.symbol``.

    Raises:
        InputError: a file is not given, is missing or damaged, or not the expected one.
    """
    files: dict[str, InputFile] = {}
    for name, method in methods.items():
        if method.target != MADE_ELSEWHERE:
            continue
        arguments = decode(method.stored, Finished)
        pair = (
            ("symbol", arguments.symbol, arguments.symbol_sha256, check_symbol),
            ("params", arguments.params, arguments.params_sha256, check_weights),
        )
        for role, path, expected, check in pair:
            key = f"method.{name}.{role}"
            if not path:
                raise InputError(
                    f"{key} must be given: the model is a pair; type {key}=/path/to/file"
                )
            files[f"{name}.{role}"] = _digested_file(path, key, expected, None)
            check(project_path(path), key=key)
    return files


def file_checks(workload: Workload) -> dict[str, Callable[[], None]]:
    """Return, by the role of each file that a workload names, what checks it as a run does.

    Each raises InputError if a run would refuse the file: one that is damaged, is none of its kind, is
    not the expected one, or holds too few images. Weights and symbols that a loader of the user's own
    reads are of a form of their own, so that only their digests are checked.
    """
    source = workload.tuning.source
    is_ours = workload.model.target.startswith(OUR_LOADERS)

    def record() -> None:
        index = _index(workload, workload.rec, "workload.rec")
        _digested(str(workload.rec), "rec", workload, index.sha256)
        images = _count_images(workload, len(index))
        if source == HEAD:
            _count_tuning_images(workload, images)

    def tuning() -> None:
        _count_tuning_images(workload, len(_index(workload, source, "workload.tuning.source")))

    def model_file(role: str, check: Callable[[Path], object]) -> None:
        path = str(workload.paths[role])
        _digested(path, role, workload, None)
        if is_ours:
            check(project_path(path))

    return {
        "rec": record,
        "tuning": tuning,
        "params": lambda: model_file("params", check_weights),
        "symbol": lambda: model_file("symbol", check_symbol),
    }


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
            f"but only {available} are there: lower one of the two; type "
            + (
                f"workload.tuning.batches={available // size}"
                if available >= size
                else f"workload.batch_size={available} workload.tuning.batches=1"
            )
        )
    return wanted


def _digested(path: str, role: str, workload: Workload, known: str | None) -> InputFile:
    return _digested_file(path, f"workload.{role}", workload.digests[role], known)


def _digested_file(path: str, key: str, expected: str | None, known: str | None) -> InputFile:
    file = project_path(path)
    if not file.is_file():
        raise InputError(f"{key}={file}: there is no such file")
    try:
        digest = known or whole_files.sha256_of(file)
    except OSError as error:
        raise InputError(f"{key}={file} cannot be read: {error.strerror}") from None
    if expected is not None and digest != expected:
        raise InputError(
            f"{key}={file} has SHA-256 {digest}, expected {expected} "
            f"({key}_sha256): restore the file, or set the digest to the one you mean"
        )
    return InputFile(path=str(file), bytes=file.stat().st_size, sha256=digest)
