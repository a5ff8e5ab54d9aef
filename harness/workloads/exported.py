"""A user's exported pair, a symbol and its weights, of MXNet 2 or any earlier version.

MXNet brings an old symbol up to date when it reads it. What is done here besides is what MXNet 1's own
loaders do: the operators that end a network in training pass their scores on, and need no label.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mxnet as mx
from mxnet.gluon import SymbolBlock
from mxnet.symbol.numpy import _symbol as np_symbol

from harness.errors import InputError, one_line
from harness.workloads.model_files import Node, SymbolGraph, check_symbol
from harness.workloads.private import copied
from harness.workloads.weights_file import check_fit, load_weights, shown

# What a loss of the Module API computes when it predicts (src/operator/softmax_output-inl.h,
# regression_output-inl.h, svm_output-inl.h): the operator and its attributes.
PREDICTING: dict[str, tuple[str, dict[str, str]]] = {
    "SoftmaxOutput": ("softmax", {"axis": "1"}),
    "LogisticRegressionOutput": ("sigmoid", {}),
    "LinearRegressionOutput": ("_copy", {}),
    "MAERegressionOutput": ("_copy", {}),
    "SVMOutput": ("_copy", {}),
}
HALF = ("float16", "bfloat16")
FORGOTTEN = ("__shape__", "__dtype__")  # MXNet 1 wrote 0 for a side unknown; the weights tell


def load_pair(symbol: Path, params: Path) -> Any:
    """Return the network of an exported pair; its one input may have any name.

    Raises:
        InputError: a file is missing or damaged, the two do not belong together, the network is no
            plain fp32 one, or has not exactly one input and one output.
    """
    if not symbol.is_file():
        raise InputError(f"the symbol {symbol} does not exist: check workload.symbol")
    weights = load_weights(params)
    try:
        with copied(symbol) as copy:
            _refuse_optimized(check_symbol(copy, symbol), symbol)
            graph = json.loads(mx.sym.load(str(copy)).tojson())
        _end_with_scores(graph)
        _forget_types(graph)
        outputs = np_symbol.load_json(json.dumps(graph))
        names = outputs.list_inputs()
    except mx.base.MXNetError as error:
        raise InputError(
            f"MXNet does not read the symbol {symbol}: it says {one_line(error)}; check "
            "workload.symbol"
        ) from None
    if len(outputs.list_outputs()) != 1:
        raise InputError(
            f"the symbol {symbol} has {len(outputs.list_outputs())} outputs "
            f"({shown(outputs.list_outputs())}): export the network with its scores as the only one"
        )
    inputs = [name for name in names if name not in weights]
    if len(inputs) != 1:
        counts = (
            f"it leaves {len(inputs)} inputs ({shown(inputs)})" if inputs else "it leaves no input"
        )
        raise InputError(
            f"the weights {params} do not fit the symbol {symbol}: {counts}, and images are one: check "
            "that workload.params and workload.symbol belong together"
        )
    net = SymbolBlock(outputs, [mx.sym.var(inputs[0]).as_np_ndarray()])
    check_fit(weights, net.collect_params(), params, f"the symbol {symbol}")
    net.load_dict(weights, cast_dtype=True, dtype_source="saved")
    return net


def _nodes(graph: SymbolGraph) -> Iterator[Node]:
    """Yield the nodes of a graph and of the graphs in its nodes."""
    for node in graph["nodes"]:
        yield node
        for inner in node.get("subgraphs", ()):
            yield from _nodes(inner)


def _attributes(node: Node) -> dict[str, str]:
    """Return a node's attributes, wherever its version of MXNet kept them."""
    return {k: v for key in ("param", "attr", "attrs") for k, v in node.get(key, {}).items()}


def _refuse_optimized(graph: SymbolGraph, symbol: Path) -> None:
    """Raise InputError if a network is fused, quantised or in half precision: rows start from fp32."""
    for node in _nodes(graph):
        name, op = f"{node['name']} ({node['op']})", node["op"]
        advice = (
            f"The rows of this harness begin with the plain fp32 network: export that ({symbol})"
        )
        if "quantize" in op or _attributes(node).get("quantized", "").lower() in ("true", "1"):
            raise InputError(f"the symbol is quantised already, in {name}. {advice}")
        if op.startswith(("_sg_", "_contrib_BatchNormWithReLU")):
            raise InputError(f"the symbol is fused already, in {name}. {advice}")
        kind = _attributes(node).get("dtype")
        if op != "null" and kind in HALF:
            raise InputError(f"the symbol computes in {kind}, in {name}. {advice}")


def _end_with_scores(graph: SymbolGraph) -> None:
    """Replace a loss at the graph's end by its prediction, so that its label is no input."""
    for number, *_ in graph["heads"]:
        node = graph["nodes"][number]
        if node["op"] in PREDICTING:
            node["op"], node["attrs"] = PREDICTING[node["op"]]
            node["inputs"] = node["inputs"][:1]


def _forget_types(graph: SymbolGraph) -> None:
    for node in graph["nodes"]:
        for key in FORGOTTEN:
            node.get("attrs", {}).pop(key, None)
