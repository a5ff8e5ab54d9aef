"""Cross-layer equalisation and bias correction, before any quantisation and without any data.

After Nagel, van Baalen, Blankevoort and Welling, "Data-Free Quantization Through Weight Equalization
and Bias Correction", ICCV 2019. They equalise chains of two convolutions. Here all tensors that must
share their channels' scales form one group, however they branch: ReLU, pooling and addition pass a
positive scale through, so a whole stage of a residual network is a group. The scales are powers of
two, so that weights lose no bit; docs/beyond.md has the derivation and what it brings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import norm

from harness.methods.base import Context, Method, Optimized
from harness.methods.graph import Entry, Graph
from harness.methods.weights import INT8, Array, Weights, along, is_set, rounding_error, rows
from harness.workloads.model_files import Node

SUMS = {"_npi_add", "elemwise_add"}
HOMOGENEOUS = {"Activation", "Pooling", "Dropout", "Flatten", *SUMS}  # f(s x) = s f(x) for s > 0
SCALING = {"Convolution", "FullyConnected", "BatchNorm"}  # can multiply channels, and divide by it
SPREAD = 3.0  # a channel's range is its mean and so many standard deviations
LEAST = 2.0**-20  # of the largest: what a channel that is never on counts as


@dataclass
class Equalized:
    """Another method on the equalised network.

    Attributes:
        method: gets the network; its cost and this one's are one.
        bias_correction: shift means by what rounding the weights to int8 shifts them.
    """

    method: Method
    bias_correction: bool = True

    def optimize(self, context: Context) -> Optimized:
        """Raise what the other method raises."""
        shape = next(iter(context.tuning))[0].shape
        graph = Graph.of(context.net, (1, *shape[1:]))
        groups = equalize(graph)
        corrected = correct_bias(graph) if self.bias_correction else 0
        optimized = self.method.optimize(replace(context, net=graph.network()))
        facts = {"equalized_groups": groups, "bias_corrected": corrected}
        warnings = [] if groups else ["the network has no tensors that could be equalised"]
        return replace(
            optimized,
            quantization={**optimized.quantization, **facts},
            warnings=[*optimized.warnings, *warnings],
        )


@dataclass
class _Group:
    """Tensors that share one scale per channel: where it is multiplied in, and where divided out."""

    entries: list[Node] = field(default_factory=list)
    exits: list[Node] = field(default_factory=list)
    fixed: bool = False


def equalize(graph: Graph) -> int:
    """Scale channels so that one scale per tensor fits them all; the network's function stays the same.

    Where only batch norms read a group, every channel gets the same range r, since they take any
    scale back for nothing; where convolutions do, s = sqrt(w / r), so that neither activations nor
    the weights w that read them span more than they must. Ranges come from the batch norms' own
    statistics.

    Args:
        graph: its weights are changed.

    Returns:
        how many groups were scaled.
    """
    weights = Weights(graph)
    scaled = 0
    for group in _groups(graph):
        if group.fixed or not group.entries or not group.exits:
            continue
        ranges = _ranges(group, weights)
        if ranges is None:
            continue
        readers = _readers(group, weights)
        ideal = 1 / ranges if readers is None else np.sqrt(readers / ranges)
        scale = 2.0 ** np.round(np.log2(ideal / ideal.min()))
        if not np.all(scale == 1):
            _apply(group, weights, scale)
            scaled += 1
    return scaled


def _groups(graph: Graph) -> list[_Group]:
    nodes = graph.nodes
    used: dict[int, int] = {}
    for node in nodes:
        for at, *_ in node["inputs"]:
            used[at] = used.get(at, 0) + 1
    leader = list(range(len(nodes)))

    def find(at: int) -> int:
        while leader[at] != at:
            at = leader[at]
        return at

    def passes(node: Node) -> bool:
        if node["op"] == "Activation":
            return bool(node["attrs"]["act_type"] == "relu")
        return node["op"] in HOMOGENEOUS

    def scales(node: Node) -> bool:
        alone = all(used[at] == 1 for at, *_ in node["inputs"][1:])
        plain = node["op"] != "BatchNorm" or node["attrs"]["axis"] == "1"
        return node["op"] in SCALING and alone and plain

    for at, node in enumerate(nodes):
        if passes(node):
            for source, *_ in node["inputs"]:
                leader[find(source)] = find(at)
    groups = {find(at): _Group() for at in range(len(nodes))}
    for at, node in enumerate(nodes):
        data: Iterable[Entry] = node["inputs"]
        if scales(node):
            own = groups[find(at)]
            own.entries.append(node)
            own.fixed |= node["op"] == "BatchNorm" and is_set(node, "fix_gamma")
            source = groups[find(node["inputs"][0][0])]
            source.exits.append(node)
            source.fixed |= int(node.get("attrs", {}).get("num_group", 1)) != 1
        elif not passes(node):
            groups[find(at)].fixed = True  # an input, a weight, or an operator that is not linear
            for source, *_ in data:
                groups[find(source)].fixed = True
    for at, *_ in graph.heads:
        groups[find(at)].fixed = True
    return list(groups.values())


def _ranges(group: _Group, weights: Weights) -> Array | None:
    """Return each channel's range (channels,), or None if the shapes within the group differ."""
    channel_ranges = [
        np.abs(weights.get(node, 3))
        + SPREAD * np.sqrt(np.maximum(weights.get(node, 4) + float(node["attrs"]["eps"]), 0))
        for node in group.exits
        if node["op"] == "BatchNorm"
    ]
    channel_ranges += [
        _rectified_range(weights.get(node, 2), weights.gamma(node))
        for node in group.entries
        if node["op"] == "BatchNorm"
    ]
    if not channel_ranges:
        channel_ranges = [np.abs(rows(weights.get(node, 1))).max(axis=1) for node in group.entries]
    widths = {len(channels) for channels in channel_ranges}
    widths |= {
        weights.get(node, 1).shape[1] for node in group.exits if node["op"] != "BatchNorm"
    } | {len(weights.get(node, 1)) for node in group.entries}
    if len(widths) != 1:
        return None
    ranges = np.max(channel_ranges, axis=0)
    return np.asarray(np.maximum(ranges, LEAST * ranges.max()))


