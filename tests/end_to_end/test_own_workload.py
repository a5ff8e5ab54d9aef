"""A network and a record that the project has never seen, at full size, by configuration alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from harness.storage.plan import RANDOM_WEIGHTS
from helpers.command_line import ONE_THREAD
from helpers.record_files import gradient, write_record

METHODS = ("fp32", "fp32_fused", "int8_full_naive")
IMAGES = 8
MEMORY = 4e9  # bytes that no process may exceed


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Return an indexed record of JPEGs of all sizes and shapes, some of them grey."""
    rng = np.random.default_rng(3)
    images = []
    for number in range(IMAGES + 5):
        width, height = (int(side) for side in rng.integers(40, 500, size=2))
        noise = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        image = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        image = cv2.addWeighted(image, 0.7, gradient(width, height), 0.3, 0)
        shown = image[..., 0] if number % 7 == 0 else image
        images.append(bytes(cv2.imencode(".jpg", shown)[1]))
    return write_record(tmp_path / "my photographs.rec", images)


@pytest.mark.slow
def test_zoo_network_on_a_record_of_ones_own(cli: Any, photographs: Path) -> None:
    ended = cli(
        "workload=custom",
        "workload.network=resnet50_v2",
        "workload.random_weights=true",
        f"workload.rec='{photographs}'",
        f"workload.images={IMAGES}",
        "workload.batch_size=4",
        "workload.tuning.batches=2",
        "protocol.profile_batches=0",
        *ONE_THREAD,
        f"method=[{','.join(METHODS)}]",
    )
    assert ended.code == 0, ended.err
    assert ended.outcomes == dict.fromkeys(METHODS, "ok")
    table = list(csv.DictReader((ended.folder.path / "table.csv").read_text().splitlines()))
    assert [row["images"] for row in table] == [str(IMAGES)] * len(METHODS)
    assert RANDOM_WEIGHTS in ended.out

    plan = ended.folder.load_plan()
    assert (plan.images, plan.tuning_images, plan.tuning_overlap) == (IMAGES, 8, True)
    assert plan.workload.transform.crop == 224
    best = {}
    for name, record in ended.records.items():
        best[name] = ended.folder.load_predictions(record, IMAGES)
        assert best[name].shape == (IMAGES, 5)
        assert best[name].max() < 1000
        assert record.validate.non_finite == 0
        for stage in (record.optimize, record.validate):
            assert 0 < stage.peak_rss_bytes < MEMORY
    np.testing.assert_array_equal(best["fp32"][:, 0], best["fp32_fused"][:, 0])
    labels = np.load(ended.folder.labels)
    np.testing.assert_array_equal(labels, 3 * np.arange(IMAGES) % 50)

    symbol = ended.folder.method("int8_full_naive") / "model-symbol.json"
    nodes = json.loads(symbol.read_text())["nodes"]
    quantized = [n["op"] for n in nodes if n.get("attrs", {}).get("quantized") == "true"]
    assert quantized.count("_sg_onednn_conv") == 53  # every convolution
