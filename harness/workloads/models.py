"""The fp32 networks that workloads name by ``_target_``; each call returns a fresh, clean one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mxnet as mx
from mxnet.gluon.model_zoo.vision import get_model

from harness.errors import InputError
from harness.workloads.download import zoo_weights
from harness.workloads.exported import load_pair
from harness.workloads.weights_file import check_fit, load_weights


def zoo(network: str, classes: int, params: str | None, download: bool) -> Any:
    """Return a network of the Gluon zoo with weights from a file or, when asked, downloaded.

    Raises:
        InputError: no such network, no weights, or weights of another network.
    """
    if params is None and not download:
        raise InputError(
            f"no weights for {network}: give workload.params=/path/to/{network}.params, or "
            "workload.download=true to fetch the zoo's (verified by digest)"
        )
    net = _zoo_network(network, classes)
    load_parameters(net, Path(params) if params else zoo_weights(network), network)
    return net


def custom(
    network: str | None,
    symbol: str | None,
    params: str | None,
    classes: int,
    random_weights: bool,
) -> Any:
    """Return a zoo network by name, or the exported pair of a symbol and its params.

    With ``random_weights`` a zoo network without ``params`` is initialised from a fixed seed.

    Raises:
        InputError: neither or both are named, or the weights are missing or of another network.
    """
    if (network is None) == (symbol is None):
        raise InputError(
            "name one of workload.network (a network of the Gluon zoo) and workload.symbol "
            "(an exported -symbol.json, with workload.params)"
        )
    if symbol is not None:
        return _exported(Path(symbol), params)
    assert network is not None
    if params is None and not random_weights:
        raise InputError(
            f"no weights for {network}: give workload.params=/path/to/{network}.params, or "
            "workload.random_weights=true to run without"
        )
    if params is not None:
        return zoo(network, classes, params, download=False)
    mx.random.seed(0)
    net = _zoo_network(network, classes)
    net.initialize(mx.init.Xavier(magnitude=2))
    return net


def load_parameters(net: Any, params: Path, name: str) -> None:
    """Load weights into ``net``.

    Raises:
        InputError: the file is missing, damaged, or of another network.
    """
    weights = load_weights(params)
    check_fit(weights, net.collect_params(), params, name)
    net.load_dict(weights, cast_dtype=True)


def _zoo_network(network: str, classes: int) -> Any:
    try:
        return get_model(network, classes=classes)
    except ValueError as error:
        known = " ".join(str(error).split())
        raise InputError(f"workload.network={network}: {known}") from None


def _exported(symbol: Path, params: str | None) -> Any:
    if params is None:
        raise InputError(f"{symbol} needs its weights: give workload.params=...-0000.params")
    return load_pair(symbol, Path(params))
