"""The tuning images in parts of a few, for calibrations that hold every activation of a pass.

ONNX Runtime's calibration, and INC's on it, keep all activations of a pass until its end: some 280 MB an
image of ResNet50v2 at 224 x 224, so 18 GB for a batch of 64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.engines.interface import Batches, Images, Labels

IMAGES = 8  # in a part: 2.3 GB of that network, and no slower than batches of 64


@dataclass(frozen=True)
class CalibrationParts:
    """The images of batches, in order, in parts; a part never has images of two batches."""

    batches: Batches

    @property
    def batch_size(self) -> int:
        """Return the images in a part, by the name that INC's calibration asks for."""
        images, _ = next(iter(self.batches))
        return min(IMAGES, len(images))

    def __len__(self) -> int:
        return sum(-(-len(labels) // IMAGES) for _, labels in self.batches)

    def __iter__(self) -> Iterator[tuple[Images, Labels]]:
        for batch in self.batches:
            yield from parts(*batch)


def parts(images: Images, labels: Labels) -> Iterator[tuple[Images, Labels]]:
    """Yield the parts of one batch."""
    for start in range(0, len(labels), IMAGES):
        part = slice(start, start + IMAGES)
        yield images[part], labels[part]
