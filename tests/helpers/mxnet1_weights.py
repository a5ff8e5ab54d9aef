"""Write weights as MXNet 1 wrote them (``NDArray::Save`` in its ``src/ndarray/ndarray.cc``).

``test_mxnet1.py`` holds this writer to files that MXNet 0.9.5, 0.11.0 and 1.2.1 wrote, to the byte.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

LIST, V1, V2 = 0x112, 0xF993FAC8, 0xF993FAC9
TYPES = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6}
BFLOAT16 = 12  # since MXNet 1.6


def old_weights(arrays: Mapping[str, npt.NDArray[np.generic]], magic: int | None = V2) -> bytes:
    """Return a file of named arrays.

    Args:
        arrays: those of uint16 are written as bfloat16, whose bits they are.
        magic: of each array: None (before 0.11), V1 (0.11), or V2 (from 0.12 to 1.9).
    """
    parts = [struct.pack("<QQQ", LIST, 0, len(arrays))]
    for values in arrays.values():
        sides = struct.pack(
            f"<I{values.ndim}{'I' if magic is None else 'q'}", values.ndim, *values.shape
        )
        start = b"" if magic is None else struct.pack("<I", magic)
        storage = struct.pack("<i", 0) if magic == V2 else b""
        kind = BFLOAT16 if values.dtype == np.uint16 else TYPES[values.dtype.name]
        parts.append(start + storage + sides)
        if values.ndim:  # without sides it was never filled, and ends here
            parts += [struct.pack("<iii", 1, 0, kind), values.tobytes()]
    parts.append(struct.pack("<Q", len(arrays)))
    parts += [struct.pack("<Q", len(name)) + name.encode() for name in arrays]
    return b"".join(parts)
