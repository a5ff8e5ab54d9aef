"""A network as ONNX, written from the symbol and the weights that MXNet exported.

The operators are those of image classifiers. Weights are initializers and no inputs, so that engines
fold batch norms into convolutions. MXNet's own exporter lists them as inputs, and wants an old onnx.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.checker
import onnx.shape_inference
from onnx import TensorProto, helper, numpy_helper

from harness.engines.onnx_operators import MAPPINGS
from harness.errors import Refused, one_line
from harness.workloads.model_files import Node, check_symbol, check_weights

OPSET, IR_VERSION = 17, 10  # that all engines of the locks read
INPUT, OUTPUT = "data", "scores"


def write_network(symbol: Path, params: Path, target: Path, side: int) -> Path:
    """Write a network as an ONNX file and check it; return its path.

    Args:
        symbol, params: as MXNet exported the fp32 network.
        side: of the square images, in pixels.

    Raises:
        Refused: the network has an operator, or an option of one, that has no mapping, or their shapes
            do not fit each other as ONNX has them.
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
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise Refused(f"the network as ONNX is not valid: {one_line(error)}") from None
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

    def add(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
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

    def constant(self, name: str, values: Any) -> str:
        self.initializers[name] = np.asarray(values)
        return name

    def values(self, node: Node, at: int) -> npt.NDArray[Any]:
        name = self.names[node["inputs"][at][0]]
        if name not in self._weights:
            raise Refused(f"node {node['name']} has {name} where only a weight has a mapping")
        return self._weights[name].astype(np.float32, copy=False)
