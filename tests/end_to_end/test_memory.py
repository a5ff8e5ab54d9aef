"""Peak memory does not grow with the number of images: 50,000 against 1,000, process by process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from harness import PROJECT
from harness.images.record_file import RecordFile
from harness.storage.record import MethodRecord
from harness.storage.store import RunFolder
from helpers.bundled_images import BUNDLED
from helpers.command_line import ONE_THREAD, OWN, limit_of

pytestmark = pytest.mark.slow
FEW, MANY = 1_000, 50_000
ALLOWED_GROWTH = 1.05
INDEX_BYTES = (
    300  # that the parent may hold of each image: place, label and digest, while it sorts them
)
ALLOWED_BYTES = 1.5e9
ROWS = ("int8_smart_naive",)
WATCHED = """
import json, sys
from pathlib import Path
from harness.cli import main
code = main(sys.argv[2:])
with open("/proc/self/status") as lines:  # getrusage would count the process that started this one
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
Path(sys.argv[1]).write_text(json.dumps(peak))
sys.exit(code)
"""
PREPARED = """
import sys
from pathlib import Path
from helpers.preparing import ensured
_, preparation = ensured(Path(sys.argv[1]), Path(sys.argv[2]), cores=1)
print(preparation.peak_rss_bytes)
"""


def record_of(path: Path, images: int) -> Path:
    """Write an indexed record of the first 1,000 bundled images, over and over."""
    source = BUNDLED / "fashion_mnist_test.rec"
    with RecordFile(source) as record:
        offsets = record.index(10).offsets[: FEW + 1].tolist()
    block = source.read_bytes()[: offsets[FEW]]
    with path.open("wb") as out:
        for _ in range(images // FEW):
            out.write(block)
    with path.with_suffix(".idx").open("w") as idx:
        for number in range(images):
            again, which = divmod(number, FEW)
            idx.write(f"{number}\t{again * len(block) + offsets[which]}\n")
    return path


def peaks_of(folder: Path, images: int) -> dict[str, int]:
    """Run the harness on so many images; return each process's peak in bytes."""
    folder.mkdir()
    parent = folder / "parent.json"
    words = [
        f"method=[{','.join(ROWS)}]",
        "baseline=int8_smart_naive",
        "workload=tiny",
        f"workload.rec={record_of(folder / 'made.rec', images)}",
        "workload.images=null",
        "workload.batch_size=64",
        *ONE_THREAD,
        "protocol=quick",
        "protocol.rounds=1",
        f"run.results={folder / 'results'}",
        f"run.cache={folder / 'cache'}",
        *limit_of(()),
        *("--conf", str(OWN)),
    ]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    ended = subprocess.run(
        [sys.executable, "-c", WATCHED, str(parent), *words],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    (plan,) = (folder / "results").glob("*/*/plan.json")
    run = RunFolder(plan.parent)
    prepared = json.loads((run.path / "prepared_validation.json").read_text())
    assert prepared["images"] == images
    peaks = {"parent": json.loads(parent.read_text()), "prepare": prepared["peak_rss_bytes"]}
    for timed in run.load_rounds():
        assert timed.facts is not None
        peaks[f"{timed.method} measure"] = timed.facts.peak_rss_bytes
    for record in run.load_records():
        assert record.outcome.kind == "ok"
        peaks |= {f"{record.method} {stage}": peak for stage, peak in stages_of(record)}
    return peaks


def stages_of(record: MethodRecord) -> Iterator[tuple[str, int]]:
    """Yield every process of a row by what it did, with its peak in bytes."""
    assert record.validate is not None
    assert record.validate.images in (FEW, MANY)
    for name, facts in record.as_dict().items():
        if isinstance(facts, dict) and "peak_rss_bytes" in facts:
            yield name, facts["peak_rss_bytes"]


@pytest.fixture(scope="module")
def peaks(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("memory")
    return {images: peaks_of(folder / str(images), images) for images in (FEW, MANY)}


def test_no_process_grows_with_the_number_of_images(peaks: dict[int, dict[str, Any]]) -> None:
    stages = ("optimize", "validate", "profile", "measure")
    every = {"parent", "prepare", *(f"{row} {stage}" for row in ROWS for stage in stages)}
    assert set(peaks[MANY]) == every
    index = {"parent": INDEX_BYTES * (MANY - FEW)}
    growth = {
        name: (peaks[MANY][name] - index.get(name, 0)) / few for name, few in peaks[FEW].items()
    }
    assert {name: ratio for name, ratio in growth.items() if ratio > ALLOWED_GROWTH} == {}


def test_every_process_stays_below_the_bound(peaks: dict[int, dict[str, Any]]) -> None:
    assert max(peaks[MANY].values()) < ALLOWED_BYTES  # the tiny model itself is nothing


def test_decoding_many_sizes_does_not_grow(
    make_record: Callable[..., Path], tmp_path: Path
) -> None:
    """MXNet's default keeps a buffer of every size it met: 450 MB after 1,500 pictures."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    large = cv2.resize(small, (800, 800), interpolation=cv2.INTER_CUBIC)
    images = [
        bytes(cv2.imencode(".jpg", large[:height, :width])[1])
        for height, width in rng.integers(200, 800, (500, 2))
    ]
    peaks = []
    for count in (100, 500):
        record = make_record([(0, image) for image in images[:count]], f"{count}.rec")
        told = subprocess.run(  # in a small process: Linux counts the starter's memory as well
            [sys.executable, "-c", PREPARED, str(record), str(tmp_path / "cache")],
            env={**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}"},
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(told.stdout))
    assert peaks[1] / peaks[0] < ALLOWED_GROWTH
