"""Batches of prepared images, from the file that every process maps.

``ToTensor`` and ``Normalize`` run on whole batches when a batch is read. Kept as uint8, ImageNet's
validation set is 7.5 GB on disk instead of 30.1 GB of float32 in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import numpy.typing as npt
from mxnet.gluon.data import DataLoader
from mxnet.gluon.data.vision import transforms

from harness.images.prepared import Prepared, read_labels
from harness.process.jobs import ImageSet, WorkerWorkload
from harness.storage.configuration import Transform


class Batches(DataLoader):  # type: ignore[misc]
    """Batches of [data, label] from prepared images, in order; the last may be smaller.

    data is (n, 3, crop, crop) float32, label (n,) float64 as MXNet's own loader gives them. A
    ``DataLoader`` by type because ``quantize_net`` insists on one; nothing of it is used.

    Args:
        prepared: the images; the first ``len(labels)`` of them are used.
        labels: (images,) integers.
        batch_size: images in a batch.
        transform: ``mean`` and ``std`` per channel.
        keep: hold every batch in memory.
    """

    def __init__(
        self,
        prepared: Prepared,
        labels: npt.NDArray[np.int64],
        batch_size: int,
        transform: Transform,
        keep: bool = False,
    ) -> None:
        self._worker_pool = None  # DataLoader's destructor asks for it
        self.batch_size = batch_size
        self.labels = labels
        self._prepared = prepared
        self._to_tensor = transforms.ToTensor()
        self._normalize = transforms.Normalize(tuple(transform.mean), tuple(transform.std))
        self._transform = transform
        self._kept = [self._batch(at) for at in self._starts()] if keep else None

    def kept(self) -> Batches:
        """Return the same batches held in memory, for a search that reads them again and again."""
        return Batches(self._prepared, self.labels, self.batch_size, self._transform, keep=True)

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


def read_batches(
    images: ImageSet, workload: WorkerWorkload, size: int | None = None, count: int | None = None
) -> Batches:
    """Return batches of prepared images.

    Args:
        size: images in a batch; None: the workload's batch size.
        count: how many images, from the first; None: all that are used.
    """
    prepared = Prepared(Path(images.prepared), images.stored, workload.transform.crop)
    labels = read_labels(images.labels)[: images.images if count is None else count]
    return Batches(prepared, labels, size or workload.batch_size, workload.transform)
