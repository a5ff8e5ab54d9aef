"""Measure the effect of int8 on a network's decisions, by one pass over it in fp32.

Rounding happens in few places: the tensors that are kept in int8, and the weights. A forward and a
backward pass give every tensor and the derivative of each image's decision, its margin, by it. What
rounding adds to a tensor, as MXNet would round it, is computed beside the network. Its inner product
with the derivative is what that place's noise does to the margin of that image, to first order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import autograd

from harness.methods import rounding
from harness.methods.folding import without_norms
from harness.methods.graph import BROADCASTING, PLAIN, Graph, use_plain_additions
from harness.methods.noise import WITH_WEIGHTS, Operator, Source, winners
from harness.methods.rounding import Limits
from harness.methods.stepwise import Stepwise, single_operator
from harness.methods.weights import Array, rounding_error
from harness.workloads.model_files import Node
from harness.workloads.weights_file import MxArray

KEEPS_RANGE = ("Pooling", "Flatten", "Activation")  # int8 in and out by one scale
MOST_BYTES = 2**28  # of one pass's tensors: more images than fit go in several passes
HELD = 2  # a tensor and its gradient
HALVINGS = range(1, 9)


@dataclass(frozen=True)
class Place:
    """Where a place is in the network.

    Attributes:
        source: the place.
        output: the node whose output is rounded, or whose weights are.
        gradient: the node whose output's gradient the place's errors are multiplied with.
    """

    source: Source
    output: str
    gradient: str


class Probe:
    """A network that tells the effect of rounding at every place where int8 could round.

    Args:
        graph: the fp32 network, not fused.
        fused: the operators of the fused one.
        ranges: (low, high) of every tensor, by the name that calibration has for it.
        shape: of one image, (1, channels, height, width).

    Attributes:
        graph: the network that runs.
        places: all of them.
        ranges: (low, high) of every tensor, those that share another one's among them.
        norms_read: the tensors that a batch norm reads: their steps are signed.
        images: how many go in one pass.
    """

    def __init__(
        self,
        graph: Graph,
        fused: Mapping[str, Operator],
        ranges: Mapping[str, Limits],
        shape: tuple[int, ...],
    ) -> None:
        graph = Graph({**graph.symbol, "nodes": [dict(node) for node in graph.nodes]}, graph.params)
        use_plain_additions(graph, shape)
        parts = [operator.parts for operator in fused.values()]
        self.graph = without_norms(
            graph, shape, lambda *names: any(part.issuperset(names) for part in parts)
        )
        self._shapes = self.graph.shapes(shape)
        self._nodes: dict[str, Node] = {node["name"]: node for node in self.graph.nodes}
        kept = givers(fused).items()
        self.ranges = {**ranges, **{to: ranges[giver] for to, giver in kept if giver in ranges}}
        self.norms_read = _read_by_norms(fused)
        self.places = tuple(self._located(fused))
        self._errors = {
            place.source: self._error(place)
            for place in self.places
            if place.source.kind == "weights"
        }
        self._steps = Stepwise(self.graph, {place.gradient for place in self.places})
        weights = {key.split(":", 1)[1] for key in self.graph.params}  # there once for all images
        elements = sum(
            HELD * int(np.prod(size)) for name, size in self._shapes.items() if name not in weights
        )
        self.images = max(1, MOST_BYTES // (4 * elements))

    def passes(self, batches: Iterable[Any], end: int, start: int = 0) -> Iterator[MxArray]:
        """Yield the images from ``start`` to ``end`` of batches of (data, label), pass by pass."""
        before = 0
        for data, _ in batches:
            last = min(end - before, len(data))
            for first in range(max(start - before, 0), last, self.images):
                yield data[first : min(first + self.images, last)]
            before += len(data)
            if before >= end:
                return

    def sources(self, halved: Collection[str]) -> tuple[Source, ...]:
        """Return the columns that ``measure`` returns."""
        plain = tuple(place.source for place in self.places)
        return plain + tuple(
            Source("tensor", source.name, times)
            for source in plain
            if source.kind == "tensor" and source.name in halved
            for times in HALVINGS
        )

    def measure(self, passes: Iterable[MxArray], halved: Collection[str] = ()) -> Array:
        """Return (images, places): what each place's noise adds to an image's margin, to first order.

        Args:
            passes: images; see ``passes``.
            halved: the tensors of which smaller ranges are measured, too.
        """
        sources = self.sources(halved)
        shifts = [np.zeros((0, len(sources)))]
        shifts += [self._shifts(data, sources) for data in passes]
        return np.concatenate(shifts)

    def _shifts(self, data: MxArray, sources: Collection[Source]) -> Array:
        tensors = self.differentiated(data)
        halvings: dict[str, list[int]] = {}
        for source in sources:
            if source.kind == "tensor":
                halvings.setdefault(source.name, []).append(source.halvings)
        columns: dict[Source, Array] = {}
        gradients: dict[str, Any] = {}  # of one operator: its weights and its output may share one
        for place in self.places:
            name = place.source.name
            if place.gradient not in gradients:
                gradients = {place.gradient: tensors[place.gradient].grad.asnumpy()}
            gradient = gradients[place.gradient]
            if place.source.kind == "weights":
                added = self.weight_noise(place, tensors)
                columns[place.source] = np.einsum(
                    "ij,ij->i", added.reshape(len(data), -1), gradient.reshape(len(data), -1)
                )
                continue
            by_range = rounding.shifts(
                tensors[place.output].asnumpy(),
                gradient,
                self.ranges[name],
                name in self.norms_read,
                halvings[name],
            )
            for times, column in zip(halvings[name], by_range.T):
                columns[Source("tensor", name, times)] = column
        return np.stack([columns[source] for source in sources], axis=1).astype(np.float64)

    def differentiated(self, data: MxArray) -> dict[str, MxArray]:
        """Return every tensor by its node; those at places have the margins' gradient."""
        rows = np.arange(len(data))
        # as in training: else max pooling does not keep where the maxima were, for its backward pass
        with autograd.record(train_mode=True):
            tensors = self._steps(data)
            scores = tensors[self.head]
            first, second = winners(scores.asnumpy())
            chosen = np.zeros(scores.shape, dtype=np.float32)
            chosen[rows, first], chosen[rows, second] = 1, -1
            total = (scores * mx.np.array(chosen)).sum()
        total.backward()
        return tensors

    @property
    def head(self) -> str:
        """The node that computes the scores."""
        return str(self.graph.nodes[self.graph.heads[0][0]]["name"])

    def weight_noise(self, place: Place, tensors: Mapping[str, MxArray]) -> Any:
        """Return what rounding a place's weights adds to the output of their operator."""
        operator, error = self._errors[place.source]
        read = self.graph.nodes[self._nodes[place.output]["inputs"][0][0]]["name"]
        return operator(tensors[read], error).asnumpy()

    def _located(self, fused: Mapping[str, Operator]) -> Iterator[Place]:
        """Yield the places of a fused network's operators."""
        for name in self.graph.inputs:
            if name in self.ranges:
                yield Place(Source("tensor", name), name, name)
        for name, operator in fused.items():
            gradient = operator.output
            if operator.weighted:
                # a batch norm that is folded has taken the convolution's place
                weighted = next(
                    node["name"]
                    for node in self.graph.nodes
                    if node["name"] in operator.parts and node["op"] in WITH_WEIGHTS
                )
                yield Place(Source("weights", name), weighted, weighted)
                if self._passes_errors(operator, weighted):
                    gradient = weighted
            if operator.tensor in self.ranges:
                yield Place(Source("tensor", operator.tensor), operator.output, gradient)

    def _passes_errors(self, operator: Operator, weighted: str) -> bool:
        """Return whether the gradient at the weighted node does for the operator's output as well.

        An addition passes it on. A ReLU passes it where its output is not zero, and zeros do not round.
        """
        between = [self._nodes[part] for part in operator.parts & {*self._nodes} - {weighted}]
        same = self._shapes[f"{weighted}_output"] == self._shapes[f"{operator.output}_output"]
        return same and all(
            node["op"] in (BROADCASTING, PLAIN) or node.get("attrs", {}).get("act_type") == "relu"
            for node in between
        )

    def _error(self, place: Place) -> tuple[Any, MxArray]:
        """Return a weighted operator without bias, and the error of its rounded weights."""
        node = self._nodes[place.output]
        variable = self.graph.nodes[node["inputs"][1][0]]["name"]
        weight = self.graph.params[f"arg:{variable}"].asnumpy().astype(np.float64)
        if node["op"] == "Convolution":
            error = rounding_error(weight)
        else:  # one scale for all outputs
            error = rounding_error(weight.reshape(1, -1)).reshape(weight.shape)
        alone = {**node, "attrs": {**node["attrs"], "no_bias": "1"}, "inputs": node["inputs"][:2]}
        return single_operator(self.graph, alone), mx.np.array(error, dtype="float32")


def givers(fused: Mapping[str, Operator]) -> dict[str, str]:
    """Return the tensors that share another one's range, by name: pooling and the like keep it."""
    owners: dict[str, str] = {}
    for operator in fused.values():
        if operator.node["op"] in KEEPS_RANGE:
            owners[operator.tensor] = owners.get(operator.reads[0], operator.reads[0])
    return owners


def _read_by_norms(fused: Mapping[str, Operator]) -> set[str]:
    """Return the tensors that a batch norm reads, pooled or not: int8 norms read signed values."""
    read: set[str] = set()
    for operator in reversed(list(fused.values())):
        passes = operator.node["op"] == "Pooling" and operator.tensor in read
        if operator.node["op"] == "BatchNorm" or passes:
            read.add(operator.reads[0])
    return read
