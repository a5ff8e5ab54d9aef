"""A network's graph as inference computes it, of operators whose gradients MXNet makes fast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import mxnet as mx
import numpy as np

from harness.methods.graph import VARIABLE, Builder, Entry, Graph
from harness.methods.weights import Array, Weights, along
from harness.workloads.model_files import Node

PICTURES = 4  # dimensions of what a convolution of pictures reads
CHANNELS = "1"  # the axis
JOINING = "Concat"


def without_norms(
    graph: Graph, shape: tuple[int, ...], together: Callable[[str, str], bool]
) -> Graph:
    """Return the same function without dropout, and with convolutions in place of batch norms.

    A batch norm is folded into the convolution before it, which then has the batch norm's name, or
    becomes a convolution of each channel by itself. oneDNN runs a batch norm's backward pass in its
    reference kernel where two convolutions beside it prefer different layouts: most of the time that
    gradients take goes there.

    What is concatenated is multiplied by one. That hands gradients back in MXNet's own layout, which can
    be cut at any channel: oneDNN's layouts cannot be, and the backward pass would fail.

    Args:
        graph: not fused.
        shape: of an input.
        together: says of a convolution and the batch norm behind it whether they are folded.
    """
    nodes, shapes, weights = graph.nodes, graph.shapes(shape), Weights(graph)
    read = [entry for node in nodes for entry in node["inputs"]]
    readers = Counter(at for at, *_ in (*read, *graph.heads))

    def visit(builder: Builder, node: Node, at: Entry) -> Entry:
        if node["op"] == "Dropout":
            return list(builder.nodes[at[0]]["inputs"][0])
        if node["op"] == JOINING:
            return builder.add("_mul_scalar", f"{node['name']}:plain", at, scalar=1)
        if node["op"] != "BatchNorm":
            return at
        own = builder.nodes[at[0]]
        before = nodes[node["inputs"][0][0]]
        factor = weights.normalising(node)
        shift = weights.get(node, 2) - weights.get(node, 3) * factor
        attributes: dict[str, Any]
        if (
            before["op"] == "Convolution"
            and readers[node["inputs"][0][0]] == 1
            and together(str(before["name"]), str(node["name"]))
        ):
            convolution = builder.nodes[own["inputs"][0][0]]
            values = weights.get(before, 1)
            values = values * along(factor, values, 0)
            if len(before["inputs"]) > 2:
                shift = shift + weights.get(before, 2) * factor
            reads, attributes = convolution["inputs"][0], {**before["attrs"], "no_bias": "0"}
        elif len(shapes[f"{node['name']}_output"]) == PICTURES and _along_channels(node):
            values = factor.reshape(-1, 1, 1, 1)
            channels = len(factor)
            attributes = {"kernel": (1, 1), "num_filter": channels, "num_group": channels}
            reads = own["inputs"][0]
        else:
            own["attrs"] = {**own["attrs"], "use_global_stats": "1"}
            return at
        own["name"] = f"{node['name']}:unused"
        return _convolution(builder, str(node["name"]), reads, (values, shift), attributes)

    return graph.rewritten(visit).pruned()


def _convolution(
    builder: Builder,
    name: str,
    reads: Entry,
    values: tuple[Array, Array],
    attributes: dict[str, Any],
) -> Entry:
    variables = []
    for kind, array in zip(("weight", "bias"), values):
        builder.params[f"arg:{name}:{kind}"] = mx.np.array(np.asarray(array), dtype="float32")
        variables.append(builder.add(VARIABLE, f"{name}:{kind}"))
    return builder.add("Convolution", name, reads, *variables, **attributes)


def _along_channels(node: Node) -> bool:
    return str(node["attrs"].get("axis", CHANNELS)) == CHANNELS
