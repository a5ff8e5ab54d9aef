"""What an operator is, for a reader who has only its name: its kind, its layer, and its neighbours.

INC and ``quantize_net`` name operators as MXNet does, such as ``node_5``. A Gluon network has layers,
such as ``features.5.0.bn1``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from harness.methods.base import MethodFacts
from harness.methods.graph import LAYERS, VARIABLE
from harness.methods.layers import Layers
from harness.methods.noise import Operator, operators

FUSED_BACKEND = "ONEDNN_QUANTIZE"  # what INC and quantize_net fuse for before they quantise
WEIGHT = re.compile(r"(.+)[._](?:weight|bias|gamma|beta|\w+_mean|\w+_var)")
PASSING = ("Activation", "Flatten", "Pooling")  # they change no scale: what is before them matters


class OperatorFacts:
    """The operators of a fused symbol, described.

    Args:
        fused: the symbol that is quantised, before it is.
        layers: of the network that it was made of.
    """

    def __init__(self, fused: Any, layers: Layers) -> None:
        self._operators = operators(json.loads(fused.tojson())["nodes"])
        self._layers = layers
        self._makers = {operator.tensor: name for name, operator in self._operators.items()}

    @classmethod
    def seen_by(cls, strategy: Any) -> OperatorFacts:
        """Return the operators of the network that an INC strategy tunes, as INC names them."""
        fused, *_ = strategy.adaptor.pre_optimized_model
        return cls(fused, getattr(strategy.model.model, LAYERS, {}))

    @property
    def names(self) -> list[str]:
        """The names of all operators, in an order in which they can run."""
        return list(self._operators)

    @property
    def kinds(self) -> dict[str, str]:
        """Each operator's kind as MXNet knows it, such as ``_sg_onednn_conv``, by its name."""
        return {name: str(operator.node["op"]) for name, operator in self._operators.items()}

    def of(self, names: Collection[str]) -> dict[str, MethodFacts]:
        """Return each operator's kind, layer, and neighbours by name; unknown names are left out.

        The name of a tensor stands for the operator that writes it.
        """
        writers = {name: self._makers.get(name, name) for name in names}
        return {
            name: self._described(writer)
            for name, writer in writers.items()
            if writer in self._operators
        }

    def _described(self, name: str) -> MethodFacts:
        operator = self._operators[name]
        feeds = [other for other, each in self._operators.items() if operator.tensor in each.reads]
        return {
            "kind": _kind(operator),
            "layer": self._layer(operator),
            "behind": [self._placed(other) for other in dict.fromkeys(self._behind(operator))],
            "feeds": [self._placed(other) for other in feeds],
        }

    def _behind(self, operator: Operator) -> Iterator[str]:
        """Yield the operators whose scale this one reads, whatever passes it on between them."""
        for tensor in operator.reads:
            maker = self._makers.get(tensor)
            if maker is None:
                continue
            if self._operators[maker].node["op"] in PASSING:
                yield from self._behind(self._operators[maker])
            else:
                yield maker

    def _placed(self, name: str) -> str:
        """Return a neighbour's name with its layer."""
        layer = self._layer(self._operators[name])
        return f"{name} ({layer})" if layer else name

    def _layer(self, operator: Operator) -> str:
        """Return the layer of an operator's weights, else of the node; empty where there is none."""
        part = operator.weighted or operator.output
        layer = self._layers.get(part)
        if layer is not None:
            return layer
        weights = (WEIGHT.fullmatch(tensor) for tensor in operator.reads)
        return next((match[1] for match in weights if match), "")


def _kind(operator: Operator) -> str:
    """Return the kinds of the unfused operators in it, in their order."""
    graphs = operator.node.get("subgraphs", ())
    inner = [node for graph in graphs for node in graph["nodes"] if node["op"] != VARIABLE]
    return " + ".join(str(node["op"]).rpartition("_")[2] for node in inner or [operator.node])
