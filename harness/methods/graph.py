"""A network as a graph to inspect and change: the JSON of MXNet's symbol, and the weights."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import mxnet as mx
from mxnet.gluon import SymbolBlock

from harness.methods.layers import Layers, layers_noted
from harness.workloads.model_files import Node, SymbolGraph
from harness.workloads.weights_file import MxArray

NUMBERED = re.compile(r"node_(\d+)")
VARIABLE = "null"  # the operator of inputs and weights
BROADCASTING, PLAIN = "_npi_add", "elemwise_add"

LAYERS = "layers_of_nodes"  # attribute of a network that a graph made, which has no Gluon layers
Entry = list[int]  # [node, output, version]: one output of a node


@dataclass
class Graph:
    """A traced network with one input.

    Attributes:
        symbol: the object of a ``-symbol.json``; ``nodes`` are in an order in which they can run.
        params: the weights by name, each with ``arg:`` or ``aux:`` before it.
        layers: the layers that made the nodes, by node; empty where the network has none.
    """

    symbol: SymbolGraph
    params: dict[str, MxArray]
    layers: Layers = field(default_factory=dict)

    @classmethod
    def of(cls, net: Any, shape: tuple[int, ...]) -> Graph:
        """Trace ``net``, which gets hybridized, with a blank input of this shape."""
        net.hybridize()
        with layers_noted(net) as layers:
            net(mx.np.zeros(shape)).wait_to_read()
        symbol, params = net.export(None)
        return cls(json.loads(symbol.tojson()), dict(params), getattr(net, LAYERS, layers))

    @classmethod
    def from_symbol(cls, symbol: Any, params: dict[str, MxArray]) -> Graph:
        return cls(json.loads(symbol.tojson()), params)

    @property
    def nodes(self) -> list[Node]:
        return list(self.symbol["nodes"])

    @property
    def heads(self) -> list[Entry]:
        """The network's outputs."""
        return list(self.symbol["heads"])

    @property
    def inputs(self) -> list[str]:
        """The inputs without weights, in the order in which ``network`` takes them."""
        stored = {name.split(":", 1)[1] for name in self.params}
        return [
            node["name"]
            for node in self.nodes
            if node["op"] == VARIABLE and node["name"] not in stored
        ]

    def as_symbol(self) -> Any:
        return mx.sym.fromjson(json.dumps(self.symbol)).as_np_ndarray()

    def network(self) -> Any:
        """Return the network of the graph as it is now; a graph of it has the layers of this one."""
        inputs = [mx.sym.var(name).as_np_ndarray() for name in self.inputs]
        net = SymbolBlock(self.as_symbol(), inputs)
        net.load_dict(self.params, cast_dtype=True, dtype_source="saved")
        setattr(net, LAYERS, self.layers)
        return net

    def shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Return every tensor's shape by its name (``tensor_name``) for an input of this shape."""
        internals = self.as_symbol().get_internals()
        (data,) = self.inputs
        _, inferred, _ = internals.infer_shape(**{data: shape})
        return dict(zip(internals.list_outputs(), inferred))

    def rewritten(
        self,
        visit: Callable[[Builder, Node, Entry], Entry],
        feed: Callable[[Builder, Node, list[Entry]], list[Entry]] = lambda builder, node, read: (
            read
        ),
    ) -> Graph:
        """Return a graph with more nodes.

        Args:
            visit: called for every node in order with (builder, node, where its first output is);
                what it returns is what the readers of that output get instead.
            feed: called for every node before it is added with (builder, node, what it reads); what
                it returns is what the node reads instead.
        """
        builder, places = Builder(), dict[int, Entry]()
        for number, node in enumerate(self.nodes):
            inputs = [
                places[at] if output == 0 else [places[at][0], output, version]
                for at, output, version in node["inputs"]
            ]
            builder.nodes.append({**node, "inputs": feed(builder, node, inputs)})
            places[number] = visit(builder, node, [len(builder.nodes) - 1, 0, 0])
        nodes = builder.nodes
        symbol = {
            **self.symbol,
            "nodes": nodes,
            "heads": [places[at] for at, *_ in self.heads],
            **_tables(nodes),
        }
        return Graph(symbol, {**self.params, **builder.params})

    def pruned(self) -> Graph:
        """Return the graph without the nodes that no output depends on."""
        nodes = self.nodes
        needed, waiting = set[int](), [at for at, *_ in self.heads]
        while waiting:
            at = waiting.pop()
            if at not in needed:
                needed.add(at)
                waiting += [before for before, *_ in nodes[at]["inputs"]]
        places = {at: place for place, at in enumerate(sorted(needed))}

        def moved(entries: list[Entry]) -> list[Entry]:
            return [[places[at], *rest] for at, *rest in entries]

        kept = [{**nodes[at], "inputs": moved(nodes[at]["inputs"])} for at in places]
        symbol = {**self.symbol, "nodes": kept, "heads": moved(self.heads), **_tables(kept)}
        names = {node["name"] for node in kept}
        params = {key: value for key, value in self.params.items() if key.split(":", 1)[1] in names}
        return Graph(symbol, params)


