"""The additions of a network, as this MXNet runs them or without its defect.

MXNet 2.0.0b1 runs NumPy's ``+`` by oneDNN's ``binary``, for which it converts the inputs to NCHW; where
the memory plan puts the result in an input's place, the result keeps that input's layout, and oneDNN
has no kernel but its reference for such a mix. ``elemwise_add`` is oneDNN's ``sum``, which takes any
layout. MXNet's pull request 21132, after 2.0.0b1, does the same for ``+``. Only graphs that are not
fused have the defect: fusion puts a residual addition into the convolution before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from harness.methods.graph import Graph, use_plain_additions
from harness.process.jobs import WorkerWorkload
from harness.workloads import fp32_network
from harness.workloads.model_files import Node

IMAGES = 2  # an operand of one row, which is broadcast, would have the shape of one image


def clean_network(workload: WorkerWorkload) -> Any:
    """Return the workload's fp32 network with the additions that the run wants, not hybridized.

    Raises:
        InputError: as ``fp32_network``.
    """
    return with_additions_of(workload, fp32_network(workload))


def with_additions_of(workload: WorkerWorkload, net: Any) -> Any:
    """Return the workload's loaded network with the additions that the run wants; as ``repaired``."""
    if workload.mxnet_additions is None:
        return net
    side = workload.transform.crop
    return repaired(net, (IMAGES, 3, side, side))


def repaired(net: Any, shape: tuple[int, ...]) -> Any:
    """Return the network with its residual additions by ``elemwise_add``, not hybridized.

    What is fused or quantised of it is what it would be without: only additions are replaced that
    fusion puts into a convolution. MXNet quantises a lone ``elemwise_add`` and leaves a lone ``+`` in
    fp32, so the others stay.

    Args:
        net: gets hybridized, and is returned where there is nothing to replace.
        shape: of two images or more.
    """
    graph = Graph.of(net, (1, *shape[1:]))
    if use_plain_additions(graph, shape, behind_convolutions(graph)):
        return graph.network()
    net.hybridize(False)
    return net


def behind_convolutions(graph: Graph) -> Callable[[Node], bool]:
    """Return a test for additions of a convolution's output that nothing else reads.

    A batch norm may be between the two. These are what MXNet's partitioner fuses
    (src/operator/subgraph/dnnl/dnnl_conv_property.h).
    """
    nodes = graph.nodes
    read = [entry for node in nodes for entry in node["inputs"]]
    readers = Counter(at for at, *_ in (*read, *graph.heads))

    def is_convolved(at: int) -> bool:
        node = nodes[at]
        if readers[at] != 1:
            return False
        is_norm = node["op"] == "BatchNorm"
        return is_convolved(node["inputs"][0][0]) if is_norm else bool(node["op"] == "Convolution")

    return lambda addition: any(is_convolved(at) for at, *_ in addition["inputs"])
