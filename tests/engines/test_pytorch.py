"""PyTorch as an engine: its reader of networks, what runs in int8, threads and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.engine_python import in_engine

pytestmark = pytest.mark.slow

NETWORK = """
import os
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from harness.engines import torch_network
from harness.engines.pytorch import PyTorch
from harness.errors import Refused

folder, rng = Path(sys.argv[1]), np.random.default_rng(0)
normal = lambda *shape: rng.normal(size=shape).astype("float32")
norm = {"gamma": normal(16), "beta": normal(16), "mean": normal(16), "variance": normal(16) ** 2 + 0.5}
weights = {
    **norm,
    "w1": normal(16, 3, 3, 3) / 5,
    "w2": normal(16, 16, 1, 1) / 4,
    "w3": normal(16, 4, 3, 3) / 6,
    "b3": normal(16),
    "w4": normal(5, 64) / 8,
    "b4": normal(5),
}
at = {"dilations": [1, 1], "strides": [1, 1]}
near = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
two = {"kernel_shape": [2, 2], "pads": [0, 0, 0, 0], "strides": [2, 2]}
nodes = [
    helper.make_node("Conv", ["data", "w1"], ["a.conv"], group=1, **near, **at),
    helper.make_node("BatchNormalization", ["a.conv", *norm], ["norm"], epsilon=1e-5),
    helper.make_node("Relu", ["norm"], ["relu"]),
    helper.make_node("MaxPool", ["relu"], ["pooled"], ceil_mode=0, **two),
    helper.make_node("BatchNormalization", ["pooled", *norm], ["before"], epsilon=1e-5),
    helper.make_node("Relu", ["before"], ["rectified"]),
    helper.make_node(
        "Conv", ["rectified", "w2"], ["c2"], group=1, kernel_shape=[1, 1], pads=[0] * 4, **at
    ),
    helper.make_node("Conv", ["c2", "w3", "b3"], ["c3"], group=4, **near, **at),
    helper.make_node("Add", ["c3", "pooled"], ["sum"]),
    helper.make_node("AveragePool", ["sum"], ["mean2"], count_include_pad=1, ceil_mode=0, **two),
    helper.make_node("Flatten", ["mean2"], ["flat"], axis=1),
    helper.make_node("Gemm", ["flat", "w4", "b4"], ["dense"], transB=1),
    helper.make_node("Identity", ["dense"], ["scores"]),
]


def saved(nodes, name):
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["images", 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["images", None])],
        [numpy_helper.from_array(values, key) for key, values in weights.items()],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), folder / name)
    return folder / name


network, images = saved(nodes, "network.onnx"), normal(32, 3, 8, 8)
silent = lambda *words: None
"""
SAME_SCORES = (
    NETWORK
    + """
from onnx.reference import ReferenceEvaluator

expected = ReferenceEvaluator(str(network)).run(None, {"data": images})[0]
engine = PyTorch()
made = engine.optimize(network, [(images, None)], folder / "engine", silent)
for file in (network, made.graph):
    predictor = engine.load(file, 1, (), False, 2)
    for count in (32, 5, 1):
        scores = predictor(images[:count]).asnumpy()
        assert np.abs(scores - expected[:count]).max() <= 1e-4 * np.abs(expected).max()
assert {path.name for path in folder.iterdir()} == {"network.onnx", "engine.graph", "engine.pt"}
"""
)
OTHER_OPERATORS = (
    NETWORK
    + """
from onnx.reference import ReferenceEvaluator

weights |= {"low": np.float32(0), "high": np.float32(6), "less": np.float32(-1)}
weights["w5"] = normal(8, 35, 1, 1) / 6
up = {"kernel_shape": [3, 3], "pads": [0, 0, 0, 0], "strides": [2, 2], "ceil_mode": 1}
plain = {"group": 1, "kernel_shape": [1, 1], "pads": [0] * 4}
network = saved([
    helper.make_node("Conv", ["data", "w1"], ["c1"], group=1, **near, **at),
    helper.make_node("Clip", ["c1", "low", "high"], ["six"]),
    helper.make_node("Clip", ["c1", "less", "high"], ["clipped"]),
    helper.make_node("Concat", ["six", "clipped", "data"], ["beside"], axis=1),
    helper.make_node("AveragePool", ["beside"], ["averaged"], count_include_pad=0, **up),
    helper.make_node("Conv", ["averaged", "w5"], ["c5"], **plain, **at),
    helper.make_node("LeakyRelu", ["c5"], ["leaky"], alpha=0.1),
    helper.make_node("Elu", ["leaky"], ["elu"], alpha=0.5),
    helper.make_node("Selu", ["elu"], ["selu"]),
    helper.make_node("Flatten", ["selu"], ["flat"], axis=1),
    helper.make_node("Softmax", ["flat"], ["scores"], axis=1),
], "other.onnx")
expected = ReferenceEvaluator(str(network)).run(None, {"data": images})[0]
assert expected.shape == (32, 8 * 4 * 4)
for precision, least in (("fp32", 1 - 1e-6), ("int8", 0.8)):  # its softmax has steps of 1/256
    engine = PyTorch(precision=precision)
    made = engine.optimize(network, [(images, None)], folder / "engine", silent)
    scores = engine.load(made.graph, 1, (), False, len(images))(images).asnumpy()
    alike = np.corrcoef(scores.ravel(), expected.ravel())[0, 1]
    assert alike >= least, (precision, alike)

