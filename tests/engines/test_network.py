"""Networks as ONNX: each operator that is mapped, in the engine's own arithmetic, and refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from helpers.engine_python import in_engine

pytestmark = pytest.mark.slow

SIDE = 8
RUN = """
import sys
import numpy as np, onnx, onnxruntime
from pathlib import Path
from harness.engines.network import write_network
from harness.errors import Refused
folder = Path(sys.argv[1])
try:
    path = write_network(folder / "s.json", folder / "p.npz", folder / "n.onnx", int(sys.argv[2]))
except Refused as error:
    print("refused:", error)
    sys.exit()
model = onnx.load(path)
assert [one.name for one in model.graph.input] == ["data"], "weights are no inputs"
session = onnxruntime.InferenceSession(str(path))
np.save(folder / "scores.npy", session.run(None, {"data": np.load(folder / "x.npy")})[0])
print("written:", len(model.graph.initializer))
"""
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 3, SIDE, SIDE)).astype("float32")
Weights = Mapping[str, npt.NDArray[np.float32]]


def node(op: str, name: str, inputs: Sequence[int], **attributes: str) -> dict[str, Any]:
    return {
        "op": op,
        "name": name,
        "attrs": attributes,
        "inputs": [[at, 0, 0] for at in inputs],
    }


def variable(name: str) -> dict[str, Any]:
    return node("null", name, ())


def written(folder: Path, nodes: Sequence[dict[str, Any]], weights: Weights) -> str:
    """Write a graph whose last node is its output as ONNX and run it; return what was said."""
    names = [number for number, one in enumerate(nodes) if one["op"] == "null"]
    graph = {"nodes": list(nodes), "arg_nodes": names, "heads": [[len(nodes) - 1, 0, 0]]}
    (folder / "s.json").write_text(json.dumps(graph))
    np.savez(folder / "p.npz", **{f"arg:{name}": values for name, values in weights.items()})
    np.save(folder / "x.npy", IMAGES)
    return in_engine("onnxruntime", RUN, str(folder), str(SIDE))


def scores(folder: Path) -> npt.NDArray[np.float32]:
    return np.asarray(np.load(folder / "scores.npy"))


def flat(*nodes: dict[str, Any]) -> list[dict[str, Any]]:
    """Return nodes with a Flatten behind them: scores have two sides."""
    return [*nodes, node("Flatten", "flat", [len(nodes) - 1])]


def normal(*shape: int) -> npt.NDArray[np.float32]:
    return RNG.normal(size=shape).astype("float32")


@pytest.mark.parametrize("fixed", ["0", "1"])
def test_a_batch_norm_has_its_own_epsilon_and_its_gamma_unless_that_is_fixed(
    tmp_path: Path, fixed: str
) -> None:
    weights = {
        "gamma": normal(3),
        "beta": normal(3),
        "mean": normal(3),
        "var": RNG.uniform(0.01, 0.02, 3).astype("float32"),
    }
    nodes = [variable("data"), *map(variable, weights)]
    norm = node("BatchNorm", "norm", range(5), eps="0.01", fix_gamma=fixed, axis="1")
    assert "written" in written(tmp_path, flat(*nodes, norm), weights)
    beta, mean, var = (weights[name].reshape(3, 1, 1) for name in ("beta", "mean", "var"))
    gamma = 1.0 if fixed == "1" else weights["gamma"].reshape(3, 1, 1)
    expected = (IMAGES - mean) / np.sqrt(var + 0.01) * gamma + beta
    assert np.allclose(scores(tmp_path), expected.reshape(2, -1), atol=1e-4)


def test_a_convolution_has_its_groups_strides_and_padding(tmp_path: Path) -> None:
    weights = {"w": normal(6, 1, 3, 3), "b": normal(6)}
    nodes = [variable("data"), variable("w"), variable("b")]
    layer = node(
        "Convolution",
        "conv",
        range(3),
        kernel="[3,3]",
        stride="[2,2]",
        pad="[1,1]",
        dilate="[1,1]",
        num_group="3",
        layout="NCHW",
        no_bias="0",
    )
    assert "written" in written(tmp_path, flat(*nodes, layer), weights)
    padded = np.pad(IMAGES, ((0, 0), (0, 0), (1, 1), (1, 1)))
    grouped = np.repeat(padded, 2, axis=1)  # two of the six channels read each of the three
    expected = sum(
        grouped[:, :, row : row + SIDE : 2, column : column + SIDE : 2]
        * weights["w"][:, 0, row, column].reshape(6, 1, 1)
        for row in range(3)
        for column in range(3)
    )
    expected += weights["b"].reshape(6, 1, 1)
    assert np.allclose(scores(tmp_path), expected.reshape(2, -1), atol=1e-4)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"pool_type": "max"}, lambda x: x.max(axis=(3, 5))),
        ({"pool_type": "avg"}, lambda x: x.mean(axis=(3, 5))),
        ({"pool_type": "avg", "global_pool": "1"}, lambda x: x.mean(axis=(2, 3, 4, 5))),
        ({"pool_type": "max", "global_pool": "1"}, lambda x: x.max(axis=(2, 3, 4, 5))),
    ],
)
def test_pooling(tmp_path: Path, attributes: dict[str, str], expected: Any) -> None:
    window = {"kernel": "[2,2]", "stride": "[2,2]", "pad": "[0,0]", "layout": "NCHW"}
    layer = node("Pooling", "pool", [0], pooling_convention="valid", **window, **attributes)
    assert "written" in written(tmp_path, flat(variable("data"), layer), {})
    blocks = IMAGES.reshape(2, 3, SIDE // 2, 2, SIDE // 2, 2)
    assert np.allclose(scores(tmp_path), expected(blocks).reshape(2, -1), atol=1e-5)


def test_additions_activations_and_the_last_layer(tmp_path: Path) -> None:
    weights = {"w": normal(5, 3 * SIDE * SIDE), "b": normal(5)}
    nodes = [
        variable("data"),
        node("Activation", "relu", [0], act_type="relu"),
        node("_npi_add", "sum", [0, 1]),
        node("Dropout", "drop", [2], p="0.5"),
        variable("w"),
        variable("b"),
        node("FullyConnected", "dense", [3, 4, 5], num_hidden="5", flatten="1", no_bias="0"),
    ]
    assert "written" in written(tmp_path, nodes, weights)
    both = (IMAGES + np.maximum(IMAGES, 0)).reshape(2, -1)
    assert np.allclose(scores(tmp_path), both @ weights["w"].T + weights["b"], atol=1e-3)


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (node("LRN", "old", [0]), "operator LRN (node old) has no mapping"),
        (node("Activation", "odd", [0], act_type="mish"), "act_type=mish"),
        (node("BatchNorm", "last", [0] * 5, axis="-1"), "axis=-1"),
        (node("Pooling", "line", [0], kernel="[2]", pool_type="max"), "kernel of 1 sides"),
    ],
)
def test_what_has_no_mapping_is_refused_by_its_name(
    tmp_path: Path, refused: dict[str, Any], words: str
) -> None:
    said = written(tmp_path, flat(variable("data"), refused), {})
    assert said.startswith("refused: ") and words in said
