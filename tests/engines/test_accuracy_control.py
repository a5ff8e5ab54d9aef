"""What a record says of NNCF's accuracy control."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.engine_python import in_engine

pytestmark = pytest.mark.slow

CONTROLLED = """
import json, os, sys
from pathlib import Path

import numpy as np
from openvino import opset13 as ops
import openvino

from harness.engines.openvino import OpenVino

os.chdir(sys.argv[1])
rng = np.random.default_rng(0)
data = ops.parameter([-1, 3, 8, 8], np.float32, "data")
weights = rng.normal(size=(10, 3, 3, 3)).astype("float32")
conv = ops.convolution(data, weights, [1, 1], [0, 0], [0, 0], [1, 1])
network = openvino.Model([ops.reduce_mean(conv, [2, 3])], [data], "network")
openvino.save_model(network, "network.xml", compress_to_fp16=False)
fp32 = openvino.Core().compile_model(network, "CPU")
batches = [rng.normal(size=(8, 3, 8, 8)).astype("float32") for _ in range(int(sys.argv[2]))]
tuning = [(images, np.argmax(fp32([images])[0], axis=1)) for images in batches]
tuning[0][1][:4] = -1  # fp32 is wrong in the first batch alone
engine = OpenVino(precision="int8_controlled", tolerance=0.9)
made = engine.optimize(Path("network.xml"), tuning, Path("engine"), lambda *words: None)
baseline = 1 - 4 / (8 * len(tuning))
assert made.quantization["baseline_accuracy"] == baseline, made.quantization
assert made.quantization["trials"] == len(made.trajectory) == 1, made.trajectory
assert json.loads(Path("trajectory.json").read_text()) == made.trajectory
"""


@pytest.mark.parametrize("batches", [1, 3])
def test_evaluations_of_fp32_are_no_trials(tmp_path: Path, batches: int) -> None:
    in_engine("openvino", CONTROLLED, str(tmp_path), str(batches))
