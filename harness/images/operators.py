"""MXNet's image operators through its C interface, for processes that only decode.

``import mxnet`` takes more than a second, most of it to make Python functions of two thousand
operators; these two need none of that. They are the operators that ``mxnet.image.imdecode`` and
``transforms.Resize`` call, in the same library, so their results are the same to the last bit.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import HarnessError
from harness.images.image_size import check_size, read_size

CPU, UINT8 = 1, 3  # as mxnet/ndarray.h and mshadow/base.h number them
BILINEAR = 1


class Operators:
    """The decoder and the resizer.

    Args:
        resize: the side of the resized image; with ``keep_ratio`` that of its shorter side.

    Raises:
        HarnessError: MXNet's library is not there, or is one without these operators.
    """

    def __init__(self, resize: int, keep_ratio: bool) -> None:
        self._library = ctypes.CDLL(str(library_path()))
        self._library.MXGetLastError.restype = ctypes.c_char_p
        try:
            self._decode = self._operator("_cvimdecode")
            self._resize = self._operator("_image_resize")
        except (AttributeError, ValueError) as error:
            raise HarnessError(f"{library_path()} has not what MXNet 2.0 has: {error}") from None
        self._side, self._keep_ratio = resize, keep_ratio
        self._decoding = _texts({"flag": 1, "to_rgb": True})
        self._resizing = _texts({"size": resize, "keep_ratio": keep_ratio, "interp": BILINEAR})

    def resized(self, encoded: bytes) -> npt.NDArray[np.uint8]:
        """Return (height, width, 3) RGB of an encoded image.

        Raises:
            ValueError: it does not decode, or it is larger than ``image_size.MOST_PIXELS``, as it
                says or as it becomes.
        """
        size = read_size(encoded)
        if size is not None:
            check_size(*size, self._side if self._keep_ratio else None)
        with (
            self._stored(encoded) as data,
            self._called(self._decode, data, self._decoding) as image,
        ):
            if size is None:  # neither JPEG nor PNG; the limit of memory held while it was decoded
                height, width, _ = self._shape(image)
                check_size(height, width, self._side if self._keep_ratio else None)
            with self._called(self._resize, image, self._resizing) as pixels:
                return self._copied(pixels)

    def _check(self, code: int) -> None:
        if code:
            raise ValueError(self._library.MXGetLastError().decode(errors="replace"))

    def _operator(self, name: str) -> ctypes.c_void_p:
        handle = ctypes.c_void_p()
        self._check(self._library.NNGetOpHandle(name.encode(), ctypes.byref(handle)))
        return handle

    @contextmanager
    def _stored(self, content: bytes) -> Iterator[ctypes.c_void_p]:
        """Yield a one-dimensional array of bytes for the block."""
        array, size = ctypes.c_void_p(), len(content)
        shape = (ctypes.c_int64 * 1)(size)
        at_once = 0  # allocate now
        self._check(
            self._library.MXNDArrayCreate64(shape, 1, CPU, 0, at_once, UINT8, ctypes.byref(array))
        )
        try:
            self._check(
                self._library.MXNDArraySyncCopyFromCPU(array, content, ctypes.c_size_t(size))
            )
            yield array
        finally:
            self._library.MXNDArrayFree(array)

    @contextmanager
    def _called(
        self, operator: ctypes.c_void_p, array: ctypes.c_void_p, parameters: tuple[Any, ...]
    ) -> Iterator[ctypes.c_void_p]:
        """Yield the output of an operator with one input and one output for the block."""
        outputs = ctypes.POINTER(ctypes.c_void_p)()
        count, kinds = ctypes.c_int(0), ctypes.POINTER(ctypes.c_int)()
        self._check(
            self._library.MXImperativeInvoke(
                operator,
                1,
                ctypes.byref(array),
                ctypes.byref(count),
                ctypes.byref(outputs),
                *parameters,
                ctypes.byref(kinds),
            )
        )
        output = ctypes.c_void_p(outputs[0])
        try:
            yield output
        finally:
            self._library.MXNDArrayFree(output)

    def _shape(self, array: ctypes.c_void_p) -> list[int]:
        dimensions, sides = ctypes.c_int(), ctypes.POINTER(ctypes.c_int64)()
        self._check(
            self._library.MXNDArrayGetShape64(array, ctypes.byref(dimensions), ctypes.byref(sides))
        )
        return sides[: dimensions.value]

    def _copied(self, array: ctypes.c_void_p) -> npt.NDArray[np.uint8]:
        copy = np.empty(self._shape(array), dtype=np.uint8)
        place = ctypes.c_void_p(copy.ctypes.data)
        self._check(self._library.MXNDArraySyncCopyToCPU(array, place, ctypes.c_size_t(copy.size)))
        return copy


def library_path() -> Path:
    """Return the path of libmxnet.so without importing MXNet.

    Raises:
        HarnessError: MXNet is not installed.
    """
    spec = importlib.util.find_spec("mxnet")
    if spec is None or spec.origin is None:
        raise HarnessError("mxnet is not installed: delete .venv and start run.sh again")
    return Path(spec.origin).with_name("libmxnet.so")


def _texts(parameters: Mapping[str, int | str]) -> tuple[Any, ...]:
    """Return an operator's parameters for the C interface: count, names, values."""
    names, values = (
        (ctypes.c_char_p * len(parameters))(*(str(text).encode() for text in texts))
        for texts in (parameters.keys(), parameters.values())
    )
    return len(parameters), names, values
