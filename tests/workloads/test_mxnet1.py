"""Pairs that MXNet 0.9.5 to 1.9.1 wrote: the scores are those that it computed, or the reason is told."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import PROJECT
from harness.errors import InputError
from helpers.mxnet1_weights import V1, V2, old_weights

pytestmark = pytest.mark.slow

FILES = PROJECT / "tests" / "data" / "mxnet1"
GRID = np.arange(2 * 3 * 16 * 16, dtype="float64").reshape(2, 3, 16, 16)
IMAGES = (np.sin(GRID * 0.37) * 1.5).astype("float32")  # as data/mxnet1/make.py
SYMBOL, PARAMS = "gluon-1.2.1-symbol.json", "gluon-1.2.1-0003.params"


def pair(name: str) -> tuple[Path, Path]:
    (params,) = FILES.glob(f"{name}-0*.params")
    return FILES / f"{name}-symbol.json", params


def network(symbol: Path, params: Path) -> Any:
    from harness.workloads.models import custom

    return custom(None, str(symbol), str(params), 10, random_weights=False)


def scores_of(net: Any) -> np.ndarray:
    import mxnet as mx

    net.hybridize(static_alloc=True, static_shape=True)
    return net(mx.np.array(IMAGES)).asnumpy()


def as_computed_then(name: str) -> np.ndarray:
    return np.array(json.loads((FILES / f"{name}-scores.json").read_text()), "float32")


def stored(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an old file, with their prefixes."""
    import mxnet as mx

    with mx.util.np_array(False), mx.util.np_shape(False):
        return {name: value.asnumpy() for name, value in mx.nd.load(str(path)).items()}


Changed = dict[str, np.ndarray]


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[Callable[[Changed], Changed]], Path]:
    """Return a function that writes the old weights changed."""

    def write(change: Callable[[Changed], Changed]) -> Path:
        path = tmp_path / "changed.params"
        path.write_bytes(old_weights(change(stored(FILES / PARAMS))))
        return path

    return write


