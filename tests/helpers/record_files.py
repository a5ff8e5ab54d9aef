"""RecordIO files of images: packed by hand, or written by MXNet."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from harness.images.record_file import MAGIC
from helpers.bundled_images import BUNDLED

CLASSES = 50  # of a record that MXNet writes


def gradient(width: int, height: int) -> npt.NDArray[np.uint8]:
    """Return an RGB picture that is unlike itself turned, mirrored or with channels swapped."""
    y, x = np.mgrid[:height, :width]
    channels = (x * 255 // max(width - 1, 1), y * 200 // max(height - 1, 1), (7 * x + 13 * y) % 256)
    return np.stack(channels, axis=2).astype(np.uint8)


def write_record(path: Path, images: list[bytes]) -> Path:
    """Write an indexed record as MXNet does; image number n has label 3 * n modulo CLASSES."""
    from mxnet import recordio

    writer = recordio.MXIndexedRecordIO(str(path.with_suffix(".idx")), str(path), "w")
    for number, image in enumerate(images):
        header = recordio.IRHeader(0, float(3 * number % CLASSES), number, 0)
        writer.write_idx(number, recordio.pack(header, image))
    writer.close()
    return path


def packed(label: float, image: bytes, number: int, flag: int = 0) -> bytes:
    """Return one RecordIO record, not split, as im2rec writes it."""
    data = struct.pack("<IfQQ", flag, label, number, 0) + image
    return struct.pack("<II", MAGIC, len(data)) + data + b"\0" * (-len(data) % 4)


@pytest.fixture
def make_record(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a record of (label, encoded image) pairs."""

    def make(items: Sequence[tuple[float, bytes]], name: str = "made.rec") -> Path:
        path = tmp_path / name
        path.write_bytes(b"".join(packed(lab, img, n) for n, (lab, img) in enumerate(items)))
        return path

    return make


@pytest.fixture(scope="session")
def jpegs() -> list[bytes]:
    """Return 40 real JPEGs of odd sizes, colour and grey, cut from the bundled images."""
    import cv2

    from harness.images.record_file import RecordFile

    rng = np.random.default_rng(0)
    with RecordFile(BUNDLED / "fashion_mnist_test.rec") as record:
        offsets = record.index(10).offsets[:40]
        grey = [
            cv2.imdecode(np.frombuffer(record.image(int(at)), np.uint8), cv2.IMREAD_GRAYSCALE)
            for at in offsets
        ]
    made = []
    for number, image in enumerate(grey):
        height, width = (int(side) for side in rng.integers(60, 300, size=2))
        large = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
        if number % 3:
            large = np.stack([large, 255 - large, np.roll(large, 9, 0)], axis=2)
        made.append(bytes(cv2.imencode(".jpg", large)[1]))
    return made
