"""A graph that runs node by node, so that the tensors within it and their gradients can be read.

A hybridized network shows its outputs alone, and MXNet keeps the gradients of its inputs alone.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import mxnet as mx

from harness.methods.graph import VARIABLE, Graph
from harness.workloads.model_files import Node
from harness.workloads.weights_file import MxArray


def single_operator(graph: Graph, node: Node) -> Any:
    """Return a node's operator as a function of arrays, in the order of the node's inputs."""
    count = len(node["inputs"])
    variables = [{"op": VARIABLE, "name": f"operand{at}", "inputs": []} for at in range(count)]
    own = {**node, "inputs": [[at, 0, 0] for at in range(count)]}
    alone = {
        **graph.symbol,
        "nodes": [*variables, own],
        "arg_nodes": list(range(count)),
        "node_row_ptr": list(range(count + 2)),
        "heads": [[count, 0, 0]],
    }
    return mx.nd.CachedOp(Graph(alone, {}).as_symbol())


class Stepwise:
    """A graph of operators that are called one after the other.

    Args:
        graph: with one input.
        marked: the nodes whose first outputs get a gradient when ``backward`` is called on what
            depends on them.
    """

    def __init__(self, graph: Graph, marked: Collection[str]) -> None:
        self._graph, self._marked = graph, frozenset(marked)
        (self._input,) = graph.inputs
        self._weights = {name.split(":", 1)[1]: value for name, value in graph.params.items()}
        self._operators = {
            node["name"]: single_operator(graph, node)
            for node in graph.nodes
            if node["op"] != VARIABLE
        }

    def __call__(self, data: MxArray) -> dict[str, MxArray]:
        """Return every node's first output by the node's name."""
        variables = {**self._weights, self._input: data}
        arrays: list[MxArray] = []
        for node in self._graph.nodes:
            if node["op"] == VARIABLE:
                array = variables[node["name"]]
            else:
                array = self._operators[node["name"]](*(arrays[at] for at, *_ in node["inputs"]))
            if node["name"] in self._marked:
                array.attach_grad()
            arrays.append(array)
        return {node["name"]: array for node, array in zip(self._graph.nodes, arrays)}
