"""Measure the effect of int8 on a network's decisions, by one pass over it in fp32.

Rounding happens in few places: the tensors that are kept in int8, and the weights. Each place gets a
gate that adds its rounding error, as MXNet would make it, times a number of its own for every image.
With all gates at zero the network is fp32, and the derivative of a decision's margin by a gate is
what that place's noise does to the margin of that image, to first order: one forward and one
backward pass give all places and all images.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import autograd

from harness.methods.graph import (
    VARIABLE,
    Builder,
    Entry,
    Graph,
    use_plain_additions,
)
from harness.methods.noise import Operator, Source, winners
from harness.methods.weights import INT8, Array, Weights, rounding_error
from harness.workloads.model_files import Node

KEEPS_RANGE = ("Pooling", "Flatten", "Activation")  # int8 in and out by one scale
UNSIGNED = 255  # steps of a tensor without negative values
GATE = (1, 1)  # the shape of a gate for one image
MOST_BYTES = 2**30  # of one pass's tensors: more images than fit go in several passes
HELD = 8  # times an fp32 tensor's size that one gate holds, forward and backward


class Probe:
    """A network with a gate at every place where int8 could round: one number an image.

    Args:
        graph: the fp32 network, not fused.
        fused: the operators of the fused one.
        ranges: (low, high) of every tensor, by the name that calibration has for it.
        shape: of one image, (1, channels, height, width).
        halvings: the tensors of which other ranges are measured, and how many times each is halved;
            None: every place, with the ranges as they are.
    """

    def __init__(
        self,
        graph: Graph,
        fused: Mapping[str, Operator],
        ranges: Mapping[str, tuple[float, float]],
        shape: tuple[int, ...],
        halvings: Mapping[str, Collection[int]] | None = None,
    ) -> None:
        graph = Graph({**graph.symbol, "nodes": [dict(node) for node in graph.nodes]}, graph.params)
        use_plain_additions(graph, shape)
        self._graph, self._shapes = graph, graph.shapes(shape)
        kept = givers(fused).items()
        self._ranges = {**ranges, **{to: ranges[giver] for to, giver in kept if giver in ranges}}
        self._halvings = halvings
        self._norms_read = _read_by_norms(fused)
        self._outputs = {operator.output: name for name, operator in fused.items()}
        self._weighted = {
            operator.weighted: name for name, operator in fused.items() if operator.weighted
        }
        self._fused = fused
        self._gates: list[Source] = []
        gated = graph.rewritten(self._visit)
        self._net = gated.network()
        for parameter in self._net.collect_params().values():
            parameter.grad_req = "null"
        self._net.hybridize()
        (self._data,) = graph.inputs
        self._inputs = gated.inputs
        elements = sum(2 * int(np.prod(shape)) for shape in self._shapes.values())
        elements += sum(HELD * int(np.prod(self._gated_shape(gate))) for gate in self._gates)
        self._images = max(1, MOST_BYTES // (4 * elements))

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(self._gates)

    def measure(self, batches: Iterator[Any], images: int) -> Array:
        """Return (images, places): what each place's noise adds to an image's margin, to first order.

        Args:
            batches: of (data, label); the first ``images`` of them are taken.
        """
        parts: list[Array] = []
        left = images
        for data, _ in batches:
            wanted = min(left, len(data))
            for start in range(0, wanted, self._images):
                parts.append(self._shifts(data[start : min(start + self._images, wanted)]))
            left -= wanted
            if not left:
                break
        return np.concatenate(parts)

    def _shifts(self, data: Any) -> Array:
        count = len(data)
        gates = {_gate_name(source): mx.np.zeros((count, *GATE)) for source in self._gates}
        for gate in gates.values():
            gate.attach_grad()
        values = {**gates, self._data: data}
        with autograd.record(train_mode=False):
            scores = self._net(*(values[name] for name in self._inputs))
            first, second = winners(scores.asnumpy())
            rows = np.arange(count)
            chosen = np.zeros(scores.shape, dtype=np.float32)
            chosen[rows, first], chosen[rows, second] = 1, -1
            total = (scores * mx.np.array(chosen)).sum()
        total.backward()
        shifts = [gates[_gate_name(source)].grad.asnumpy().reshape(-1) for source in self._gates]
        return np.asarray(np.stack(shifts, axis=1), dtype=np.float64)

    def _gated_shape(self, source: Source) -> tuple[int, ...]:
        """Return the shape of what the gate adds noise to, for one image."""
        if source.kind == "weights":
            name = f"{self._fused[source.name].weighted}_output"
        else:
            operator = self._fused.get(source.name[: -len("_output")])
            name = f"{operator.output}_output" if operator else source.name
        return self._shapes[name]

    def _visit(self, builder: Builder, node: Node, at: Entry) -> Entry:
        if node["op"] == "BatchNorm":
            own = builder.nodes[at[0]]
            own["attrs"] = {**own["attrs"], "use_global_stats": "1"}  # in the backward pass too
        name = str(node["name"])
        if name in self._weighted and self._halvings is None:
            operator = self._weighted[name]
            at = self._weight_gate(builder, node, at, operator)
        tensor = self._fused[self._outputs[name]].tensor if name in self._outputs else name
        if tensor not in self._ranges:
            return at
        summed = at
        for times in (0,) if self._halvings is None else self._halvings.get(tensor, ()):
            source = Source("tensor", tensor, times)
            summed = self._gate(builder, source, summed, self._error(builder, source, at))
        return summed

    def _error(self, builder: Builder, source: Source, at: Entry) -> Entry:
        """Add what rounding a tensor adds to it, cut off at its range."""
        tensor = source.name
        low, high = halved(self._ranges[tensor], source.halvings)
        if low >= 0 and tensor not in self._norms_read:
            scale, least, most = UNSIGNED / max(high, 1e-30), 0, UNSIGNED
        else:
            scale, least, most = INT8 / max(-low, high, 1e-30), -INT8, INT8
        stem = _stem(source)
        scaled = builder.add("_mul_scalar", f"{stem}:scaled", at, scalar=scale)
        held = builder.add("clip", f"{stem}:clipped", scaled, a_min=least, a_max=most)
        rounded = builder.add("rint", f"{stem}:rounded", held)
        back = builder.add("_mul_scalar", f"{stem}:back", rounded, scalar=1 / scale)
        return builder.add("elemwise_sub", f"{stem}:error", back, at)

    def _weight_gate(self, builder: Builder, node: Node, at: Entry, operator: str) -> Entry:
        own = builder.nodes[at[0]]
        variable = builder.nodes[own["inputs"][1][0]]["name"]
        weight = self._graph.params[f"arg:{variable}"].asnumpy().astype(np.float64)
        if node["op"] == "Convolution":
            error = rounding_error(weight, self._folded(operator))
        else:  # one scale for all outputs
            error = rounding_error(weight.reshape(1, -1)).reshape(weight.shape)
        source = Source("weights", operator)
        name = _stem(source)
        builder.params[f"arg:{name}:values"] = mx.np.array(error, dtype="float32")
        values = builder.add(VARIABLE, f"{name}:values")
        attributes = {**node["attrs"], "no_bias": "1"}
        added = builder.add(node["op"], f"{name}:error", own["inputs"][0], values, **attributes)
        return self._gate(builder, source, at, added)

    def _folded(self, operator: str) -> Array | None:
        """Return what the batch norm in a fused convolution multiplies its outputs by."""
        parts = self._fused[operator].parts
        for node in self._graph.nodes:
            if node["op"] == "BatchNorm" and node["name"] in parts:
                return Weights(self._graph).normalising(node)
        return None

    def _gate(self, builder: Builder, source: Source, at: Entry, error: Entry) -> Entry:
        self._gates.append(source)
        gate = builder.add(VARIABLE, _gate_name(source))
        still = builder.add("BlockGrad", f"{_gate_name(source)}:still", error)
        # as a product of matrices, whose derivative takes less time than that of broadcast_mul
        flat = builder.add("Reshape", f"{_gate_name(source)}:flat", still, shape=(0, 1, -1))
        product = builder.add("batch_dot", f"{_gate_name(source)}:product", gate, flat)
        shape = (0, *self._gated_shape(source)[1:])
        let_in = builder.add("Reshape", f"{_gate_name(source)}:let_in", product, shape=shape)
        return builder.add("elemwise_add", f"{_gate_name(source)}:sum", at, let_in)


def _stem(source: Source) -> str:
    return f"{source.kind}:{source.name}" + f":{source.halvings}" * bool(source.halvings)


def _gate_name(source: Source) -> str:
    return f"{_stem(source)}:gate"


def givers(fused: Mapping[str, Operator]) -> dict[str, str]:
    """Return the tensors that share another one's range, by name: pooling and the like keep it."""
    owners: dict[str, str] = {}
    for operator in fused.values():
        if operator.node["op"] in KEEPS_RANGE:
            owners[operator.tensor] = owners.get(operator.reads[0], operator.reads[0])
    return owners


def halved(limits: tuple[float, float], times: int) -> tuple[float, float]:
    """Return a range with its larger side halved ``times`` times."""
    largest = max(-limits[0], limits[1]) / 2**times
    return max(limits[0], -largest), min(limits[1], largest)


def _read_by_norms(fused: Mapping[str, Operator]) -> set[str]:
    """Return the tensors that a batch norm reads, pooled or not: int8 norms read signed values."""
    read: set[str] = set()
    for operator in reversed(list(fused.values())):
        passes = operator.node["op"] == "Pooling" and operator.tensor in read
        if operator.node["op"] == "BatchNorm" or passes:
            read.add(operator.reads[0])
    return read