@pytest.mark.parametrize(
    ("name", "magic"), [("module-0.9.5-2", None), ("module-0.11.0", V1), ("gluon-1.2.1", V2)]
)
def test_the_writer_of_these_tests_writes_what_old_versions_wrote(
    name: str, magic: int | None
) -> None:
    _, params = pair(name)
    assert old_weights(stored(params), magic) == params.read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "module-0.9.5-2",
        "module-0.11.0",
        "varied-1.0.0",
        "gluon-1.2.1",
        "varied-1.9.1",
        "npgluon-1.9.1",
    ],
)
def test_old_pair_computes_what_its_own_version_computed(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", _warning())
        net = network(*pair(name))
    expected = as_computed_then(name)
    np.testing.assert_allclose(scores_of(net), expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    assert {str(np.dtype(p.dtype)) for p in net.collect_params().values()} == {"float32"}


def _warning() -> type[Warning]:
    from harness.workloads.weights_file import WeightsWarning

    return WeightsWarning


@pytest.mark.parametrize("prefix", ["", "arg:"])
def test_prefixes_do_not_matter(changed, prefix: str) -> None:
    params = changed(lambda old: {prefix + name[4:]: value for name, value in old.items()})
    np.testing.assert_array_equal(
        scores_of(network(FILES / SYMBOL, params)), scores_of(network(*pair("gluon-1.2.1")))
    )


def test_symbols_of_older_forms(tmp_path: Path) -> None:
    graph = json.loads((FILES / SYMBOL).read_text())
    graph.pop("node_row_ptr", None)
    for node in graph["nodes"]:
        node["backward_source_id"] = -1
        node["inputs"] = [entry[:2] for entry in node["inputs"]]
        if node["op"] == "null":
            node.pop("attrs", None)
        elif "attrs" in node:
            node["param"] = node.pop("attrs")
    graph["heads"] = [entry[:2] for entry in graph["heads"]]
    graph["attrs"] = {"mxnet_version": ["int", 800]}
    for place in ("param", "attr"):
        for node in graph["nodes"]:
            for key in ("param", "attr"):
                if key in node:
                    node[place] = node.pop(key)
        symbol = tmp_path / f"{place}-symbol.json"
        symbol.write_text(json.dumps(graph))
        found = scores_of(network(symbol, FILES / PARAMS))
        np.testing.assert_allclose(found, as_computed_then("gluon-1.2.1"), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("loss", "predicts"),
    [
        ("SoftmaxOutput", lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
        ("LogisticRegressionOutput", lambda x: 1 / (1 + np.exp(-x))),
        ("LinearRegressionOutput", lambda x: x),
        ("MAERegressionOutput", lambda x: x),
        ("SVMOutput", lambda x: x),
    ],
)
def test_loss_at_the_end_predicts_without_its_label(
    tmp_path: Path, loss: str, predicts: Callable[[np.ndarray], np.ndarray]
) -> None:
    graph = json.loads((FILES / SYMBOL).read_text())
    last = graph["heads"][0][0]
    label = {"op": "null", "name": "the_label", "inputs": []}
    node = {"op": loss, "name": "loss", "inputs": [[last, 0, 0], [last + 1, 0, 0]]}
    graph["nodes"] += [label, node]
    graph["arg_nodes"].append(last + 1)
    graph["heads"] = [[last + 2, 0, 0]]
    graph.pop("node_row_ptr")
    symbol = tmp_path / "loss-symbol.json"
    symbol.write_text(json.dumps(graph))
    expected = predicts(as_computed_then("gluon-1.2.1"))
    found = scores_of(network(symbol, FILES / PARAMS))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_half_precision_pair_is_cast_and_says_so() -> None:
    with pytest.warns(_warning(), match=r"4 of 8 arrays are float16.*cast to float32"):
        net = network(*pair("gluon16-1.9.1"))
    expected = as_computed_then("gluon16-1.9.1")
    np.testing.assert_allclose(scores_of(net), expected, rtol=0, atol=1e-5)


def as_bfloat16(values: np.ndarray) -> np.ndarray:
    return (values.view(np.uint32) >> 16).astype(np.uint16)


@pytest.mark.parametrize(
    ("kind", "cast"),
    [
        ("float16", lambda x: x.astype("f2")),
        ("float64", lambda x: x.astype("f8")),
        ("bfloat16", as_bfloat16),
    ],
)
def test_other_floats_become_float32(
    changed, kind: str, cast: Callable[[np.ndarray], np.ndarray]
) -> None:
    params = changed(
        lambda old: {k: cast(v) if k.endswith("weight") else v for k, v in old.items()}
    )
    with pytest.warns(_warning(), match=rf"2 of 8 arrays are {kind}"):
        net = network(FILES / SYMBOL, params)
    name = "net_dense0_weight"
    values = stored(FILES / PARAMS)["arg:" + name]
    if kind == "bfloat16":
        values = (values.view(np.uint32) & 0xFFFF0000).view("f4")
    if kind == "float16":
        values = values.astype("f2").astype("f4")
    np.testing.assert_array_equal(net.collect_params()[name].data().asnumpy(), values)


def replaced(name: str, values: np.ndarray) -> Callable[[Changed], Changed]:
    return lambda old: {**old, name: values}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda old: dict(list(old.items())[1:]), r"leaves 2 inputs \(data, net_conv0_weight\)"),
        (replaced("arg:more", np.ones(3, "f4")), "has more, which the network does not take"),
        (
            replaced("net_conv0_bias", np.ones(4, "f4")),
            "net_conv0_bias both with and without the prefix",
        ),
        (
            replaced("arg:net_conv0_bias", np.ones((), "f4")),
            r"never filled \(array \d: it has no sides",
        ),
        (
            replaced("arg:net_conv0_bias", np.full(4, 1e300)),
            "net_conv0_bias .*float64 numbers beyond",
        ),
        (lambda old: {}, "hold no array"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_what_does_not(
    changed, change: Callable[[Changed], Changed], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        network(FILES / SYMBOL, changed(change))


def test_weights_without_names() -> None:
    with pytest.raises(InputError, match="have no names, only their order"):
        network(FILES / SYMBOL, FILES / "list-1.9.1.params")


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({"op": "Cast", "attrs": {"dtype": "float16"}}, r"computes in float16, in x \(Cast\)"),
        ({"op": "_sg_mkldnn_conv", "attrs": {}}, r"fused already, in x \(_sg_mkldnn_conv\)"),
        ({"op": "NoSuchOperator", "attrs": {}}, "MXNet does not read the symbol .*NoSuchOperator"),
    ],
)
def test_symbols_that_are_no_plain_fp32(tmp_path: Path, node: dict[str, Any], said: str) -> None:
    graph = json.loads((FILES / SYMBOL).read_text())
    last = graph["heads"][0][0]
    graph["nodes"].append({"name": "x", "inputs": [[last, 0, 0]], **node})
    graph["heads"] = [[last + 1, 0, 0]]
    graph.pop("node_row_ptr")
    symbol = tmp_path / "other-symbol.json"
    symbol.write_text(json.dumps(graph))
    with pytest.raises(InputError, match=said):
        network(symbol, FILES / PARAMS)


def test_quantised_pair_of_1_9() -> None:
    with pytest.raises(InputError, match=r"quantised already, in .* \(_contrib_quantize_v2\)"):
        network(*pair("quantized-1.9.1"))


def test_symbol_of_two_outputs(tmp_path: Path) -> None:
    graph = json.loads((FILES / SYMBOL).read_text())
    graph["heads"] *= 2
    symbol = tmp_path / "two-symbol.json"
    symbol.write_text(json.dumps(graph))
    with pytest.raises(InputError, match=r"has 2 outputs"):
        network(symbol, FILES / PARAMS)


def test_names_of_an_exported_pair_in_a_zoo_network(tmp_path: Path) -> None:
    from harness.workloads.models import zoo

    params = shutil.copy(FILES / PARAMS, tmp_path)
    with pytest.raises(InputError, match=r"names of an exported pair.*workload\.symbol"):
        zoo("mobilenet0.25", 10, params, download=False)


def test_own_weights_of_gluon_1_load_as_its_network() -> None:
    import mxnet as mx
    from mxnet.gluon import nn

    from harness.workloads.models import load_parameters

    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3, padding=1), nn.BatchNorm(), nn.Activation("relu"))
    net.add(nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dense(10))
    load_parameters(net, FILES / "gluon-1.2.1-own.params", "the network")
    found = net(mx.np.array(IMAGES)).asnumpy()
    np.testing.assert_allclose(found, as_computed_then("gluon-1.2.1"), rtol=0, atol=1e-5)
