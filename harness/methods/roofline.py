"""The cost of a quantised network, from its operators' arithmetic and memory traffic alone.

A sum of two parts per operator: multiplications at the rate of the widest vector instructions, and
bytes at a rate that a core gets from its caches. Not measured on purpose: a search that weighs by it
chooses the same on every run. docs/beyond.md says how far it is from measured times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.methods.graph import VARIABLE, tensor_name
from harness.methods.noise import Operator
from harness.workloads.model_files import Node

FP32_PER_CYCLE = 32.0  # multiply-adds: two 512-bit units
INT8_PER_CYCLE = 4 * FP32_PER_CYCLE  # VNNI
BYTES_PER_CYCLE = 8.0
FP32_BYTES, INT8_BYTES = 4, 1
QUANTIZED = "quantized_"
INTERNAL = ("_contrib_requantize",)  # becomes part of the operator before


def multiplications(
    fused: Mapping[str, Operator], shapes: Mapping[str, tuple[int, ...]], nodes: Sequence[Node]
) -> dict[str, int]:
    """Return the multiply-adds of each operator that has weights, for the batch of ``shapes``.

    Args:
        shapes: of the unfused network's tensors and weights, by name.
        nodes: of the unfused network.
    """
    by_name = {node["name"]: node for node in nodes}
    counts = {}
    for name, operator in fused.items():
        if operator.weighted:
            node = by_name[operator.weighted]
            weight = shapes[tensor_name(nodes[node["inputs"][1][0]])]
            outputs = int(np.prod(shapes[tensor_name(node)]))
            counts[name] = outputs * int(np.prod(weight[1:]))
    return counts


def cycles(
    quantized: Sequence[Node], macs: Mapping[str, int], elements: Mapping[str, int]
) -> float:
    """Return a core's cycles for a quantised symbol.

    Args:
        quantized: its nodes as ``quantize_graph`` gives them.
        macs: multiply-adds by operator.
        elements: of each tensor, by its name in the fused symbol.
    """
    total = 0.0
    for node in quantized:
        name, op = str(node["name"]), str(node["op"])
        if op == VARIABLE or op in INTERNAL:
            continue
        if op in ("_contrib_quantize_v2", "_contrib_dequantize"):
            source = _source(quantized, node)
            total += (FP32_BYTES + INT8_BYTES) * elements.get(source, 0) / BYTES_PER_CYCLE
            continue
        is_int8 = name.startswith(QUANTIZED)
        plain = name[len(QUANTIZED) :] if is_int8 else name
        rate = INT8_PER_CYCLE if is_int8 else FP32_PER_CYCLE
        size = INT8_BYTES if is_int8 else FP32_BYTES
        moved = elements.get(f"{plain}_output", 0)
        moved += sum(elements.get(tensor, 0) for tensor in _sources(quantized, node))
        total += macs.get(plain, 0) / rate + size * moved / BYTES_PER_CYCLE
    return total


def _sources(quantized: Sequence[Node], node: Node) -> set[str]:
    return {_tensor(quantized[at], quantized) for at, *_ in node["inputs"]}


def _source(quantized: Sequence[Node], node: Node) -> str:
    return _tensor(quantized[node["inputs"][0][0]], quantized)


def _tensor(node: Node, quantized: Sequence[Node]) -> str:
    """Return the name that a tensor of the quantised symbol has in the fused one."""
    if node["op"] in ("_contrib_requantize", "_contrib_quantize_v2", "_contrib_dequantize"):
        return _source(quantized, node)
    name: Any = tensor_name(node)
    return str(name[len(QUANTIZED) :] if name.startswith(QUANTIZED) else name)
