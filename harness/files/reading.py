"""Read files that may be damaged, or that somebody else put there: runs, packs, the cache.

What has a file's name may be a FIFO that never answers, a device that never ends or a link to another
file, and some kilobytes of JSON may unfold to gigabytes. So a file is opened only if it is a plain one,
and JSON is measured before it is parsed. NumPy makes room for whatever shape a header names, and a
compressed member may hold a thousand times its size; so an array's header, type and size are checked
before its values are read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import lzma
import os
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

S = TypeVar("S", bound=msgspec.Struct)
LARGEST_JSON = 64 << 20  # bytes; a record with the trials of the longest searches has a few MB
MOST_VALUES = 3_000_000  # the times of 60 million images have so many; parsed, 0.4 GB at the most
LARGEST_ARRAY = 1 << 30  # bytes of one array; five classes of 50 million images have half of it
# whatever a damaged archive, in any of zip's compressions, or a damaged header can raise
BROKEN = (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error,
          lzma.LZMAError, struct.error, OverflowError, IndexError, NotImplementedError, RuntimeError,
          SyntaxError, MemoryError, RecursionError, tokenize.TokenError)  # fmt: skip


class Unreadable(ValueError):
    """The file is not one to read; the message says why."""


def open_plain(path: Path) -> IO[bytes]:
    """Open a plain file for reading; never follow a link at its end, never wait for a writer.

    Raises:
        Unreadable: it is a link, a folder, a FIFO, a socket or a device.
        OSError: as for ``open``.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Unreadable("it is a link, not a plain file") from None
        if error.errno == errno.ENXIO:
            raise Unreadable("it is a socket, not a plain file") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unreadable("it is not a plain file")
    return os.fdopen(descriptor, "rb")


def read_plain(path: Path, most: int = LARGEST_JSON) -> bytes:
    """Return the content of a plain file.

    Raises:
        Unreadable: it has more than ``most`` bytes, or is as ``open_plain`` says.
        OSError: as for ``open``.
    """
    with open_plain(path) as handle:
        # room is made for as many bytes as are asked for, which takes longer than to read a record
        size = min(os.fstat(handle.fileno()).st_size, most)
        content = handle.read(size + 1)
        if size < len(content) <= most:  # it grew, or its system told no size
            content += handle.read(most + 1 - len(content))
    if len(content) > most:
        raise Unreadable(_too_large(most))
    return content


def read_json(path: Path) -> Any:
    """Return a JSON file's value.

    Raises:
        OSError, ValueError: it cannot be opened, or is damaged, too large or nested too deeply.
    """
    return read_json_and_digest(path)[0]


def read_json_and_digest(path: Path) -> tuple[Any, str]:
    """Return a JSON file's value and the SHA-256 of the bytes that it was read from.

    Raises:
        OSError, ValueError: as ``read_json``.
    """
    content = read_plain(path)
    return parse_json(content), hashlib.sha256(content).hexdigest()


def parse_json(content: bytes) -> Any:
    """Return the value of JSON text, whose memory is bounded before it is parsed.

    Raises:
        ValueError: it is no JSON, too large or nested too deeply.
    """
    _require_small(content)
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_struct(path: Path, kind: type[S]) -> S | None:
    """Return a JSON file as a struct, whose fields alone are built; a tenth of the time of ``decode``.

    Returns:
        None where that cannot be done: ``read_json`` and ``decode`` say why.
    """
    try:
        content = read_plain(path)
        _require_small(content)
        content.decode("utf-8")  # what is in no field is not looked at below
        return msgspec.json.decode(content, type=kind)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError):
        return None


def _require_small(content: bytes) -> None:
    if len(content) > LARGEST_JSON:
        raise ValueError(_too_large(LARGEST_JSON))
    opening = (b"[", b"{", b",")  # each value has one before it
    if len(content) > MOST_VALUES and sum(map(content.count, opening)) > MOST_VALUES:
        raise ValueError(f"it holds more than {MOST_VALUES} values")


def _too_large(most: int) -> str:
    return f"it has more than {most >> 20} MB"


class BadArray(ValueError):
    """The file is no array of the kind that was asked for; the message says why."""


def read_npy(path: Path, dtype: str, sides: Sequence[int | None]) -> npt.NDArray[Any]:
    """Return the array of an ``.npy`` file.

    Args:
        dtype: such as ``<i8``.
        sides: the expected shape; None for a side of any length.

    Raises:
        BadArray: it is missing, damaged, or another kind of array.
    """
    try:
        with open_plain(path) as handle:
            return _read_array(handle, dtype, sides, os.fstat(handle.fileno()).st_size)
    except BROKEN as error:
        raise _bad_array(error) from None


def read_npz(path: Path, key: str, dtype: str, sides: Sequence[int | None]) -> npt.NDArray[Any]:
    """Return one array of an ``.npz`` file; as ``read_npy``."""
    try:
        with open_plain(path) as file:
            return read_open_npz(file, key, dtype, sides)
    except BROKEN as error:
        raise _bad_array(error) from None


def read_open_npz(
    file: IO[bytes], key: str, dtype: str, sides: Sequence[int | None]
) -> npt.NDArray[Any]:
    """Return one array of an ``.npz`` file that is open; as ``read_npy``."""
    try:
        with zipfile.ZipFile(file) as archive:
            member = archive.getinfo(f"{key}.npy")
            with archive.open(member) as handle:
                return _read_array(handle, dtype, sides, member.file_size)
    except BROKEN as error:
        raise _bad_array(error) from None


def _read_array(
    handle: IO[bytes], dtype: str, sides: Sequence[int | None], size: int
) -> npt.NDArray[Any]:
    shape, in_columns, found, start = header_of(handle)
    if found != np.dtype(dtype):
        raise BadArray(f"it holds {found.str}, expected {dtype}")
    if in_columns and len(shape) > 1:
        raise BadArray("its array is in columns")
    if len(shape) != len(sides) or any(
        want is not None and have != want for have, want in zip(shape, sides)
    ):
        shown = " x ".join("any" if each is None else str(each) for each in sides)
        raise BadArray(f"its shape is {shape}, expected {shown}")
    claimed = found.itemsize
    for side in shape:
        claimed *= side
    if claimed > LARGEST_ARRAY or start + claimed != size:
        raise BadArray(f"it claims {claimed} bytes and has {size - start}")
    content = handle.read(claimed)
    if len(content) != claimed:
        raise BadArray(f"it ends after {len(content)} of {claimed} bytes")
    return np.frombuffer(content, found).reshape(shape).copy()


def header_of(handle: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, whether it is in columns, type and start of the data of an ``.npy``.

    Raises:
        BadArray: it is none, or of objects, which only unpickling makes.
    """
    try:
        version = npy.read_magic(handle)  # type: ignore[no-untyped-call]
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, in_columns, dtype = read(handle)  # type: ignore[no-untyped-call]
    except BROKEN as error:
        raise _bad_array(error) from None
    if dtype.hasobject or dtype.names is not None or dtype.itemsize == 0:
        raise BadArray(f"it holds {dtype}, which is no number")
    if any(side < 0 for side in shape):
        raise BadArray(f"its shape is {shape}")
    return tuple(shape), bool(in_columns), dtype, handle.tell()


def _bad_array(error: BaseException) -> BadArray:
    if isinstance(error, BadArray):
        return error
    text = " ".join(str(error).split())[:200]
    return BadArray(text or type(error).__name__)
