"""The bundled workload keeps its promises: what was done to it, what it shows, and how small it is."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bundled import make
from conftest import BUNDLED
from harness.config import PROJECT, compose_config
from harness.store import RunFolder
from runs import Ended

CULPRIT = "sg_onednn_conv_bn_act_0"
SHOWN = ["fp32", "fp32_fused", "int8_full_naive", "int8_inc_mse", "int8_inc_mycustom"]


@pytest.fixture(scope="module")
def shown(session_run: Callable[..., Ended]) -> RunFolder:
    """Run five rows of the bundled workload on all of its images; how they ran is not looked at."""
    ended = session_run(f"method=[{','.join(SHOWN)}]", "protocol.profile_batches=0")
    assert ended.code == 0, ended.err
    return ended.folder


def rows(folder: RunFolder) -> dict[str, dict[str, str]]:
    with (folder.path / "table.csv").open() as handle:
        return dict(zip(SHOWN, csv.DictReader(handle), strict=True))


def test_weights_and_record_are_under_12_mb() -> None:
    files = [*BUNDLED.glob("*.rec"), *BUNDLED.glob("*.idx"), *BUNDLED.glob("*.params")]
    assert len(files) == 3
    assert sum(file.stat().st_size for file in files) < 12e6


def test_configuration_and_training_agree() -> None:
    transform = compose_config([]).values["workload"]["transform"]
    assert (transform["resize"], transform["crop"]) == (make.RESIZE, make.CROP)
    assert np.allclose(transform["mean"], make.MEAN) and np.allclose(transform["std"], make.STD)


@pytest.mark.skipif(not make.SOURCE.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_the_record_is_reproduced_byte_for_byte(tmp_path: Path) -> None:
    make.make_record(make.SOURCE, tmp_path)
    for name in ("fashion_mnist_test.rec", "fashion_mnist_test.idx"):
        assert (tmp_path / name).read_bytes() == (BUNDLED / name).read_bytes()


def test_rescaling_changes_no_fp32_prediction() -> None:
    """Undo it with the committed factors: fp32 predicts the same for all 10,000 images."""
    script = """
import json, sys
import mxnet as mx, numpy as np
from benchmarks.bundled import make
from harness.workloads.record_file import RecordFile
from pathlib import Path

folder = Path(sys.argv[1])
rescaled = make.pretrained(str(folder / "resnet50v2_w4.params"))
plain = make.pretrained(str(folder / "resnet50v2_w4.params"))
scale = np.array(json.loads((folder / "rescale.json").read_text())["scale"], dtype=np.float32)
make.apply_scale(plain, 1 / scale)
with RecordFile(folder / "fashion_mnist_test.rec") as record:
    jpegs = [record.image(int(at)) for at in record.index(10).offsets]
resized = [mx.npx.image.resize(mx.image.imdecode(j, flag=1), (64, 64), False, 1) for j in jpegs]
images = make.central(np.stack([image.asnumpy()[:, :, 0] for image in resized]))
first = mx.np.array(make.as_batch(images[:100]))
differing = 0
for net in (rescaled, plain):
    net.optimize_for(first, backend="ONEDNN", static_alloc=True, static_shape=True)
for start in range(0, len(images), 100):
    data = mx.np.array(make.as_batch(images[start:start + 100]))
    differing += int((rescaled(data).argmax(1) != plain(data).argmax(1)).sum())
print(json.dumps({"span": float(scale.max() / scale.min()), "differing": differing}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(BUNDLED)],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["span"] > 100
    assert found["differing"] <= 1


@pytest.mark.slow
def test_fp32_is_accurate_and_fusion_changes_at_most_one_image_in_a_thousand(
    shown: RunFolder,
) -> None:
    records = {record.method: record for record in shown.load_records()}
    top = {}
    for name in ("fp32", "fp32_fused"):
        top[name] = shown.load_predictions(records[name], 10_000)[:, 0]
    labels = np.load(shown.labels)
    assert len(labels) == 10_000
    assert (top["fp32"] == labels).mean() >= 0.90
    assert (top["fp32"] != top["fp32_fused"]).mean() <= 0.001


@pytest.mark.slow
def test_full_naive_loses_and_tuning_finds_a_model(shown: RunFolder) -> None:
    table = rows(shown)
    assert float(table["int8_full_naive"]["top1_rel_loss_pct"]) >= 5
    for name in ("int8_inc_mse", "int8_inc_mycustom"):
        facts = json.loads((shown.method(name) / "optimize.json").read_text())["quantization"]
        assert facts["tuned_accuracy"] >= facts["baseline_accuracy"] * (1 - 0.015)
        assert float(table[name]["top1_rel_loss_pct"]) <= 1.5


@pytest.mark.slow
def test_mse_excludes_exactly_the_culprit(shown: RunFolder) -> None:
    facts = json.loads((shown.method("int8_inc_mse") / "optimize.json").read_text())
    assert facts["quantization"]["excluded_operators"] == [CULPRIT]
