"""A network as ONNX, written from the symbol and the weights that MXNet exported.

The operators are those of image classifiers. Weights are initializers and no inputs, so that engines
fold batch norms into convolutions. MXNet's own exporter lists them as inputs, and wants an old onnx.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from harness.errors import Refused
from harness.workloads.model_files import Node, check_symbol, check_weights

OPSET, IR_VERSION = 17, 10  # that all engines of the locks read
INPUT, OUTPUT = "data", "scores"
ACTIVATIONS = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softrelu": "Softplus",
    "softsign": "Softsign",
}


def write_network(symbol: Path, params: Path, target: Path, side: int) -> Path:
    """Write a network as an ONNX file and check it; return its path.

    Args:
        symbol, params: as MXNet exported the fp32 network.
        side: of the square images, in pixels.

    Raises:
        Refused: the network has an operator, or an option of one, that has no mapping.
    """
    check_weights(params)
    graph = check_symbol(symbol)
    with np.load(params) as archive:
        weights = {name.split(":", 1)[-1]: archive[name] for name in archive.files}
    writer = _Writer(graph["nodes"], weights)
    for number, node in enumerate(graph["nodes"]):
        writer.take(number, node)
    heads = graph["heads"]
    if len(heads) != 1 or heads[0][1] != 0:
        raise Refused(f"the network has {len(heads)} outputs, and ONNX is written for one")
    writer.add("Identity", [writer.names[heads[0][0]]], OUTPUT)
    whole = helper.make_graph(
        writer.nodes,
        "network",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["images", 3, side, side])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["images", None])],
        [numpy_helper.from_array(values, name) for name, values in writer.initializers.items()],
    )
    model = helper.make_model(
        whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)
    return target


class _Writer:
    """The ONNX nodes and weights of a graph so far; ``names``: each MXNet node's first output."""

    def __init__(self, graph: list[Node], weights: dict[str, npt.NDArray[Any]]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, npt.NDArray[Any]] = {}
        self.names: dict[int, str] = {}
        self._graph, self._weights = graph, weights

    def take(self, number: int, node: Node) -> None:
        """Add a node of MXNet's.

        Raises:
            Refused: it has no mapping.
        """
        if node["op"] == "null":
            self.names[number] = node["name"] if node["name"] in self._weights else INPUT
            return
        mapping = MAPPINGS.get(node["op"])
        if mapping is None:
            raise Refused(
                f"the network's operator {node['op']} (node {node['name']}) has no mapping to ONNX: "
                f"mapped are {', '.join(sorted(MAPPINGS))}"
            )
        if any(output for _, output, *_ in node["inputs"]):
            raise Refused(f"node {node['name']} reads another node's second output")
        self.names[number] = mapping(self, node)

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add an ONNX node and return the name of its output, which is its own."""
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def tensor(self, node: Node, at: int) -> str:
        """Return the name of the tensor that a node reads; a weight becomes an initializer."""
        name = self.names[node["inputs"][at][0]]
        if name in self._weights:
            self.initializers[name] = self._weights[name].astype(np.float32, copy=False)
        return name

    def tensors(self, node: Node) -> list[str]:
        return [self.tensor(node, at) for at in range(len(node["inputs"]))]

    def ones_for(self, node: Node, at: int) -> str:
        """Return the name of ones in the shape of the weight that a node reads."""
        weight = self._weights[self.names[node["inputs"][at][0]]]
        name = f"{node['name']}_ones"
        self.initializers[name] = np.ones(weight.shape, np.float32)
        return name


def _attribute(node: Node, name: str, default: Any) -> Any:
    """Return an attribute, which MXNet writes as Python spells it: numbers, tuples, None, words."""
    text = node.get("attrs", {}).get(name)
    if text is None:
        return default
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return default if value is None else value


def _require(node: Node, name: str, usual: Any) -> None:
    value = _attribute(node, name, usual)
    if value != usual:
        raise Refused(
            f"the network's operator {node['op']} (node {node['name']}) has {name}={value}: only "
            f"{usual} has a mapping to ONNX"
        )


def _window(node: Node) -> dict[str, Any]:
    """Return kernel, strides and padding of a convolution or pooling of two dimensions."""
    kernel = list(_attribute(node, "kernel", ()))
    if len(kernel) != 2:
        raise Refused(f"node {node['name']} has a kernel of {len(kernel)} sides, and 2 are mapped")
    _require(node, "layout", "NCHW")
    return {
        "kernel_shape": kernel,
        "strides": list(_attribute(node, "stride", ()) or (1, 1)),
        "pads": list(_attribute(node, "pad", ()) or (0, 0)) * 2,
    }


def _convolution(writer: _Writer, node: Node) -> str:
    return writer.add(
        "Conv",
        writer.tensors(node),
        node["name"],
        dilations=list(_attribute(node, "dilate", ()) or (1, 1)),
        group=int(_attribute(node, "num_group", 1)),
        **_window(node),
    )


def _batch_norm(writer: _Writer, node: Node) -> str:
    _require(node, "axis", 1)
    is_fixed = int(_attribute(node, "fix_gamma", 1))  # whatever gamma holds, MXNet takes 1
    gamma = writer.ones_for(node, 1) if is_fixed else writer.tensor(node, 1)
    inputs = [writer.tensor(node, 0), gamma, *(writer.tensor(node, at) for at in (2, 3, 4))]
    epsilon = float(_attribute(node, "eps", 1e-3))
    return writer.add("BatchNormalization", inputs, node["name"], epsilon=epsilon)


def _activation(writer: _Writer, node: Node) -> str:
    kind = ACTIVATIONS.get(_attribute(node, "act_type", ""))
    if kind is None:
        raise Refused(
            f"the network's Activation (node {node['name']}) has "
            f"act_type={_attribute(node, 'act_type', None)}: mapped are {', '.join(ACTIVATIONS)}"
        )
    return writer.add(kind, writer.tensors(node), node["name"])


def _pooling(writer: _Writer, node: Node) -> str:
    kind = _attribute(node, "pool_type", "max")
    if kind not in ("max", "avg"):
        raise Refused(f"the network's Pooling (node {node['name']}) has pool_type={kind}")
    _require(node, "layout", "NCHW")
    if int(_attribute(node, "global_pool", 0)):
        name = "GlobalMaxPool" if kind == "max" else "GlobalAveragePool"
        return writer.add(name, writer.tensors(node), node["name"])
    ceils = _attribute(node, "pooling_convention", "valid") == "full"
    if not ceils:
        _require(node, "pooling_convention", "valid")
    if kind == "max":
        return writer.add(
            "MaxPool", writer.tensors(node), node["name"], ceil_mode=int(ceils), **_window(node)
        )
    if ceils:  # what lies beyond the padding counts otherwise in each library
        _require(node, "pooling_convention", "valid")
    counts = int(_attribute(node, "count_include_pad", 1))
    return writer.add(
        "AveragePool", writer.tensors(node), node["name"], count_include_pad=counts, **_window(node)
    )


def _fully_connected(writer: _Writer, node: Node) -> str:
    _require(node, "flatten", 1)
    data, *weights = writer.tensors(node)
    flat = writer.add("Flatten", [data], f"{node['name']}_flat", axis=1)
    return writer.add("Gemm", [flat, *weights], node["name"], transB=1)


def _named(kind: str, **attributes: Any) -> Callable[[_Writer, Node], str]:
    """Return the mapping of an operator that has another name in ONNX, and no options here."""
    return lambda writer, node: writer.add(kind, writer.tensors(node), node["name"], **attributes)


MAPPINGS: dict[str, Callable[[_Writer, Node], str]] = {
    "Activation": _activation,
    "BatchNorm": _batch_norm,
    "Convolution": _convolution,
    "Dropout": _named("Identity"),
    "Flatten": _named("Flatten", axis=1),
    "FullyConnected": _fully_connected,
    "Pooling": _pooling,
    "_npi_add": _named("Add"),
    "elemwise_add": _named("Add"),
}
