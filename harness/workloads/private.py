"""Private copies of the user's files, so that the digested bytes are those that are used.

A file may be replaced or overwritten while a run uses it. So it is copied as it is digested, into memory
that no other process has, and MXNet reads the copy.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from harness.errors import InputError

BLOCK_BYTES = 1 << 20

_expected: dict[Path, str] = {}  # the SHA-256 of the files that the run was planned with
_seen: set[Path] = set()


@contextmanager
def copied(path: Path, sha256: str | None = None) -> Iterator[Path]:
    """Yield the path of a private copy of a file, which is removed at the end of the context.

    Args:
        sha256: what the file must have; None: what ``only`` says of it, and if it says nothing, any.

    Raises:
        InputError: the file is not the one that was planned or recorded.
    """
    expected = sha256 or _expected.get(path.absolute())
    with _memory() as copy:
        _copy(path, copy, expected)
        _seen.add(path.absolute())
        yield Path(f"/proc/self/fd/{copy.fileno()}")


@contextmanager
def copied_together(files: Mapping[Path, str]) -> Iterator[Path]:
    """Yield a folder with private copies of files under their names, which name each other.

    It is in the working directory, which is a worker's own, and removed at the end of the context.

    Args:
        files: SHA-256 by path.

    Raises:
        InputError: a file is missing, or is not the one that was recorded.
    """
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for path, sha256 in files.items():
            if not path.is_file():
                raise InputError(
                    f"the saved model's file {path} does not exist: restore it, or start a new run"
                )
            with Path(folder, path.name).open("wb") as copy:
                _copy(path, copy, sha256)
        yield Path(folder).absolute()


def _copy(path: Path, copy: IO[bytes], expected: str | None) -> None:
    with path.open("rb") as source:
        digest = hashlib.sha256()
        while block := source.read(BLOCK_BYTES):
            digest.update(block)
            copy.write(block)
    copy.flush()
    if expected is not None and digest.hexdigest() != expected:
        raise _other(path, digest.hexdigest(), expected)


@contextmanager
def only(files: Mapping[str, str]) -> Iterator[None]:
    """Have the context use files only with their planned content.

    A file that was not read through ``copied``, but by a loader of the user's own, is digested
    afterwards.

    Args:
        files: SHA-256 by absolute path.

    Raises:
        InputError: a file is not the one that was planned.
    """
    _expected.update({Path(path): sha256 for path, sha256 in files.items()})
    _seen.clear()
    try:
        yield
        for path in _expected.keys() - _seen:
            with copied(path):
                pass
    finally:
        _expected.clear()


def _memory() -> IO[bytes]:
    try:
        return os.fdopen(os.memfd_create("private"), "w+b")
    except OSError:  # refused here: a file without a name
        return tempfile.TemporaryFile()


def _other(path: Path, actual: str, expected: str) -> InputError:
    return InputError(
        f"{path} is not the file that the run was planned with or made: its SHA-256 is {actual}, not "
        f"{expected}; restore it and go on with run.id=ID, or start a new run"
    )
