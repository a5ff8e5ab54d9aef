"""A record of random JPEG images, for full-size runs without a data set of one's own."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np

from harness.images.record_file import MAGIC

WIDTH, HEIGHT = 500, 375  # what most pictures of ImageNet have
BLUR = 8  # the larger part of the noise is this many times coarser than a pixel
FINE = 40  # the height of the rest: it makes files as large as those of ImageNet, about 110 kB
JPEG_QUALITY = 85
SEED = 9527


def make_record(path: Path, images: int, classes: int) -> None:
    """Write ``images`` random pictures with random labels as ``path`` (.rec) and its .idx.

    The same numbers give the same file. Coarse noise with a little fine noise on it compresses, and
    so decodes, roughly as photographs of that size do.
    """
    rng = np.random.default_rng(SEED)
    with path.open("wb") as record, path.with_suffix(".idx").open("w") as index:
        for number in range(images):
            coarse = rng.integers(0, 256, (HEIGHT // BLUR, WIDTH // BLUR, 3), dtype=np.uint8)
            picture = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
            fine = rng.integers(0, FINE, picture.shape, dtype=np.uint8)
            jpeg = bytes(
                cv2.imencode(
                    ".jpg", cv2.add(picture, fine), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
                )[1]
            )
            header = struct.pack("<IfQQ", 0, float(rng.integers(classes)), number, 0)
            index.write(f"{number}\t{record.tell()}\n")
            record.write(_packed(header + jpeg))


def _packed(data: bytes) -> bytes:
    """Return one part of a RecordIO file; MXNet's reader does not look for the magic number in it."""
    return struct.pack("<II", MAGIC, len(data)) + data + b"\0" * (-len(data) % 4)
