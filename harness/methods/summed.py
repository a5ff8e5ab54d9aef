"""fp32 with its additions by an operator that keeps oneDNN out of its reference kernels."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mxnet as mx

from harness.methods.base import Context, Optimized
from harness.workloads.saved import load_exported

BROADCASTING, PLAIN = "_npi_add", "elemwise_add"


class Summed:
    """fp32 as it was loaded, its additions of two tensors of one shape by oneDNN's ``sum``.

    MXNet 2.0.0b1 runs NumPy's ``+`` by oneDNN's ``binary``, for which it converts the inputs to
    NCHW; where the memory plan puts the result in an input's place, the result keeps that input's
    layout, and oneDNN has no kernel but its reference for such a mix. ``elemwise_add`` takes any
    layout. MXNet's pull request 21132, after 2.0.0b1, does the same for ``+``.
    """

    def optimize(self, context: Context) -> Optimized:
        data, _ = next(iter(context.tuning))
        context.net.hybridize(static_alloc=True, static_shape=True)
        context.net(data).wait_to_read()
        with TemporaryDirectory(dir=context.workspace) as folder:
            symbol, params = (Path(name) for name in context.net.export(f"{folder}/net"))
            replaced = use_plain_additions(symbol, params, data.shape)
            net = load_exported(symbol, params)
        net.hybridize(static_alloc=True, static_shape=True)
        return Optimized(net, warnings=[] if replaced else ["there was no addition to replace"])


def use_plain_additions(symbol: Path, params: Path, shape: tuple[int, ...]) -> int:
    """Change the additions of tensors of one shape in a saved symbol; return how many.

    Args:
        symbol: the symbol's JSON file, changed in place; it has one input.
        params: its weights.
        shape: of a batch.
    """
    graph = json.loads(symbol.read_text())
    nodes = graph["nodes"]
    internals = mx.sym.load(str(symbol)).get_internals()
    stored = {name.split(":", 1)[-1] for name in mx.npx.load(str(params))}
    (data,) = (name for name in internals.list_inputs() if name not in stored)
    _, inferred, _ = internals.infer_shape(**{data: shape})
    shapes = dict(zip(internals.list_outputs(), inferred))

    def shape_of(entry: list[int]) -> Any:
        node = nodes[entry[0]]
        return shapes.get(node["name"] if node["op"] == "null" else f"{node['name']}_output")

    additions = [
        node
        for node in nodes
        if node["op"] == BROADCASTING
        and all(index == 0 for _, index, *_ in node["inputs"])
        and shape_of(node["inputs"][0]) == shape_of(node["inputs"][1]) is not None
    ]
    for node in additions:
        node["op"] = PLAIN
    symbol.write_text(json.dumps(graph, indent=2))
    return len(additions)
