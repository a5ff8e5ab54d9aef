"""Convolutions and inner products in bf16, fused, where the CPU multiplies bf16.

MXNet's own AMP converts the network before it is fused, and its fusion takes no bf16: measured, the
result runs slower than fused fp32. So the fused operators get their casts here; oneDNN's kernels for
them exist all the same.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import Refused
from harness.host import isa
from harness.methods.base import Context, Method, Optimized
from harness.methods.graph import Builder, Entry, Graph
from harness.methods.weights import is_set
from harness.workloads.model_files import Node

FUSED = {"_sg_onednn_conv": "Convolution", "_sg_onednn_fully_connected": "FullyConnected"}
FUSED_NORM = "_contrib_BatchNormWithReLU"
LOW, HIGH = "bfloat16", "float32"
FLAG, LEVEL = "avx512_bf16", "AVX512_CORE_BF16"  # as the kernel and as oneDNN call it
EMULATING_FLAG, EMULATING_LEVEL = "avx512bw", "AVX512_CORE"
CPUINFO = Path("/proc/cpuinfo")


class Bf16:
    """The whole fused network in bf16; only the scores come back as fp32."""

    def optimize(self, context: Context) -> Optimized:
        """Raise Refused where the CPU has no instruction for it."""
        refuse_without_bf16()
        shape = next(iter(context.tuning))[0].shape
        plain = Graph.of(context.net, (1, *shape[1:]))
        graph = Graph.from_symbol(plain.as_symbol().optimize_for("ONEDNN"), plain.params)
        _restore_norms(graph, plain)
        fused = [node for node in graph.nodes if _is_fp32(node)]
        low = set(graph.inputs).union(*(_weights(graph, node) for node in fused))
        heads = {graph.nodes[at]["name"] for at, *_ in graph.heads}

        def visit(builder: Builder, node: Node, at: Entry) -> Entry:
            if node["name"] in heads:
                return _cast(builder, at, HIGH)
            return _cast(builder, at, LOW) if node["name"] in low else at

        net = graph.rewritten(visit).network()
        net.hybridize(static_alloc=True, static_shape=True)
        return Optimized(net, quantization={"bf16_operators": len(fused)})


@dataclass
class Bf16Fallback:
    """Another method's int8 network, with bf16 instead of fp32 where that fell back.

    Attributes:
        method: makes the int8 network.
    """

    method: Method

    def optimize(self, context: Context) -> Optimized:
        """Raise Refused where the CPU has no bf16, and what the other method raises."""
        refuse_without_bf16()
        optimized = self.method.optimize(context)
        shape = next(iter(context.tuning))[0].shape
        graph = Graph.of(optimized.net, (1, *shape[1:]))
        fallen = {node["name"] for node in graph.nodes if _is_fp32(node)}

        def feed(builder: Builder, node: Node, read: list[Entry]) -> list[Entry]:
            low = _in_bf16(node) if node["name"] in fallen else ()
            return [
                _cast(builder, entry, LOW) if at in low else entry for at, entry in enumerate(read)
            ]

        def visit(builder: Builder, node: Node, at: Entry) -> Entry:
            return _cast(builder, at, HIGH) if node["name"] in fallen else at

        net = graph.rewritten(visit, feed).network()
        net.hybridize(static_alloc=True, static_shape=True)
        warnings = [] if fallen else ["nothing fell back to fp32, so nothing is in bf16"]
        facts = {**optimized.quantization, "bf16_operators": len(fallen)}
        return replace(
            optimized, net=net, quantization=facts, warnings=[*optimized.warnings, *warnings]
        )


def refuse_without_bf16(cpuinfo: Path = CPUINFO) -> None:
    """Raise Refused unless the CPU multiplies bf16 and oneDNN may use it.

    Else oneDNN emulates bf16 on AVX-512, and has no kernels for it on less.
    """
    flags: Collection[str] = ()
    for line in cpuinfo.read_text().splitlines():
        if line.startswith("flags"):
            flags = line.split()
            break
    limit = os.environ.get(isa.VARIABLE, "").upper()
    emulated = EMULATING_FLAG in flags and isa.allows(limit, EMULATING_LEVEL)
    instead = "would emulate bf16, slower than fp32" if emulated else "has no kernels for bf16"
    if FLAG not in flags:
        raise Refused(f"this CPU has no {FLAG}: oneDNN {instead}")
    if not isa.allows(limit, LEVEL):
        raise Refused(f"oneDNN is limited to {limit}: it {instead}")


def _is_fp32(node: Node) -> bool:
    return node["op"] in FUSED and not is_set(node, "quantized")


def _in_bf16(node: Node) -> set[int]:
    """Return the positions of the inputs that a fused operator reads in bf16: not a batch norm's."""
    (subgraph,) = node["subgraphs"]
    inner = next(
        inner_node for inner_node in subgraph["nodes"] if inner_node["op"] in FUSED.values()
    )
    low = {0, 1} if is_set(inner, "no_bias") else {0, 1, 2}
    return low | ({len(node["inputs"]) - 1} if is_set(node, "with_sum") else set())


def _weights(graph: Graph, node: Node) -> set[str]:
    """Return the names of weight and bias."""
    read = node["inputs"]
    return {graph.nodes[read[at][0]]["name"] for at in _in_bf16(node) & {1, 2} if at < len(read)}


def _restore_norms(graph: Graph, plain: Graph) -> None:
    """Restore the attributes of fused batch norms that MXNet drops (``saved.repair``)."""
    known = {
        plain.nodes[node["inputs"][1][0]]["name"]: node["attrs"]
        for node in plain.nodes
        if node["op"] == "BatchNorm"
    }
    for node in graph.nodes:
        if node["op"] == FUSED_NORM:
            gamma = graph.nodes[node["inputs"][1][0]]["name"]
            node["attrs"] = {**known[gamma], **node.get("attrs", {})}


def _cast(builder: Builder, at: Entry, dtype: str) -> Entry:
    return builder.add("amp_cast", f"{dtype}_{len(builder.nodes)}", at, dtype=dtype)
