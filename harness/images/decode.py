"""Decode a range of a record's images into the file of prepared images.

MXNet's own operators decode and resize, so the pixels are those of ``ImageRecordDataset`` with
``transforms.Resize`` and ``transforms.CenterCrop``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.errors import InputError, one_line
from harness.host import calls
from harness.images.operators import Operators
from harness.images.prepared import Prepared
from harness.images.record_file import RecordFile, image_digest
from harness.storage.configuration import Transform

BLOCK_BYTES = 1 << 20  # decoded before they are written: few writes, little memory


def decode_range(
    record: Path,
    offsets: npt.NDArray[np.int64],
    transform: Transform,
    prepared: Prepared,
    start: int,
    stop: int,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
    digests: npt.NDArray[np.int64] | None = None,
) -> int:
    """Decode, resize and crop images ``start`` .. ``stop`` into their places in the file.

    Args:
        digests: of each image, as the record's index has them; None takes whatever is there.

    Returns:
        the CRC-32 of what was written.

    Raises:
        InputError: an image does not decode, or is not the one that was indexed; names its
            position and offset.
    """
    operators = Operators(transform.resize, transform.keep_ratio)
    crop = prepared.crop
    size = max(1, BLOCK_BYTES // prepared.image_bytes)
    block = np.empty((min(size, stop - start), crop, crop, 3), np.uint8)
    checksum = 0
    with RecordFile(record) as source, prepared.path.open("r+b") as out:
        out.seek(start * prepared.image_bytes)
        for first in range(start, stop, size):
            pixels = block[: stop - first]
            for number, image in enumerate(pixels, first):
                offset = int(offsets[number])
                encoded = source.image(offset)
                if digests is not None and image_digest(encoded) != digests[number].tobytes():
                    raise InputError(
                        f"image {number} of {record} (at byte {offset}) is not the one that was there "
                        "when the run began: the record was changed meanwhile; start again when it "
                        "stays as it is"
                    )
                try:
                    resized = operators.resized(encoded)
                except ValueError as error:  # what MXNet's operators say
                    raise InputError(
                        f"image {number} of {record} (at byte {offset}) does not decode: "
                        f"{one_line(error)}; replace it or make the record again"
                    ) from None
                image[:] = _center(resized, crop)
            out.write(pixels.data)
            checksum = zlib.crc32(pixels.data, checksum)
            progress(first + len(pixels) - start, stop - start, "images")
        out.flush()
        calls.sync(out.fileno())
    return checksum


def _center(pixels: npt.NDArray[np.uint8], crop: int) -> npt.NDArray[np.uint8]:
    """Return the middle (crop, crop, 3) of an image that is never smaller, as ``CenterCrop`` does."""
    top, left = (pixels.shape[0] - crop) // 2, (pixels.shape[1] - crop) // 2
    return pixels[top : top + crop, left : left + crop]
