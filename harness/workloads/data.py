"""Prepared images: decoded and cropped once, kept as uint8 in a file that every process maps.

MXNet's own operators decode and resize, so the pixels are those of ``ImageRecordDataset`` with
``transform_first``; ``ToTensor`` and ``Normalize`` run on whole batches when a batch is read. Kept as
uint8, ImageNet's validation set is 7.5 GB on disk instead of 30.1 GB of float32 in memory.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import numpy.typing as npt
from mxnet.gluon.data import DataLoader
from mxnet.gluon.data.vision import transforms

from harness.errors import InputError, one_line
from harness.workloads.prepared import Prepared
from harness.workloads.record_file import RecordFile

BLOCK_BYTES = 4 << 20  # decoded before they are written: large writes, little memory
BILINEAR = 1


def decode_range(
    record: Path,
    offsets: npt.NDArray[np.int64],
    transform: Mapping[str, Any],
    prepared: Prepared,
    start: int,
    stop: int,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> int:
    """Decode, resize and crop images ``start`` .. ``stop`` into their places in the file.

    Returns:
        the CRC-32 of what was written.

    Raises:
        InputError: an image does not decode; names its position and offset.
    """
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
                try:
                    image[:] = _decoded(source.image(offset), transform, crop)
                except Exception as error:
                    raise InputError(
                        f"image {number} of {record} (at byte {offset}) does not decode: "
                        f"{one_line(error)}; replace it or make the record again"
                    ) from None
            out.write(pixels.data)
            checksum = zlib.crc32(pixels.data, checksum)
            progress(first + len(pixels) - start, stop - start, "images")
        out.flush()
        os.fsync(out.fileno())
    return checksum


def _decoded(encoded: bytes, transform: Mapping[str, Any], crop: int) -> npt.NDArray[np.uint8]:
    """Return (crop, crop, 3) as MXNet's ``Resize`` and ``CenterCrop`` make them, with less around.

    ``from_numpy`` shares the bytes where ``imdecode`` itself would copy them slowly, and the crop of
    an image that is never smaller is a slice. Both operators together take a third of the time of
    the published transforms on small images.
    """
    image = mx.image.imdecode(mx.npx.from_numpy(np.frombuffer(encoded, np.uint8)), flag=1)
    resize, keep_ratio = transform["resize"], transform["keep_ratio"]
    pixels = mx.npx.image.resize(image, resize, keep_ratio, BILINEAR).asnumpy()
    top, left = (pixels.shape[0] - crop) // 2, (pixels.shape[1] - crop) // 2
    return pixels[top : top + crop, left : left + crop]  # type: ignore[no-any-return]


class Batches(DataLoader):  # type: ignore[misc]
    """Batches of [data, label] from prepared images, in order; the last may be smaller.

    data is (n, 3, crop, crop) float32, label (n,) float64 as MXNet's own loader gives them. A
    ``DataLoader`` by type because ``quantize_net`` insists on one; nothing of it is used.

    Args:
        prepared: the images; the first ``len(labels)`` of them are used.
        labels: (images,) integers.
        batch_size: images in a batch.
        transform: ``mean`` and ``std`` per channel.
        keep: hold every batch in memory, for data that is read many times (tuning).
    """

    def __init__(
        self,
        prepared: Prepared,
        labels: npt.NDArray[np.int64],
        batch_size: int,
        transform: Mapping[str, Any],
        keep: bool = False,
    ) -> None:
        self._worker_pool = None  # DataLoader's destructor asks for it
        self.batch_size = batch_size
        self.labels = labels
        self._prepared = prepared
        self._to_tensor = transforms.ToTensor()
        self._normalize = transforms.Normalize(tuple(transform["mean"]), tuple(transform["std"]))
        self._kept = [self._batch(at) for at in self._starts()] if keep else None

    def _starts(self) -> range:
        return range(0, len(self.labels), self.batch_size)

    def __len__(self) -> int:
        return len(self._starts())

    def __iter__(self) -> Iterator[list[Any]]:
        if self._kept is not None:
            yield from self._kept
        else:
            for at in self._starts():
                yield self._batch(at)

    def _batch(self, at: int) -> list[Any]:
        stop = min(at + self.batch_size, len(self.labels))
        pixels = mx.npx.from_numpy(self._prepared.read(at, stop))  # shared, not copied
        data = self._normalize(self._to_tensor(pixels))
        data.wait_to_read()
        label = mx.np.array(self.labels[at:stop], dtype="float64")
        return [data, label]


def tuning_batches(job: Mapping[str, Any]) -> Batches:
    """Return the tuning batches of a job, held in memory: they are read once per trial."""
    workload, tuning = job["workload"], job["tuning"]
    prepared = Prepared(Path(tuning["prepared"]), tuning["stored"], workload["transform"]["crop"])
    labels = np.load(tuning["labels"])[: tuning["images"]]
    return Batches(prepared, labels, workload["batch_size"], workload["transform"], keep=True)
