"""A network whose additions were repaired is the same network, before and after it is optimised."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

SIDE = 32
ADDITIONS = {"resnet18_v1": 8, "resnet18_v2": 8, "mobilenetv2_0.25": 10}
ADDING = {"_npi_add": "+", "elemwise_add": "+"}  # inside a fused convolution both are its sum


@pytest.fixture(scope="module")
def data() -> Any:
    import mxnet as mx

    return mx.np.array(np.random.default_rng(0).normal(size=(16, 3, SIDE, SIDE)), dtype="float32")


def networks(name: str, data: Any) -> tuple[Any, Any]:
    """Return a network as it was loaded, and the same one repaired."""
    from harness.methods.additions import repaired
    from harness.workloads.models import custom

    def loaded() -> Any:
        net = custom(name, None, None, 10, random_weights=True)
        net(data[:1]).wait_to_read()  # draws the weights
        return net

    return loaded(), repaired(loaded(), data.shape)


def operators(net: Any) -> list[Any]:
    """Return the operators in their order with those inside them; either addition is ``+``."""
    symbol, _ = net.export(None, remove_amp_cast=False)
    return named(json.loads(symbol.tojson()))


def named(graph: Any) -> list[Any]:
    return [
        (ADDING.get(node["op"], node["op"]), [named(inner) for inner in node.get("subgraphs", ())])
        for node in graph["nodes"]
        if node["op"] != "null"
    ]


def assert_same(models: Iterable[Any], data: Any, exactly: bool = True) -> None:
    released, repaired = models
    expected, scores = released(data).asnumpy(), repaired(data).asnumpy()
    if exactly:
        assert np.array_equal(scores, expected)
    else:
        assert np.abs(scores - expected).max() <= 1e-5 * np.abs(expected).max()
    assert (scores.argmax(axis=1) == expected.argmax(axis=1)).all()
    assert operators(repaired) == operators(released)


@pytest.mark.parametrize("name", ADDITIONS)
def test_fp32_predicts_the_same_and_differs_in_its_additions_alone(name: str, data: Any) -> None:
    released, repaired = networks(name, data)
    for net in (released, repaired):
        net.hybridize(static_alloc=True, static_shape=True)
    assert_same((released, repaired), data, exactly=False)
    counts = Counter(node["op"] for node in json.loads(repaired.export(None)[0].tojson())["nodes"])
    assert (counts["elemwise_add"], counts["_npi_add"]) == (ADDITIONS[name], 0)


@pytest.mark.parametrize("name", ADDITIONS)
def test_the_fused_network_is_the_same(name: str, data: Any) -> None:
    released, repaired = networks(name, data)
    for net in (released, repaired):
        net.optimize_for(data, backend="ONEDNN", static_alloc=True, static_shape=True)
    assert_same((released, repaired), data)


@pytest.mark.parametrize(
    ("name", "quantize_mode", "calib_mode"),
    [
        *((name, mode, "naive") for name in ADDITIONS for mode in ("full", "smart")),
        ("resnet18_v2", "smart", "entropy"),
    ],
)
def test_the_quantised_network_is_the_same(
    name: str, quantize_mode: str, calib_mode: str, data: Any
) -> None:
    models = (quantised(net, data, quantize_mode, calib_mode) for net in networks(name, data))
    assert_same(models, data)


def quantised(net: Any, data: Any, quantize_mode: str, calib_mode: str) -> Any:
    import mxnet as mx
    from mxnet.contrib.quantization import quantize_net

    images = mx.gluon.data.DataLoader(mx.gluon.data.ArrayDataset(data), batch_size=len(data))
    return quantize_net(
        net, quantize_mode=quantize_mode, calib_mode=calib_mode, calib_data=images,
        data_shapes=[(1, *data.shape[1:])],
    )  # fmt: skip


def pooled(data: Any) -> Any:
    """Return a network with an addition of two poolings, which no convolution takes in."""
    import mxnet as mx
    from mxnet.gluon import nn

    class Pooled(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2D(8, 3, padding=1, in_channels=3)
            self.most, self.mean = nn.MaxPool2D(2), nn.AvgPool2D(2)
            self.second = nn.Conv2D(10, 3, in_channels=8)
            self.scores = nn.GlobalAvgPool2D()

        def forward(self, images: Any) -> Any:
            read = self.first(images)
            added = self.most(read) + self.mean(read)
            return mx.npx.batch_flatten(self.scores(self.second(added)))

    mx.random.seed(0)
    net = Pooled()
    net.initialize()
    net(data[:1]).wait_to_read()
    return net


def test_an_addition_that_is_not_fused_stays(data: Any) -> None:
    """MXNet would quantise a lone ``elemwise_add``, and leaves a lone ``+`` in fp32."""
    from harness.methods.additions import repaired

    net = pooled(data)
    assert repaired(net, data.shape) is net
    models = (quantised(each, data, "smart", "naive") for each in (pooled(data), net))
    assert_same(models, data)
