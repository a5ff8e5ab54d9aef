"""A network as a graph that can be looked at and changed: MXNet's own JSON of a symbol, and weights."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import mxnet as mx
from mxnet.gluon import SymbolBlock

NUMBERED = re.compile(r"node_(\d+)")
VARIABLE = "null"  # the operator of inputs and weights


@dataclass
class Graph:
    """A traced network.

    Attributes:
        symbol: the object of a ``-symbol.json``; ``nodes`` are in an order in which they can run.
        params: the weights by name, each with ``arg:`` or ``aux:`` before it.
    """

    symbol: dict[str, Any]
    params: dict[str, Any]

    @classmethod
    def of(cls, net: Any, shape: tuple[int, ...]) -> Graph:
        """Trace ``net``, which gets hybridized, with a blank input of this shape."""
        net.hybridize()
        net(mx.np.zeros(shape)).wait_to_read()
        symbol, params = net.export(None)
        return cls(json.loads(symbol.tojson()), dict(params))

    @property
    def nodes(self) -> list[dict[str, Any]]:
        """The nodes: op, name, attrs, and inputs as [node, output, version]."""
        return list(self.symbol["nodes"])

    def network(self) -> Any:
        """Return the network of the graph as it is now."""
        symbol = mx.sym.fromjson(json.dumps(self.symbol)).as_np_ndarray()
        stored = {name.split(":", 1)[1] for name in self.params}
        inputs = [mx.sym.var(name) for name in symbol.list_inputs() if name not in stored]
        net = SymbolBlock(symbol, [each.as_np_ndarray() for each in inputs])
        net.load_dict(self.params, cast_dtype=True, dtype_source="saved")
        return net


def with_own_numbers(net: Any, shape: tuple[int, ...]) -> Any:
    """Return ``net`` with its operators named node_0, node_1 ...: by their place in it alone.

    MXNet counts the operators of all networks that a process traces, so one and the same network has
    other names when another came before; and strategies draw in the order of operators' names.

    Args:
        net: gets hybridized.
        shape: of an input.
    """
    graph = Graph.of(net, shape)
    operators = [node for node in graph.nodes if node["op"] != VARIABLE]
    numbered = [(node, NUMBERED.fullmatch(node["name"])) for node in operators]
    first = min((int(found[1]) for _, found in numbered if found), default=0)
    for node, found in numbered:
        if found:
            node["name"] = f"node_{int(found[1]) - first}"
    return graph.network()
