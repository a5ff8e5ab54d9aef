"""Prepared images as a file, and the name it has in the cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Prepared:
    """Where prepared images are: a file of (images, crop, crop, 3) uint8."""

    path: Path
    images: int
    crop: int

    @property
    def image_bytes(self) -> int:
        return self.crop * self.crop * 3

    @property
    def bytes(self) -> int:
        return self.images * self.image_bytes

    def complete(self) -> bool:
        """Say whether the file is there and has its full size."""
        return self.path.is_file() and self.path.stat().st_size == self.bytes

    def read(self, start: int, stop: int) -> npt.NDArray[np.uint8]:
        """Return images ``start`` .. ``stop``, a copy; shape (stop - start, crop, crop, 3).

        Not a memory map: mapped pages stay in the process's memory, 7.5 GB of them for ImageNet.
        """
        size, offset = (stop - start) * self.image_bytes, start * self.image_bytes
        with self.path.open("rb") as handle:
            pixels = np.fromfile(handle, np.uint8, size, offset=offset)
        return pixels.reshape(stop - start, self.crop, self.crop, 3)


def cache_key(record_sha256: str, images: int, transform: Mapping[str, Any], mxnet: str) -> str:
    """Name prepared data by what determines it: record, number of images, geometry, MXNet."""
    geometry = {key: transform[key] for key in ("resize", "keep_ratio", "crop")}
    what = {"record": record_sha256, "images": images, "mxnet": mxnet, **geometry}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:24]
