"""Which operators to keep out of int8: configurations compared before any is made.

``Network`` asks INC's adaptor and MXNet's quantisation pass; ``Exclusion`` searches.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from neural_compressor.adaptor import mxnet as inc_adaptor
from neural_compressor.adaptor.mxnet_utils.util import (
    CollectorBase,
    quantize_sym_model,
    run_forward,
)

from harness.methods.graph import Graph, Node
from harness.methods.noise import Noise, Operator, Source, operators, sources_of
from harness.methods.probe import Probe
from harness.methods.roofline import cycles, multiplications

Excluded = frozenset[str]
LOOKED_AT = 6  # of the loudest places that are left, at every step


class Network:
    """The fp32 network as INC's adaptor has it, and what can be asked of it."""

    def __init__(self, model: Any, adaptor: Any, data: Any) -> None:
        self._model, self._adaptor, self._data = model, adaptor, data
        # by the module, where ``inc._exported_once`` has put what it keeps
        self._fused, self._loader = inc_adaptor.prepare_model_data(model, adaptor.ctx, data)
        self._shape = (1, *next(iter(data))[0].shape[1:])
        self.graph = Graph.of(model.model, self._shape)
        self.operators: dict[str, Operator] = operators(
            json.loads(self._fused[0].tojson())["nodes"]
        )
        shapes = self.graph.shapes(self._shape)
        self._elements = {
            each.tensor: int(np.prod(shapes[f"{each.output}_output"]))
            for each in self.operators.values()
        }
        self._macs = multiplications(self.operators, shapes, self.graph.nodes)
        self._quantised: dict[Excluded, tuple[frozenset[Source], float]] = {}

    def calibrate(self, batches: int) -> dict[str, tuple[float, float]]:
        """Return every tensor's range, which INC will find in its cache: one pass for all trials."""
        wanted = {each.tensor for each in self.operators.values()} | set(self.graph.inputs)
        collector = _Ranges(wanted)
        run_forward(self._fused, self._adaptor.ctx, self._loader, iter([True] * batches), collector)
        cache = self._model.calib_cache
        if cache.get("batches") != batches:
            cache.update(batches=batches, kl={}, minmax={})
        cache["minmax"].update(collector.found)
        return {name: (float(low), float(high)) for name, (low, high) in collector.found.items()}

    def noise(self, ranges: Mapping[str, tuple[float, float]], images: int) -> Noise:
        probe = Probe(self.graph, self.operators, ranges, self._shape)
        return probe.measure(iter(self._data), images)

    def quantised(self, excluded: Excluded) -> tuple[frozenset[Source], float]:
        """Return where the network rounds without these operators, and its cost in cycles."""
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
            self._quantised[excluded] = (sources_of(nodes, calibrated), cost)
        return self._quantised[excluded]


class _Ranges(CollectorBase):  # type: ignore[misc]
    """Minimum and maximum of tensors, as INC collects them, by NumPy: many times as fast."""

    def __init__(self, wanted: set[str]) -> None:
        self._wanted = wanted
        self.found: dict[str, tuple[np.float32, np.float32]] = {}

    def collect_gluon(self, name: str, kind: str, array: Any) -> None:
        if name in self._wanted:
            values = array.asnumpy()
            low, high = self.found.get(name, (np.float32(np.inf), np.float32(-np.inf)))
            self.found[name] = (min(low, values.min()), max(high, values.max()))


@dataclass
class Exclusion:
    """The search for what to exclude; it runs no network."""

    network: Network
    noise: Noise
    candidates: Excluded
    worth: float
    _readers: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, operator in self.network.operators.items():
            for tensor in operator.reads:
                self._readers.setdefault(tensor, []).append(name)

    def loss(self, excluded: Excluded) -> float:
        return self.noise.loss(self.network.quantised(excluded)[0])

    def flips(self, excluded: Excluded) -> float:
        return self.noise.flips(self.network.quantised(excluded)[0])

    def time(self, excluded: Excluded) -> float:
        return self.network.quantised(excluded)[1]

    def within(self, tolerated: float, limit: float, excluded: Excluded) -> Excluded:
        """Return ``excluded`` and what more it takes.

        Args:
            tolerated: expected loss of top-1.
            limit: of the share of images whose winner is expected to change.
        """
        while True:
            before, cost = self.flips(excluded), self.time(excluded)
            enough = self.loss(excluded) <= tolerated and before <= limit
            moves = []
            for more in self._moves(excluded):
                after = excluded | more
                gain = before - self.flips(after)
                slower = max(self.time(after) - cost, 1e-6 * cost)
                if gain > 0:
                    moves.append((gain / slower, gain, sorted(more), after))
            best = max(moves, default=None, key=lambda move: move[:3])
            if best is None:
                return excluded if enough else self.candidates
            slope, gain, _, after = best
            pays = slope * cost / max(before, 1e-12) >= self.worth
            if enough and not pays:
                return excluded
            excluded = after

    def _moves(self, excluded: Excluded) -> set[Excluded]:
        """Return sets of operators that may silence a place: who writes it, who reads it, both."""
        present = self.network.quantised(excluded)[0]
        power = self.noise.power()
        loudest = sorted(
            (source for source in present if source in power), key=lambda each: -power[each]
        )
        moves: set[Excluded] = set()
        for source in loudest[:LOOKED_AT]:
            if source.kind == "weights":
                moves.add(Excluded({source.name}))
                continue
            writer = Excluded({source.name[: -len("_output")]})
            readers = Excluded(self._readers.get(source.name, []))
            moves |= {writer, readers, writer | readers}
            moves |= {Excluded({reader}) for reader in readers}
        left = {move & self.candidates - excluded for move in moves}
        return {move for move in left if move}
