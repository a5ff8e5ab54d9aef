"""Calibration reads its images in parts: bounded memory, and the ranges of whole batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.engines.calibration_parts import IMAGES, CalibrationParts
from helpers.engine_python import in_engine

CALIBRATED = """
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from harness.engines import calibration_parts
from harness.engines.network import INPUT
from harness.engines.onnxruntime import CALIBRATIONS, OnnxRuntime

rng = np.random.default_rng(1)
weight = rng.normal(size=(4, 3, 3, 3)).astype("float32")
graph = helper.make_graph(
    [helper.make_node("Conv", [INPUT, "w"], ["c"]), helper.make_node("Flatten", ["c"], ["scores"])],
    "g",
    [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["images", 3, 8, 8])],
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["images", None])],
    [numpy_helper.from_array(weight, "w")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
folder = Path(sys.argv[1])
onnx.save(model, folder / "n.onnx")
images = rng.normal(size=(20, 3, 8, 8)).astype("float32")
batches = [(images[:15], np.zeros(15)), (images[15:], np.zeros(5))]

def quantized(calibration, size):
    calibration_parts.IMAGES = size
    engine = OnnxRuntime(precision="int8", calibration=calibration)
    made = engine.optimize(folder / "n.onnx", batches, folder / f"{calibration}{size}", lambda *_: None)
    graph = onnx.load(made.graph).graph
    return {one.name: numpy_helper.to_array(one).tolist() for one in graph.initializer}

for calibration in CALIBRATIONS:
    assert quantized(calibration, 8)
assert quantized("minmax", 20) == quantized("minmax", 3)
"""


@given(st.lists(st.integers(1, 3 * IMAGES), min_size=1, max_size=4))
def test_parts_have_every_image_once_in_order(sizes: list[int]) -> None:
    starts = np.cumsum([0, *sizes])
    batches = [
        (np.arange(start, start + size, dtype=np.float32).reshape(size, 1, 1, 1), np.arange(size))
        for start, size in zip(starts[:-1], sizes, strict=True)
    ]
    parts = CalibrationParts(batches)
    read = list(parts)
    assert len(parts) == len(read)
    assert np.concatenate([images for images, _ in read]).ravel().tolist() == list(
        range(sum(sizes))
    )
    assert all(len(images) == len(labels) <= IMAGES for images, labels in read)
    assert parts.batch_size == len(read[0][1])


@pytest.mark.slow
def test_onnx_runtime_finds_the_ranges_of_whole_batches(tmp_path: Path) -> None:
    in_engine("onnxruntime", CALIBRATED, str(tmp_path))
