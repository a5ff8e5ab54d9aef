"""``sensitivity``: an INC strategy that finds by one pass what to keep in fp32, and evaluates once.

INC's strategies learn what an operator costs in accuracy by evaluating models with and without it:
one evaluation an operator. Here ``noise`` says what the rounding at each place does to each image's
decision, MXNet's own quantisation pass says, in milliseconds and without an image, where a proposed
configuration rounds, and ``roofline`` what it costs. So configurations are compared before any is
evaluated. docs/beyond.md has the method, its sources and its limits.
"""

from __future__ import annotations

import copy
import json
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from neural_compressor.adaptor.mxnet_utils.util import (
    CollectorBase,
    prepare_model_data,
    quantize_sym_model,
    run_forward,
)
from neural_compressor.strategy.strategy import TuneStrategy

from harness.methods.graph import Graph, Node
from harness.methods.noise import Noise, Operator, Probe, Source, operators, sources_of
from harness.methods.roofline import cycles, multiplications

FALLBACK = "fp32"
DEFAULTS = {"images": 64, "worth": 10.0, "tighten": 2.0}
Excluded = frozenset[str]


class SensitivityTuneStrategy(TuneStrategy):  # type: ignore[misc]
    """Keep in fp32 what pays: least noise for least time.

    ``options`` (set from configuration):
        images: how many the noise is measured on.
        worth: exclude, even within the tolerance, while the expected flips fall by a share this
            many times that by which the time rises.
        tighten: what the expected flips are divided by when an evaluation refuses a model.
    """

    options: Mapping[str, Any] = {}

    def next_tune_cfg(self) -> Iterator[dict[str, Any]]:
        """Yield the cheapest model whose expected loss is within the tolerance, then stricter ones."""
        options = {**DEFAULTS, **self.options}
        network = _Network(self.model, self.adaptor, self.calib_dataloader)
        ranges = network.calibrate(int(self.calib_iter[0]))
        noise = network.noise(ranges, int(options["images"]))
        can_be_fp32 = frozenset(
            name
            for name, kind in self.opwise_tune_cfgs
            if FALLBACK in self.opwise_tune_space[name, kind]["activation"]["dtype"]
        )
        search = _Exclusion(network, noise, can_be_fp32, float(options["worth"]))
        limit, excluded = math.inf, Excluded()
        while True:
            excluded = search.within(self._tolerated(), limit, excluded)
            self._tell(search, excluded)
            yield self._config(excluded)
            if excluded == can_be_fp32:
                return
            limit = search.flips(excluded) / float(options["tighten"])

    def _tolerated(self) -> float:
        """Return the top-1 that may be lost."""
        criterion = self.cfg.tuning.accuracy_criterion
        if criterion.relative is not None:
            return float(criterion.relative) * float(self.baseline[0])
        return float(criterion.absolute)

    def _config(self, excluded: Excluded) -> dict[str, Any]:
        def chosen(operator: tuple[str, str]) -> Any:
            choices = self.opwise_tune_cfgs[operator]
            if operator[0] in excluded:
                return next(c for c in choices if c["activation"]["dtype"] == FALLBACK)
            quantised = self.opwise_quant_cfgs[operator] or choices
            by_minmax = (c for c in quantised if c["activation"].get("algorithm") == "minmax")
            return next(by_minmax, quantised[0])

        return {
            "calib_iteration": int(self.calib_iter[0]),
            "calib_sampling_size": int(self.calib_sampling_size[0]),
            "op": OrderedDict((op, copy.deepcopy(chosen(op))) for op in self.opwise_tune_cfgs),
        }

    def _tell(self, search: _Exclusion, excluded: Excluded) -> None:
        path = Path(self.cfg.tuning.workspace.path) / "sensitivity.json"
        power = sorted(search.noise.power().items(), key=lambda item: -item[1])
        told = {
            "images": len(search.noise.margins),
            "excluded": sorted(excluded),
            "expected_loss": search.loss(excluded),
            "expected_flips": search.flips(excluded),
            "expected_loss_of_all_int8": search.loss(Excluded()),
            "expected_flips_of_all_int8": search.flips(Excluded()),
            "relative_time": search.time(excluded) / search.time(Excluded()),
            "places": [[s.kind, s.name, round(float(np.sqrt(value)), 6)] for s, value in power],
        }
        path.write_text(json.dumps(told, indent=1) + "\n")


class _Network:
    """The fp32 network as INC's adaptor has it, and what can be asked of it."""

    def __init__(self, model: Any, adaptor: Any, data: Any) -> None:
        self._model, self._adaptor, self._data = model, adaptor, data
        self._fused, self._loader = prepare_model_data(model, adaptor.ctx, data)
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
class _Exclusion:
    """The search for what to exclude; it runs no network."""

    network: _Network
    noise: Noise
    candidates: Excluded
    worth: float
    LOOKED_AT = 6  # of the loudest places that are left, at every step
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
        for source in loudest[: self.LOOKED_AT]:
            if source.kind == "weights":
                moves.add(Excluded({source.name}))
                continue
            writer = Excluded({source.name[: -len("_output")]})
            readers = Excluded(self._readers.get(source.name, []))
            moves |= {writer, readers, writer | readers}
            moves |= {Excluded({reader}) for reader in readers}
        left = {move & self.candidates - excluded for move in moves}
        return {move for move in left if move}
