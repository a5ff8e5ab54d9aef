"""The network as INC's adaptor and MXNet's quantisation pass see it: ranges, noise, configurations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from neural_compressor.adaptor import mxnet as inc_adaptor
from neural_compressor.adaptor.mxnet_utils.util import (
    CollectorBase,
    quantize_sym_model,
    run_forward,
)

from harness.errors import Refused
from harness.methods.graph import Graph, tensor_name
from harness.methods.noise import Noise, Operator, Source, noise_sources, operators
from harness.methods.probe import Probe, givers
from harness.methods.roofline import cycles, multiplications
from harness.methods.rounding import Limits, halved
from harness.methods.shared_calibration import MEASURED
from harness.workloads.model_files import Node

LOUD = 12  # tensors whose ranges are looked at
RANKING = 8  # images that say which tensors are the loudest

Ranges = Mapping[str, Limits]


@dataclass(frozen=True)
class Choice:
    """A configuration of the quantised network.

    Attributes:
        excluded: the operators that are kept out of int8.
        halvings: how many times a tensor's range is halved, by tensor: (name, times).
    """

    excluded: frozenset[str] = frozenset()
    halvings: frozenset[tuple[str, int]] = frozenset()

    def without(self, operators: frozenset[str]) -> Choice:
        return replace(self, excluded=self.excluded | operators)

    def halved(self, tensor: str, times: int) -> Choice:
        other = {pair for pair in self.halvings if pair[0] != tensor}
        return replace(self, halvings=frozenset(other | ({(tensor, times)} if times else set())))


class Network:
    """The fp32 network in INC's adaptor, and its properties.

    Raises:
        Refused: an operator has several outputs, so its noise is no one tensor's.
    """

    def __init__(self, model: Any, adaptor: Any, data: Any) -> None:
        self._model, self._adaptor, self._data = model, adaptor, data
        # looked up in the module, which ``inc.exported_once`` patches
        self._fused, self._loader = inc_adaptor.prepare_model_data(model, adaptor.ctx, data)
        self._shape = (1, *next(iter(data))[0].shape[1:])
        self.graph = Graph.of(model.model, self._shape)
        fused = json.loads(self._fused[0].tojson())
        self.operators: dict[str, Operator] = operators(fused["nodes"])
        self._scores = tensor_name(fused["nodes"][fused["heads"][0][0]])
        shapes = self.graph.shapes(self._shape)
        _require_one_output(self.operators, shapes)
        self._elements = {
            operator.tensor: int(np.prod(shapes[f"{operator.output}_output"]))
            for operator in self.operators.values()
        }
        self._macs = multiplications(self.operators, shapes, self.graph.nodes)
        self._givers = givers(self.operators)
        self._tensors = self._by_calibrated_name()
        self._quantised: dict[frozenset[str], tuple[frozenset[Source], float]] = {}

    def calibrate(self, batches: int) -> tuple[Ranges, Noise]:
        """Return every tensor's range, and the noise without any place, by one pass for all trials."""
        collector = _Ranges(self._tensors, self._scores)
        run_forward(self._fused, self._adaptor.ctx, self._loader, iter([True] * batches), collector)
        cache = self._model.calib_cache
        if cache.get("batches") != batches:
            cache.update(batches=batches, kl={}, minmax={})
        cache[MEASURED] = dict(collector.ranges)
        scores = np.concatenate(collector.scores)
        noise = Noise.of(scores, self._data.labels[: len(scores)])
        limits = {
            self._tensors[name]: (float(low), float(high))
            for name, (low, high) in collector.ranges.items()
        }
        return limits, noise

    def set_ranges(self, choice: Choice) -> None:
        """Put the choice's ranges into INC's cache."""
        cache = self._model.calib_cache
        halvings = dict(choice.halvings)
        for name, measured in cache[MEASURED].items():
            limits = halved(measured, halvings.get(self._tensors[name], 0))
            cache["minmax"][name] = tuple(np.float32(limit) for limit in limits)

    def with_places(self, noise: Noise, ranges: Ranges, images: int) -> Noise:
        """Return the noise with every place, and with smaller ranges of the loudest tensors.

        The first images say which tensors are the loudest, so for these images every tensor's smaller
        ranges are measured.
        """
        probe = Probe(self.graph, self.operators, ranges, self._shape)
        ranking = min(RANKING, images)
        every = {place.source.name for place in probe.places if place.source.kind == "tensor"}
        all_sources = probe.sources(every)
        first = probe.measure(probe.passes(self._data, ranking), every)
        loudest = self._loudest(noise.joined(all_sources, first))
        loud = {name for name in every if self.ranged(name) in loudest}
        sources = probe.sources(loud)
        columns = [all_sources.index(source) for source in sources]
        others = probe.measure(probe.passes(self._data, images, ranking), loud)
        return noise.joined(sources, np.concatenate([first[:, columns], others]))

    def _loudest(self, noise: Noise) -> list[str]:
        """Return the tensors whose ranges are looked at: no weights, no input."""
        loudest = (self.ranged(source.name) for source in noise.loudest(self.present(Choice())))
        written = (name for name in loudest if name in self._elements)
        return list(dict.fromkeys(written))[:LOUD]

    def present(self, choice: Choice) -> frozenset[Source]:
        """Return the places where the network rounds, with their ranges."""
        halvings = dict(choice.halvings)

        def as_chosen(source: Source) -> Source:
            times = halvings.get(self.ranged(source.name), 0) if source.kind == "tensor" else 0
            return replace(source, halvings=times)

        return frozenset(as_chosen(node) for node in self.quantised(choice.excluded)[0])

    def ranged(self, tensor: str) -> str:
        """Return the tensor whose range a tensor shares."""
        return self._givers.get(tensor, tensor)

    def quantised(self, excluded: frozenset[str]) -> tuple[frozenset[Source], float]:
        """Return the places where the network rounds without these operators, and its cost in cycles."""
        if excluded not in self._quantised:
            choice = {
                "excluded_symbols": sorted(excluded),
                "quantized_dtype": "auto",
                "quantize_mode": "smart",
                "quantize_granularity": "tensor-wise",
            }
            (symbol, _, _), calibrated = quantize_sym_model(self._fused, self._adaptor.ctx, choice)
            nodes: list[Node] = json.loads(symbol.tojson())["nodes"]
            cost = cycles(nodes, self._macs, self._elements)
            tensors = [self._tensors.get(name, name) for name in calibrated]
            self._quantised[excluded] = (noise_sources(nodes, tensors), cost)
        return self._quantised[excluded]

    def _by_calibrated_name(self) -> dict[str, str]:
        """Return the tensors by the names that calibration has for them.

        It calls the output of an operator whose outputs have no names ``node_4_0``, and the network's
        input as it is called by each operator that reads it, such as ``node_0_data``.
        """
        tensors = {name: name for name in self.graph.inputs}
        for name, operator in self.operators.items():
            tensors[operator.tensor] = tensors[f"{name}_0"] = operator.tensor
            for read in operator.reads[:1]:
                if read in self.graph.inputs:
                    tensors[f"{name}_data"] = read
        return tensors