def _rectified_range(beta: Array, gamma: Array) -> Array:
    spread = SPREAD * np.abs(gamma)
    return np.maximum(beta + spread, spread / INT8)


def _readers(group: _Group, weights: Weights) -> Array | None:
    """Return the size of the weights that read each channel, relative to those of their output."""
    sizes = []
    for node in group.exits:
        if node["op"] != "BatchNorm":
            weight = np.abs(weights.get(node, 1))
            columns = weight.reshape(*weight.shape[:2], -1).max(axis=2)
            rows = columns.max(axis=1, keepdims=True)
            sizes.append((columns / np.where(rows == 0, 1, rows)).max(axis=0))
    if not sizes:
        return None
    size = np.max(sizes, axis=0)
    return np.asarray(np.maximum(size, LEAST * size.max()))


def _apply(group: _Group, weights: Weights, scale: Array) -> None:
    for node in group.entries:
        has_bias = node["op"] == "BatchNorm" or not is_set(node, "no_bias")
        for position in [1, 2] if has_bias else [1]:
            values = weights.get(node, position)
            weights.set(node, position, values * along(scale, values, 0))
    for node in group.exits:
        if node["op"] == "BatchNorm":
            epsilon = float(node["attrs"]["eps"])
            weights.set(node, 3, weights.get(node, 3) * scale)
            # may be negative for a channel that is nearly always 0; only its sum with epsilon counts
            weights.set(node, 4, (weights.get(node, 4) + epsilon) * scale**2 - epsilon)
        else:
            values = weights.get(node, 1)
            weights.set(node, 1, values / along(scale, values, 1))


def correct_bias(graph: Graph) -> int:
    """Shift the means of batch norms by the error of rounding the weights before them to int8.

    A convolution that reads a batch norm (and ReLU) knows its inputs' means: ``beta * cdf(b) +
    |gamma| * pdf(b)`` with b = beta / |gamma|, the mean of a rectified Gaussian (Nagel et al., section
    4.2). Weights get one scale per output channel, after the batch norm is folded in, as MXNet's fused
    convolutions do.

    Args:
        graph: its weights are changed; the fp32 function with them.

    Returns:
        how many convolutions were corrected.
    """
    weights, nodes = Weights(graph), graph.nodes
    readers: dict[int, list[int]] = {}
    for at, node in enumerate(nodes):
        for source, *_ in node["inputs"]:
            readers.setdefault(source, []).append(at)
    shifts: dict[int, Array] = {}
    corrected = 0
    for at, node in enumerate(nodes):
        if node["op"] != "Convolution" or int(node["attrs"]["num_group"]) != 1:
            continue
        means = _input_means(node, nodes, weights)
        norms = _norms_behind(at, nodes, readers)
        if means is None or not norms:
            continue
        folded = readers[at] == norms
        factor = weights.normalising(nodes[norms[0]]) if folded else None
        error = rounding_error(weights.get(node, 1), factor)
        shift = error.reshape(*error.shape[:2], -1).sum(axis=2) @ means
        for reader in norms:
            shifts[reader] = shifts.get(reader, np.zeros_like(shift)) + shift
        corrected += 1
    for at, shift in shifts.items():
        weights.set(nodes[at], 3, weights.get(nodes[at], 3) + shift)
    return corrected


def _input_means(node: Node, nodes: list[Node], weights: Weights) -> Array | None:
    source = nodes[node["inputs"][0][0]]
    rectified = source["op"] == "Activation" and source["attrs"]["act_type"] == "relu"
    normed = nodes[source["inputs"][0][0]] if rectified else source
    if normed["op"] != "BatchNorm":
        return None
    beta, gamma = weights.get(normed, 2), np.abs(weights.gamma(normed))
    if not rectified:
        return beta
    ratio = beta / np.maximum(gamma, np.finfo(np.float32).tiny)
    return np.asarray(beta * norm.cdf(ratio) + gamma * norm.pdf(ratio))


def _norms_behind(at: int, nodes: list[Node], readers: dict[int, list[int]]) -> list[int]:
    """Return the batch norms that read a node through additions only; none if others read it too."""
    norms: list[int] = []
    for reader in readers.get(at, []):
        if nodes[reader]["op"] == "BatchNorm":
            norms.append(reader)
        elif nodes[reader]["op"] in SUMS:
            behind = _norms_behind(reader, nodes, readers)
            if not behind:
                return []
            norms += behind
        else:
            return []
    return list(dict.fromkeys(norms))
