"""A graph's weights as numbers, and the error of rounding them to int8."""

from __future__ import annotations

from dataclasses import dataclass

import mxnet as mx
import numpy as np
import numpy.typing as npt

from harness.methods.graph import Graph
from harness.workloads.model_files import Node

Array = npt.NDArray[np.float64]
INT8 = 127


@dataclass
class Weights:
    """Weights by the node that reads them and the position there; float64, written back as float32."""

    graph: Graph

    def name(self, node: Node, position: int) -> str:
        return str(self.graph.nodes[node["inputs"][position][0]]["name"])

    def get(self, node: Node, position: int) -> Array:
        return np.asarray(self.graph.params[self._key(node, position)].asnumpy(), dtype=np.float64)

    def set(self, node: Node, position: int, values: Array) -> None:
        self.graph.params[self._key(node, position)] = mx.np.array(values, dtype="float32")

    def _key(self, node: Node, position: int) -> str:
        name = self.name(node, position)
        return next(key for key in (f"arg:{name}", f"aux:{name}") if key in self.graph.params)

    def normalising(self, node: Node) -> Array:
        """Return the factor of a batch norm for each channel, (channels,)."""
        spread = np.sqrt(self.get(node, 4) + float(node["attrs"]["eps"]))
        return np.asarray(self.gamma(node) / spread)

    def gamma(self, node: Node) -> Array:
        gamma = self.get(node, 1)
        return np.ones_like(gamma) if is_set(node, "fix_gamma") else gamma


def rounding_error(weight: Array, factor: Array | None = None) -> Array:
    """Return the error of rounding a convolution's weights to int8, (outputs, inputs, ...).

    Args:
        factor: what a batch norm that is folded in multiplies each output by, (outputs,).
    """
    factors = along(np.ones(len(weight)) if factor is None else factor, weight, 0)
    folded = weight * factors
    steps = np.abs(rows(folded)).max(axis=1) / INT8
    # an output of zeros has no step, nor has one whose step is too small a number to divide by
    step = along(np.where(steps < np.finfo(np.float64).tiny, 1, steps), weight, 0)
    error = np.rint(folded / step) * step - folded
    return np.asarray(np.divide(error, factors, out=np.zeros_like(error), where=factors != 0))


def rows(weight: Array) -> Array:
    """Return (outputs, all that is read), from (outputs, inputs, ...)."""
    return weight.reshape(len(weight), -1)


def along(values: Array, like: Array, axis: int) -> Array:
    """Return (channels,) with as many dimensions as ``like`` has, along ``axis``."""
    shape = [1] * like.ndim
    shape[axis] = -1
    return values.reshape(shape)


def is_set(node: Node, attribute: str) -> bool:
    """Return whether a node has a flag."""
    return str(node.get("attrs", {}).get(attribute, "False")) in ("1", "True", "true")
