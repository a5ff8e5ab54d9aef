"""Models on disk: a symbol and its params, written, repaired after MXNet's losses, and read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from mxnet.gluon import SymbolBlock

from harness.errors import HarnessError, InputError, one_line
from harness.process.jobs import SavedModel
from harness.workloads.model_files import Node
from harness.workloads.private import copied

NodeAttributes = dict[str, dict[str, str]]  # by the name of the gamma that a batch norm takes
FUSED_NORM = "_contrib_BatchNormWithReLU"
RANDOM = re.compile(
    r"[0-9a-f]{8}(?:_[0-9a-f]{4}){3}_[0-9a-f]{12}"
)  # a UUID, as Gluon's Parameter has
COMPARED = 8  # images: two networks with a batch of 64 each would need gigabytes
TOLERANCE = 1e-3  # relative to the largest score: oneDNN may choose another kernel after loading


def save(net: Any, data: Any, stem: Path, clean: Callable[[], Any]) -> tuple[Path, Path]:
    """Write ``net`` and check that the written model computes the same scores.

    Args:
        net: the network to save; it is called once, on the first images of ``data``.
        data: one batch.
        stem: the files become ``<stem>-symbol.json`` and ``<stem>-0000.params``.
        clean: makes the fp32 network that ``net`` was made from.

    Returns:
        the paths of symbol and params.

    Raises:
        HarnessError: the saved model computes something else.
    """
    data = data[:COMPARED]
    expected = net(data).asnumpy()
    symbol, params = export(net, data, stem, clean)
    scores = load_exported(symbol, params)(data).asnumpy()
    largest = float(np.abs(expected[np.isfinite(expected)]).max(initial=0))
    if not np.allclose(scores, expected, rtol=0, atol=TOLERANCE * largest, equal_nan=True):
        raise HarnessError(
            f"the model saved as {symbol.name} differs from the one in memory by up to "
            f"{np.abs(scores - expected).max():.3g} in scores of up to {largest:.3g}: not used"
        )
    return symbol, params


def export(net: Any, data: Any, stem: Path, clean: Callable[[], Any]) -> tuple[Path, Path]:
    """Write ``net``, which has run once, as ``save`` does, without the check.

    Args and returns: as for ``save``.
    """
    symbol, params = (Path(name) for name in net.export(str(stem), remove_amp_cast=False))
    repair(symbol, lambda: _attributes_by_gamma(clean(), data))
    return symbol, params


def repair(symbol: Path, attributes: Callable[[], NodeAttributes]) -> None:
    """Restore in a symbol's JSON what MXNet lost, with the same bytes for the same network.

    Args:
        symbol: the file, changed in place.
        attributes: gives the clean network's batch-norm attributes by the name of their gamma;
            called only when some were lost.
    """
    graph = json.loads(symbol.read_text())
    _restore_norm_attributes(graph["nodes"], attributes)
    _number_random_names(graph["nodes"])
    symbol.write_text(json.dumps(graph, indent=2))


def _restore_norm_attributes(
    nodes: Sequence[Node], attributes: Callable[[], NodeAttributes]
) -> None:
    """Restore the attributes of fused batch norms that MXNet 2.0.0b1 drops when it writes a symbol.

    ``optimize_for(backend="ONEDNN")`` makes ``_contrib_BatchNormWithReLU`` of batch norm and ReLU
    and keeps epsilon and fix_gamma in memory only. Loaded again, the operator has the defaults
    (1e-3, gamma fixed to 1) and the network predicts at random.
    """
    bare = [
        node for node in nodes if node["op"] == FUSED_NORM and "eps" not in node.get("attrs", {})
    ]
    if not bare:
        return
    known = attributes()
    for node in bare:
        gamma = nodes[node["inputs"][1][0]]["name"]
        # a pair that was made elsewhere may have other names: it stays as its file says
        node["attrs"] = {**known.get(gamma, {}), **node.get("attrs", {})}


def _number_random_names(nodes: Sequence[Node]) -> None:
    """Number the random names of the inputs inside fused operators.

    MXNet names them by a parameter's UUID, which is random, so the same model would have other bytes.
    A fused operator takes its inputs by their place; the names mean nothing.
    """
    numbers: dict[str, str] = {}
    waiting = list(nodes)
    while waiting:
        node = waiting.pop(0)
        inner = [inner_node for graph in node.get("subgraphs", ()) for inner_node in graph["nodes"]]
        for inner_node in inner:
            inner_node["name"] = RANDOM.sub(
                lambda match: numbers.setdefault(match[0], f"parameter_{len(numbers)}"),
                inner_node["name"],
            )
        waiting += inner


def _attributes_by_gamma(net: Any, data: Any) -> NodeAttributes:
    net.hybridize()
    net(data[:1]).wait_to_read()
    symbol, _ = net.export(None)
    nodes = json.loads(symbol.tojson())["nodes"]
    return {
        nodes[node["inputs"][1][0]]["name"]: node["attrs"]
        for node in nodes
        if node["op"] == "BatchNorm"
    }


def load_exported(
    symbol: Path, params: Path, sha256: tuple[str | None, str | None] = (None, None)
) -> Any:
    """Return the network of a pair that ``save`` or ``export`` wrote, int8 or not.

    Args:
        sha256: what the two files must have; None is any.

    Raises:
        InputError: a file is missing or another one, or MXNet does not read the two.
    """
    for path in (symbol, params):
        if not path.is_file():
            raise InputError(f"the saved model's file {path} does not exist: make the model again")
    try:
        with copied(symbol, sha256[0]) as graph, copied(params, sha256[1]) as weights:
            arrays = mx.npx.load(str(weights))
            if not isinstance(arrays, dict):  # a foreign file; none of ours lacks the names
                raise ValueError(f"{params.name} holds arrays without names")
            stored = {name.split(":", 1)[-1] for name in arrays}
            inputs = [name for name in mx.sym.load(str(graph)).list_inputs() if name not in stored]
            return SymbolBlock.imports(str(graph), inputs, str(weights))
    except (mx.base.MXNetError, ValueError, AssertionError) as error:
        raise InputError(
            f"the saved model {symbol} with {params.name} does not load: MXNet says "
            f"{one_line(error)}; make the model again"
        ) from None


def saved_network(model: SavedModel) -> Any:
    """Return a row's saved model, hybridized as its method did.

    Raises:
        InputError: as for ``load_exported``.
    """
    folder = Path(model.workspace)
    digests = model.symbol.sha256, model.params.sha256
    net = load_exported(folder / model.symbol.path, folder / model.params.path, digests)
    net.hybridize(static_alloc=True, static_shape=True)
    return net
