"""Read arrays from files that may be damaged, or from elsewhere: what a file claims is checked first.

NumPy makes room for whatever shape a header names, and a compressed member may hold a thousand times
its size; so header, type and size are looked at before anything is read.
"""

from __future__ import annotations

import lzma
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from harness.storage.reading import open_plain

LARGEST = 1 << 30  # bytes of one array; five classes of 50 million images have half of it
# whatever a damaged archive, in any of zip's compressions, or a damaged header can raise
BROKEN = (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error,
          lzma.LZMAError, struct.error, OverflowError, IndexError, NotImplementedError, RuntimeError,
          SyntaxError, MemoryError, RecursionError, tokenize.TokenError)  # fmt: skip


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
            return _read(handle, dtype, sides, os.fstat(handle.fileno()).st_size)
    except BROKEN as error:
        raise _bad(error) from None


def read_npz(path: Path, key: str, dtype: str, sides: Sequence[int | None]) -> npt.NDArray[Any]:
    """Return one array of an ``.npz`` file; as ``read_npy``."""
    try:
        with open_plain(path) as file:
            return read_open_npz(file, key, dtype, sides)
    except BROKEN as error:
        raise _bad(error) from None


def read_open_npz(
    file: IO[bytes], key: str, dtype: str, sides: Sequence[int | None]
) -> npt.NDArray[Any]:
    """Return one array of an ``.npz`` file that is open; as ``read_npy``."""
    try:
        with zipfile.ZipFile(file) as archive:
            member = archive.getinfo(f"{key}.npy")
            with archive.open(member) as handle:
                return _read(handle, dtype, sides, member.file_size)
    except BROKEN as error:
        raise _bad(error) from None


def _read(
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
    if claimed > LARGEST or start + claimed != size:
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
        raise _bad(error) from None
    if dtype.hasobject or dtype.names is not None or dtype.itemsize == 0:
        raise BadArray(f"it holds {dtype}, which is no number")
    if any(side < 0 for side in shape):
        raise BadArray(f"its shape is {shape}")
    return tuple(shape), bool(in_columns), dtype, handle.tell()


def _bad(error: BaseException) -> BadArray:
    if isinstance(error, BadArray):
        return error
    text = " ".join(str(error).split())[:200]
    return BadArray(text or type(error).__name__)
