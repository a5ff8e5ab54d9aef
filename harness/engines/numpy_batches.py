"""Batches of prepared images as NumPy arrays: bit for bit what MXNet's rows get."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.engines.interface import Images, Labels
from harness.images.prepared import Prepared, read_labels
from harness.process.jobs import ImageSet
from harness.storage.configuration import Transform


@dataclass(frozen=True)
class NumpyBatches:
    """Batches of prepared images, in order; the last may be smaller.

    Attributes:
        labels: of the images that are used, the first ones.
        size: images in a batch.
    """

    prepared: Prepared
    labels: Labels
    size: int
    transform: Transform

    def __len__(self) -> int:
        return -(-len(self.labels) // self.size)

    def __iter__(self) -> Iterator[tuple[Images, Labels]]:
        for at in range(0, len(self.labels), self.size):
            stop = min(at + self.size, len(self.labels))
            yield self._normalised(at, stop), self.labels[at:stop]

    def _normalised(self, start: int, stop: int) -> Images:
        """As MXNet's ``ToTensor`` and ``Normalize`` compute it, each step rounded to float32."""
        pixels = self.prepared.read(start, stop).transpose(0, 3, 1, 2)
        mean, std = (
            np.asarray(values, np.float32).reshape(3, 1, 1)
            for values in (self.transform.mean, self.transform.std)
        )
        scaled = pixels.astype(np.float32, order="C") / np.float32(255)
        return np.ascontiguousarray((scaled - mean) / std)


def numpy_batches(
    images: ImageSet, transform: Transform, size: int, count: int | None = None
) -> NumpyBatches:
    """Return batches of prepared images.

    Args:
        size: images in a batch.
        count: how many images, from the first; None: all that are used.
    """
    prepared = Prepared(Path(images.prepared), images.stored, transform.crop)
    labels = read_labels(images.labels)[: images.images if count is None else count]
    return NumpyBatches(prepared, labels, size, transform)