@dataclass
class Builder:
    """The nodes of a new graph so far, and ``params``, its additional weights."""

    nodes: list[Node] = field(default_factory=list)
    params: dict[str, MxArray] = field(default_factory=dict)

    def add(self, op: str, name: str, *inputs: Entry, **attrs: Any) -> Entry:
        node: Node = {"op": op, "name": name, "inputs": [list(entry) for entry in inputs]}
        if attrs:
            node["attrs"] = {key: str(value) for key, value in attrs.items()}
        self.nodes.append(node)
        return [len(self.nodes) - 1, 0, 0]


def _tables(nodes: Sequence[Node]) -> dict[str, list[int]]:
    """Return what a symbol's JSON says of its nodes beside them."""
    return {
        "arg_nodes": [at for at, node in enumerate(nodes) if node["op"] == VARIABLE],
        "node_row_ptr": list(range(len(nodes) + 1)),
    }


def tensor_name(node: Node) -> str:
    """Return MXNet's name of a node's only output."""
    return str(node["name"]) if node["op"] == VARIABLE else f"{node['name']}_output"


def numbered(net: Any, shape: tuple[int, ...]) -> Graph:
    """Return the graph of ``net`` with its operators named node_0, node_1 ...: by their place alone.

    MXNet counts the operators of all networks that a process traces, so one and the same network has
    other names when another came before; and strategies draw in the order of operators' names.

    Args:
        net: gets hybridized.
        shape: of an input.
    """
    graph = Graph.of(net, shape)
    operators = [node for node in graph.nodes if node["op"] != VARIABLE]
    numbered_nodes = [(node, NUMBERED.fullmatch(node["name"])) for node in operators]
    first = min((int(match[1]) for _, match in numbered_nodes if match), default=0)
    names = {
        node["name"]: f"node_{int(match[1]) - first}" for node, match in numbered_nodes if match
    }
    for node in operators:
        node["name"] = names.get(node["name"], node["name"])
    layers = {names.get(name, name): layer for name, layer in graph.layers.items()}
    return replace(graph, layers=layers)


def with_own_numbers(net: Any, shape: tuple[int, ...]) -> Any:
    """Return ``net`` as the network of ``numbered``."""
    return numbered(net, shape).network()


def use_plain_additions(
    graph: Graph, shape: tuple[int, ...], chosen: Callable[[Node], bool] = lambda node: True
) -> int:
    """Have additions of tensors of one shape done by oneDNN's ``sum``; return how many.

    Args:
        graph: changed in place.
        shape: of an input.
        chosen: says of an addition whether it may be replaced.
    """
    shapes, nodes = graph.shapes(shape), graph.nodes

    def shape_of(entry: Entry) -> Any:
        return shapes.get(tensor_name(nodes[entry[0]])) if entry[1] == 0 else None

    additions = [
        node
        for node in nodes
        if node["op"] == BROADCASTING
        and chosen(node)
        and shape_of(node["inputs"][0]) == shape_of(node["inputs"][1]) is not None
    ]
    for node in additions:
        node["op"] = PLAIN
    return len(additions)
