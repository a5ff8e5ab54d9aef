"""What several test files need: the bundled record, made records, and workers' environments."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from browser import chromium, open_page
from bundled_images import BUNDLED, every, fp32_scores
from harness.images.record_file import MAGIC
from instructions import avx2_machine
from runs import cli, own_run, session_run, shared_cache, smoke_run

__all__ = [  # fixtures, and the folder of the bundled workload
    "BUNDLED",
    "avx2_machine",
    "chromium",
    "cli",
    "every",
    "fp32_scores",
    "open_page",
    "own_run",
    "session_run",
    "shared_cache",
    "smoke_run",
]


def pytest_configure(config: pytest.Config) -> None:
    """Keep what matplotlib knows of fonts out of the user's home: tests of figures import it."""
    os.environ.setdefault("MPLCONFIGDIR", str(config.cache.mkdir("matplotlib")))


MOST_PROCESSES = 4  # that run tests beside each other: each may hold 3 GB


def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes run the tests: one for each core that this one may use."""
    return min(MOST_PROCESSES, len(os.sched_getaffinity(0)))


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