wide = {"scale": normal(192), "shift": normal(192), "middle": normal(192), "spread": normal(192) ** 2}
weights |= wide
network = saved([
    helper.make_node("Flatten", ["data"], ["flat"], axis=1),
    helper.make_node("BatchNormalization", ["flat", *wide], ["scores"], epsilon=0.5),
], "flat.onnx")
expected = ReferenceEvaluator(str(network)).run(None, {"data": images})[0]
scores = PyTorch().load(network, 1, (), False, len(images))(images).asnumpy()
np.testing.assert_allclose(scores, expected, 1e-4, 1e-5)
"""
)
IN_INT8 = (
    NETWORK
    + """
for reduces in (False, True):
    engine = PyTorch(precision="int8", reduce_range=reduces)
    made = engine.optimize(network, [(images, None), (images[:5], None)], folder / "engine", silent)
    assert made.quantization["reduce_range"] is reduces
    predictor = engine.load(made.graph, 1, (), True, len(images))
    for count in (32, 5, 1):
        predictor(images[:count])
    kernels = engine.what_ran(predictor)
    convolutions = [kernel for kernel in kernels if kernel.kind == "convolution"]
    assert sum(kernel.count for kernel in convolutions) == 2 * 3, kernels
    assert all(kernel.dtype.startswith("u8:s8") for kernel in convolutions), kernels
expected = PyTorch().load(network, 1, (), False, len(images))(images).asnumpy()
scores = predictor(images).asnumpy()  # of 7 bits, which saturate on no CPU
assert np.abs(scores - expected).max() <= 0.1 * np.abs(expected).max()
"""
)
BOUND = (
    NETWORK
    + """
cpus = sorted(os.sched_getaffinity(0))[:2]
predictor = PyTorch().load(network, len(cpus), cpus, False, len(images))
predictor(images)
places = [os.sched_getaffinity(int(thread)) for thread in os.listdir("/proc/self/task")]
assert os.sched_getaffinity(0) == {cpus[0]}
assert all({cpu} in places for cpu in cpus), places
"""
)
WITHOUT_PATHS = (
    NETWORK
    + """
for precision in ("fp32", "int8"):
    engine = PyTorch(precision=precision)
    made = engine.optimize(network, [(images, None)], folder / "engine", silent)
    for file in (made.graph, made.weights):
        content = file.read_bytes()
        assert b"site-packages" not in content and b".py:" not in content, file
"""
)
REFUSED = (
    NETWORK
    + """
flat = helper.make_node("Flatten", ["data"], ["flat"])
weights["one"] = np.float32(1)
for odd in (
    helper.make_node("Erf", ["flat"], ["scores"]),
    helper.make_node("Add", ["flat", "one"], ["scores"], "plus"),
):
    try:
        PyTorch().load(saved([flat, odd], "odd.onnx"), 1, (), False, 1)
    except Refused as error:
        print(error)
try:
    torch_network._layer(helper.make_node("BatchNormalization", ["six", *norm], ["n"]), list(norm), 6)
except Refused as error:
    print(error)
"""
)


def test_all_operators_compute_what_onnx_says_for_batches_of_any_size(tmp_path: Path) -> None:
    in_engine("pytorch", SAME_SCORES, str(tmp_path))


def test_operators_of_other_networks_compute_what_onnx_says(tmp_path: Path) -> None:
    in_engine("pytorch", OTHER_OPERATORS, str(tmp_path))


def test_each_convolution_of_an_int8_model_reads_int8(tmp_path: Path) -> None:
    in_engine("pytorch", IN_INT8, str(tmp_path))


def test_each_thread_is_bound_to_a_cpu_of_its_own(tmp_path: Path) -> None:
    in_engine("pytorch", BOUND, str(tmp_path))


def test_a_model_holds_no_paths_of_the_machine_that_made_it(tmp_path: Path) -> None:
    in_engine("pytorch", WITHOUT_PATHS, str(tmp_path))


def test_an_operator_that_is_not_read_is_refused_by_its_name(tmp_path: Path) -> None:
    erf, add, norm = in_engine("pytorch", REFUSED, str(tmp_path)).splitlines()
    assert erf.startswith("the network's operator Erf ")
    assert add.startswith("the network's operator Add (node plus) has numbers of its own")
    assert norm.startswith("the network's operator BatchNormalization has an input of rank 6")
