"""fp32 with its additions by an operator that keeps oneDNN out of its reference kernels."""

from __future__ import annotations

from harness.methods.base import Context, Optimized
from harness.methods.graph import Graph, use_plain_additions


class Summed:
    """fp32 as it was loaded, its additions of two tensors of one shape by oneDNN's ``sum``.

    The second baseline of a run with ``mxnet_additions=null``; ``additions`` explains the defect.
    """

    def optimize(self, context: Context) -> Optimized:
        shape = next(iter(context.tuning))[0].shape
        graph = Graph.of(context.net, (1, *shape[1:]))
        replaced = use_plain_additions(graph, shape)
        net = graph.network()
        net.hybridize(static_alloc=True, static_shape=True)
        return Optimized(net, warnings=[] if replaced else ["there was no addition to replace"])
