"""The sidecar of prepared images: what a file of them is, and the checksums of its parts."""

# No ``from __future__ import annotations``: msgspec evaluates the annotations, on Python 3.9 too.
from typing import Optional

import msgspec

from harness.facts.typed import Count, Facts, Number, Positive, Sha256
from harness.storage.stage_facts import Decoded


class Geometry(msgspec.Struct, frozen=True, kw_only=True):
    """How images were resized and cropped; ``mean`` and ``std`` act on batches, when they are read."""

    resize: Positive
    keep_ratio: bool
    crop: Positive


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The record that the images are of."""

    path: str
    sha256: Sha256


class Sidecar(msgspec.Struct, frozen=True, kw_only=True):
    """A file of prepared images.

    Attributes:
        libraries: the installed versions that determine the pixels.
        ranges: the parts that one process each decoded, in order.
        made: UTC, ISO 8601.
    """

    format: Count
    key: str
    record: Source
    images: Positive
    transform: Geometry
    libraries: dict[str, Optional[str]] = msgspec.field(default_factory=dict)
    bytes: Positive
    ranges: list[Decoded]
    made: str = ""
    seconds: Number = 0

    @property
    def is_whole(self) -> bool:
        """Whether the ranges follow each other up to the last image."""
        ends = [0, *(part.stop for part in self.ranges)]
        in_order = all(part.start == end < part.stop for part, end in zip(self.ranges, ends))
        return in_order and ends[-1] == self.images and self.bytes % self.images == 0


class Preparation(Facts, frozen=True, kw_only=True):
    """What it took to have the prepared images.

    Attributes:
        cached: whether they were in the cache.
        processes: how many decoded.
        peak_rss_bytes: the most memory that one of them took.
    """

    cached: bool = True
    images: int
    processes: Optional[int] = None
    peak_rss_bytes: Optional[int] = None
    seconds: float = 0.0
