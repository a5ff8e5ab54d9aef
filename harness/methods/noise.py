"""The places where int8 rounds in a network, and the effect on its decisions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from harness.methods.graph import VARIABLE, tensor_name
from harness.methods.weights import Array
from harness.workloads.model_files import Node

WITH_WEIGHTS = ("Convolution", "FullyConnected")


@dataclass(frozen=True)
class Source:
    """One place where int8 rounds.

    Attributes:
        kind: ``tensor`` or ``weights``.
        name: of the tensor, as calibration calls it, or of the operator that has the weights.
        halvings: how many times the tensor's range is halved: steps are finer, and what lies
            outside is cut off.
    """

    kind: str
    name: str
    halvings: int = 0


@dataclass(frozen=True)
class Operator:
    """An operator of the fused network, as INC knows it.

    Attributes:
        node: its node in the fused symbol.
        output: the unfused node that computes its output.
        weighted: the unfused convolution or fully connected layer in it, if there is one.
        parts: the names of all unfused nodes in it.
        reads: the tensors that it reads, weights among them.
    """

    node: Node
    output: str
    weighted: str | None
    parts: frozenset[str]
    reads: tuple[str, ...]

    @property
    def tensor(self) -> str:
        return tensor_name(self.node)


def operators(fused: Sequence[Node]) -> dict[str, Operator]:
    """Return the operators of a fused symbol's nodes by name."""
    by_name = {}
    for node in fused:
        if node["op"] == VARIABLE:
            continue
        inner = [node]
        output = node["name"]
        if "subgraphs" in node:
            (subgraph,) = node["subgraphs"]
            inner = subgraph["nodes"]
            output = inner[subgraph["heads"][0][0]]["name"]
        weighted = next((part["name"] for part in inner if part["op"] in WITH_WEIGHTS), None)
        reads = tuple(tensor_name(fused[at]) for at, *_ in node["inputs"])
        parts = frozenset(part["name"] for part in inner if part["op"] != VARIABLE)
        by_name[str(node["name"])] = Operator(node, str(output), weighted, parts, reads)
    return by_name


def noise_sources(quantized: Sequence[Node], calibrated: Collection[str]) -> frozenset[Source]:
    """Return the places where a quantised symbol rounds, as MXNet's own pass decides them.

    Args:
        quantized: the nodes that ``quantize_graph`` gives, before it fuses them.
        calibrated: the tensors that it wants ranges for.
    """
    readers: dict[int, set[str]] = {}
    for node in quantized:
        for at, *_ in node["inputs"]:
            readers.setdefault(at, set()).add(node["op"])
    tensors = set(calibrated)
    weights = set()
    for at, node in enumerate(quantized):
        name = str(node["name"])
        # the operator that requantises and the one that turns it to fp32 become one: no rounding
        if node["op"] == "_contrib_requantize" and readers.get(at) == {"_contrib_dequantize"}:
            tensors.discard(f"{name[len('requantize_') :]}_output")
        if not name.startswith("quantized_"):
            continue
        plain = name[len("quantized_") :]
        if node["op"].startswith("_sg_") or "conv" in node["op"] or "fully" in node["op"]:
            weights.add(plain)
        elif node["op"] == "_contrib_quantized_pooling" and node["attrs"]["pool_type"] == "avg":
            tensors.add(f"{plain}_output")
    return frozenset(
        {Source("tensor", name) for name in tensors} | {Source("weights", name) for name in weights}
    )


def winners(scores: Array) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return which class has the highest and which the second highest of (images, classes) scores."""
    second, first = np.argsort(scores, axis=1, kind="stable")[:, -2:].T
    return first, second


@dataclass(frozen=True)
class Noise:
    """The effect of each place's noise on decisions.

    Few images are near enough to the border for their decision to change. So the leads of many images,
    which one pass through the network gives, are held against the noise of a few, which is dear.

    Attributes:
        margins: by how much the winner's score leads the second's in fp32, (images,).
        gains: +1 where the winner is right, -1 where the second would be, 0 elsewhere, (images,).
        sources: the places, (places,).
        shifts: what the place's noise adds to an image's margin, to first order, (probed, places).
    """

    margins: Array
    gains: Array
    sources: tuple[Source, ...] = ()
    shifts: Array = field(default_factory=lambda: np.zeros((0, 0)))

    @classmethod
    def of(cls, scores: Array, labels: npt.NDArray[Any]) -> Noise:
        """Return the noise without any place.

        Args:
            scores: of the fp32 network, (images, classes).
            labels: (images,).
        """
        first, second = winners(scores)
        rows = np.arange(len(scores))
        margins = scores[rows, first] - scores[rows, second]
        gains = (first == labels).astype(float) - (second == labels)
        return cls(margins.astype(float), gains)

    def joined(self, sources: Sequence[Source], shifts: Array) -> Noise:
        """Return the noise with more places, which were measured on the same images."""
        both = np.concatenate([self.shifts.reshape(len(shifts), -1), shifts], axis=1)
        return replace(self, sources=(*self.sources, *sources), shifts=both)

    def flips(self, present: Collection[Source]) -> float:
        """Return the share of images whose winner is expected to change.

        The shifts of different places are taken as independent with mean zero, so a margin's
        variance is the sum of their squares.
        """
        return float(self._chances(present).mean())

    def loss(self, present: Collection[Source]) -> float:
        """Return the top-1 that is expected to be lost: right winners lost less wrong ones lost."""
        return float((self._chances(present) * self.gains).mean())

    def power(self) -> dict[Source, float]:
        """Return each place's mean squared shift."""
        return dict(zip(self.sources, (self.shifts**2).mean(axis=0).tolist()))

    def loudest(self, present: Collection[Source]) -> list[Source]:
        """Return the places by falling power."""
        power = self.power()
        return sorted(
            (source for source in self.sources if source in present), key=lambda s: -power[s]
        )

    def halvings(self, tensor: str) -> list[int]:
        """Return how many times a tensor's range can be halved, with 0 if that was measured."""
        return [
            source.halvings
            for source in self.sources
            if (source.kind, source.name) == ("tensor", tensor)
        ]

    def _chances(self, present: Collection[Source]) -> Array:
        """Return each image's chance of another winner, over the probed images' noise, (images,)."""
        columns = [at for at, source in enumerate(self.sources) if source in present]
        deviation = np.sqrt((self.shifts[:, columns] ** 2).sum(axis=1))
        deviation = np.maximum(deviation, np.finfo(np.float64).tiny)
        return np.asarray(ndtr(-self.margins[:, None] / deviation).mean(axis=1))
