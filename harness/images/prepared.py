"""Prepared images in a file, and the key of that file in the cache."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.errors import HarnessError
from harness.facts.machine_facts import Versions
from harness.facts.typed import plain
from harness.files.reading import BadArray, read_npy
from harness.files.whole_files import json_sha256
from harness.images.sidecar import Geometry
from harness.storage.configuration import Transform

FORMAT = 3  # of the file and what is beside it; the key of 2 was the record's digest
LIBRARIES = ("mxnet", "mxnet_libmxnet_sha256")  # whose operators decode, resize and crop


@dataclass(frozen=True)
class Prepared:
    """A file of prepared images, (images, crop, crop, 3) uint8."""

    path: Path
    images: int
    crop: int

    @property
    def image_bytes(self) -> int:
        return self.crop * self.crop * 3

    @property
    def bytes(self) -> int:
        return self.images * self.image_bytes

    def read(self, start: int, stop: int) -> npt.NDArray[np.uint8]:
        """Map images ``start`` .. ``stop``, read-only; shape (stop - start, crop, crop, 3).

        Only that range is mapped, and unmapped with the array: a map of the whole file would leave
        each page that was read in the process's memory, 7.5 GB of them for ImageNet.

        Raises:
            HarnessError: the file is gone or too short; reading such a map would kill the process.
        """
        try:
            with self.path.open("rb") as handle:
                size = os.fstat(handle.fileno()).st_size
                if size < self.bytes:
                    raise HarnessError(
                        f"{self.path} has {size} of {self.bytes} bytes: something outside the "
                        "harness cut it; start again, which prepares the images again"
                    )
                shape = (stop - start, self.crop, self.crop, 3)
                pages = np.memmap(handle, np.uint8, "r", start * self.image_bytes, shape)
        except OSError as error:
            raise HarnessError(
                f"the prepared images {self.path} cannot be read ({error.strerror}): start again, "
                "which prepares them again"
            ) from None
        return pages.view(np.ndarray)


def geometry(transform: Transform) -> Geometry:
    """Return what of a transform determines the file."""
    return Geometry(resize=transform.resize, keep_ratio=transform.keep_ratio, crop=transform.crop)


def pixel_libraries(versions: Versions) -> dict[str, str | None]:
    """Return the installed versions that determine the pixels; None if they are not known."""
    return {name: getattr(versions, name) for name in LIBRARIES}


def cache_key(images_sha256: str, images: int, transform: Transform, versions: Versions) -> str:
    """Return the key of prepared images: a digest of the encoded images, geometry and libraries.

    Args:
        images_sha256: as ``RecordIndex.digest_of`` gives it.
    """
    what = {
        "format": FORMAT,
        "encoded": images_sha256,
        "images": images,
        "transform": plain(geometry(transform)),
        "libraries": pixel_libraries(versions),
    }
    return json_sha256(what)[:24]


def read_labels(path: str) -> npt.NDArray[np.int64]:
    """Return the labels of prepared images, one integer an image.

    Raises:
        HarnessError: the file is damaged or gone.
    """
    try:
        return read_npy(Path(path), "<i8", (None,))
    except BadArray as error:
        raise HarnessError(
            f"{path} cannot be read ({error}): start the run again, which writes it"
        ) from None