def _require_one_output(
    operators: Mapping[str, Operator], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    for name, operator in operators.items():
        if f"{operator.output}_output" not in shapes:  # MXNet numbers the outputs of such operators
            raise Refused(
                f"the network's operator {name} ({operator.node['op']}) has several outputs, and the "
                "strategy sensitivity weighs operators with one: take another strategy, such as basic"
            )


class _Ranges(CollectorBase):  # type: ignore[misc]
    """Minimum and maximum of tensors, as INC collects them, by NumPy: many times as fast.

    Args:
        tensors: those that are wanted, by the names that calibration has for them.
        scores: the network's output among them.

    Attributes:
        ranges: (low, high) by the name that calibration has.
        scores: the network's output, one array a batch.
    """

    def __init__(self, tensors: Mapping[str, str], scores: str) -> None:
        self._tensors, self._scores = tensors, scores
        self.scores: list[npt.NDArray[Any]] = []
        self.ranges: dict[str, tuple[np.float32, np.float32]] = {}

    def collect_gluon(self, name: str, kind: str, array: Any) -> None:
        if self._tensors.get(name) == self._scores:
            self.scores.append(array.asnumpy())
        if name in self._tensors:
            values = array.asnumpy()
            low, high = self.ranges.get(name, (np.float32(np.inf), np.float32(-np.inf)))
            self.ranges[name] = (min(low, values.min()), max(high, values.max()))
