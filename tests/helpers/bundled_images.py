"""All bundled images, and what fp32 fused says of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import PROJECT
from harness.images.record_file import RecordFile
from harness.storage.configuration import Transform
from helpers.shared import shared

BUNDLED = PROJECT / "benchmarks" / "bundled"
TRANSFORM = Transform(
    resize=64, crop=56, keep_ratio=False, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)


def rescaled() -> Any:
    """Return the network with the committed weights."""
    from benchmarks.bundled.make import pretrained

    return pretrained(str(BUNDLED / "resnet50v2_w4.params"))


def scores(net: Any, batches: Any) -> np.ndarray:
    """Fuse a network and return its scores for every image, (images, classes)."""
    data = next(iter(batches))[0]
    net.optimize_for(data, backend="ONEDNN", static_alloc=True, static_shape=True)
    return np.concatenate([net(each).asnumpy() for each, _ in batches])


@pytest.fixture(scope="session")
def every(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return all bundled images, cut as validation cuts them, in batches of 64."""
    import cv2

    from harness.images.batches import Batches
    from harness.images.prepared import Prepared

    def fill(folder: Path) -> None:
        with RecordFile(BUNDLED / "fashion_mnist_test.rec") as record:
            index = record.index(10)
            encoded = [record.image(int(at)) for at in index.offsets]
        pixels = np.empty((len(encoded), 56, 56, 3), dtype=np.uint8)
        for at, image in enumerate(encoded):
            grey = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
            pixels[at] = cv2.resize(grey, (64, 64))[4:60, 4:60]
        (folder / "images.u8").write_bytes(pixels.tobytes())
        np.save(folder / "labels.npy", index.labels)

    folder = shared(tmp_path_factory, "bundled-images", fill)
    labels = np.load(folder / "labels.npy")
    return Batches(Prepared(folder / "images.u8", len(labels), 56), labels, 64, TRANSFORM)


@pytest.fixture(scope="session")
def fp32_scores(every: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what the bundled network scores every image, fused in fp32: (10000, 10)."""

    def fill(folder: Path) -> None:
        np.save(folder / "scores.npy", scores(rescaled(), every))

    return np.load(shared(tmp_path_factory, "bundled-scores", fill) / "scores.npy")
