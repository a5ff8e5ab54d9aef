"""Files of the harness: written whole or not at all, digested, and read back as JSON."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from harness.errors import HarnessError, InputError, remedy
from harness.files import durable
from harness.files.reading import read_json


def write_atomically(path: Path, content: str | bytes, key: str = "run.results") -> None:
    """Write so that a reader sees the old file or the whole new one, even after a crash.

    Args:
        content: text is written as UTF-8.
        key: of the configuration, that says where the file goes.

    Raises:
        InputError: there is no space, or the folder cannot be written.
    """
    try:
        durable.write(
            path, content if isinstance(content, bytes) else content.encode("utf-8", "replace")
        )
    except OSError as error:
        raise unwritable(path, error, key) from None


def unwritable(path: Path, error: OSError, key: str, value: str = "DIR") -> InputError:
    """Return the error of a file that cannot be written, with advice for the user.

    Args:
        key, value: the word that puts it elsewhere.
    """
    return InputError(
        f"{path} cannot be written ({error.strerror}): {remedy(error)} or give {key}={value}"
    )


def make_folder(path: Path, key: str) -> None:
    """Make a folder that the configuration's ``key`` led to.

    Raises:
        InputError: it cannot be made or written.
    """
    try:
        durable.make_folders(path)
    except OSError as error:
        raise InputError(f"{path} cannot be made ({error.strerror}): give {key}=DIR") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise InputError(f"{path} cannot be written: change its permissions or give {key}=DIR")


def write_json(path: Path, value: Any, key: str = "run.results") -> None:
    """Write ``value`` as JSON; as ``write_atomically``."""
    write_atomically(path, json_bytes(value), key)


def json_bytes(value: Any) -> bytes:
    """Return a value as all of the harness's JSON files have it."""
    return (json.dumps(value, indent=1) + "\n").encode()


def json_sha256(value: Any) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array as ``.npy``; as ``write_atomically``."""
    content = io.BytesIO()
    np.save(content, array)
    write_atomically(path, content.getvalue())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, read in blocks into one buffer."""
    with path.open("rb", buffering=0) as handle:
        return stream_sha256(handle)


def stream_sha256(handle: IO[bytes]) -> str:
    digest = hashlib.sha256()
    block = memoryview(bytearray(1 << 18))
    while size := handle.readinto(block):  # type: ignore[attr-defined]
        digest.update(block[:size])
    return digest.hexdigest()


def load_json(path: Path) -> Any:
    """Return a JSON file's value.

    Raises:
        HarnessError: the file is missing or damaged.
    """
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: Exception) -> HarnessError:
    """Return the error of a file of a run that cannot be read."""
    return HarnessError(f"{path} cannot be read ({error}): restore it or delete it")


def is_json(path: Path) -> bool:
    """Say whether a file holds a JSON object."""
    try:
        return isinstance(read_json(path), dict)
    except ValueError:
        return False
