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
    def bytes(self) -> int:
        return self.images * self.crop * self.crop * 3

    def complete(self) -> bool:
        """Say whether the file is there and has its full size."""
        return self.path.is_file() and self.path.stat().st_size == self.bytes

    def open(self, mode: str = "r") -> npt.NDArray[np.uint8]:
        """Map the file; shape (images, crop, crop, 3)."""
        shape = (self.images, self.crop, self.crop, 3)
        return np.memmap(self.path, dtype=np.uint8, mode=mode, shape=shape)  # type: ignore[call-overload,no-any-return]


def cache_key(record_sha256: str, images: int, transform: Mapping[str, Any], mxnet: str) -> str:
    """Name prepared data by what determines it: record, number of images, geometry, MXNet."""
    geometry = {key: transform[key] for key in ("resize", "keep_ratio", "crop")}
    what = {"record": record_sha256, "images": images, "mxnet": mxnet, **geometry}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:24]
