"""Equalisation leaves fp32 as it is, and takes from int8 what channels of unequal range cost it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.images.batches import Batches
from harness.methods.base import Context
from harness.methods.equalize import Equalized, _groups, _ranges, correct_bias, equalize
from harness.methods.graph import Graph
from harness.methods.native import Quantized
from harness.methods.weights import INT8, Weights, rounding_error
from harness.workloads.models import custom
from helpers.bundled_images import TRANSFORM, rescaled, scores

pytestmark = pytest.mark.slow
SHAPE = (1, 3, 56, 56)


@pytest.fixture(scope="module")
def images(every: Batches) -> Batches:
    """Return the first 640 of them."""
    return Batches(every._prepared, every.labels[:640], 64, TRANSFORM, keep=True)


def test_fp32_predicts_the_same_on_every_image(every: Batches, fp32_scores: np.ndarray) -> None:
    graph = Graph.of(rescaled(), SHAPE)
    assert equalize(graph) > 30
    before, after = fp32_scores, scores(graph.network(), every)
    assert len(before) == 10_000
    assert (before.argmax(1) != after.argmax(1)).sum() <= 1
    assert np.abs(before - after).max() < 1e-4 * np.abs(before).max()


@pytest.mark.parametrize("name", ["resnet18_v1", "resnet18_v2", "mobilenetv2_0.25"])
def test_any_network_keeps_its_function(name: str) -> None:
    net = custom(name, None, None, 10, random_weights=True)
    data = mx.np.array(np.random.default_rng(0).normal(size=(2, 3, 64, 64)), dtype="float32")
    expected = net(data).asnumpy()
    for key, parameter in net.collect_params().items():
        if key.endswith(("gamma", "beta", "running_mean", "running_var")):
            rng = np.random.default_rng(len(key))
            parameter.set_data(mx.np.array(rng.uniform(0.1, 9, parameter.shape), dtype="float32"))
    expected = net(data).asnumpy()
    graph = Graph.of(net, data.shape)
    assert equalize(graph) > 5
    found = graph.network()(data).asnumpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_defect_is_gone() -> None:
    """The channels behind the first convolution span more than two decades, then less than a factor."""
    graph = Graph.of(rescaled(), SHAPE)

    def spread() -> float:
        weights = Weights(graph)
        ranges = [_ranges(group, weights) for group in _groups(graph) if _is_first(group)]
        (found,) = (each for each in ranges if each is not None)
        return float(np.quantile(found, 0.9) / np.quantile(found, 0.1))

    def _is_first(group: Any) -> bool:
        names = {Weights(graph).name(node, 1) for node in group.entries}
        return "features.2.gamma" in names

    assert spread() > 50
    equalize(graph)
    assert spread() < 3


def test_int8_keeps_what_equalisation_gives_it(images: Batches, tmp_path: Path) -> None:
    tuning = Batches(images._prepared, images.labels[:128], 64, TRANSFORM, keep=True)
    fp32 = scores(rescaled(), images).argmax(1)
    int8 = Quantized("full", "naive", "tensor-wise")
    changed = {}
    for name, method in (("plain", int8), ("equalised", Equalized(int8, bias_correction=True))):
        context = Context(rescaled(), tuning, tmp_path, None, lambda *_: None)
        made = method.optimize(context)
        found = np.concatenate([made.net(each).asnumpy() for each, _ in images])
        changed[name] = float((found.argmax(1) != fp32).mean())
    assert changed["plain"] > 0.2
    assert changed["equalised"] < 0.03
    assert made.quantization["bias_corrected"] == 53  # all convolutions
    assert made.quantization["equalized_groups"] > 30


def test_a_network_that_cannot_be_equalised_says_so(images: Batches, tmp_path: Path) -> None:
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(4, 3), mx.gluon.nn.Activation("sigmoid"), mx.gluon.nn.Dense(10))
    net.initialize()
    tuning = Batches(images._prepared, images.labels[:64], 64, TRANSFORM, keep=True)
    method = Equalized(Quantized("smart", "naive", "tensor-wise"))
    made = method.optimize(Context(net, tuning, tmp_path, None, lambda *_: None))
    assert made.warnings == ["the network has no tensors that could be equalised"]


WEIGHTS = arrays.arrays(
    np.float64, arrays.array_shapes(min_dims=2, max_dims=4, max_side=4), elements=st.floats(-9, 9)
)


@given(WEIGHTS)
@example(np.array([[5e-324, 0.0], [1.0, -9.0]]))  # whose step underflows
def test_rounding_error_is_at_most_half_a_step(weight: np.ndarray) -> None:
    error = rounding_error(weight)
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    step = (largest / INT8).reshape(-1, *[1] * (weight.ndim - 1))
    assert np.all(np.abs(error) <= step / 2 + 1e-12)


@given(WEIGHTS, st.floats(0.01, 100))
def test_a_folded_batch_norm_does_not_matter_where_outputs_have_their_own_scales(
    weight: np.ndarray, factor: float
) -> None:
    factors = np.full(len(weight), factor)
    step = np.abs(weight).max() / INT8
    # but where a value is half-way between two steps
    differ = np.abs(rounding_error(weight, factors) - rounding_error(weight))
    assert differ.max() <= step * 1.001 + 1e-12


def test_bias_correction_takes_the_mean_shift_away() -> None:
    """Of a convolution whose weights are rounded for real, on inputs as its batch norm says."""
    net = mx.gluon.nn.HybridSequential()
    norm = mx.gluon.nn.BatchNorm(in_channels=8)
    last = mx.gluon.nn.BatchNorm(in_channels=4)
    net.add(norm, mx.gluon.nn.Activation("relu"))
    net.add(mx.gluon.nn.Conv2D(4, 1, in_channels=8, use_bias=False), last)
    net.initialize(mx.init.Normal(1.0))
    rng = np.random.default_rng(0)
    norm.gamma.set_data(mx.np.array(rng.uniform(0.5, 2, 8), dtype="float32"))
    norm.beta.set_data(mx.np.array(rng.normal(size=8), dtype="float32"))
    data = mx.np.array(rng.normal(size=(512, 8, 12, 12)), dtype="float32")
    expected = net(data).asnumpy().mean(axis=(0, 2, 3))
    graph = Graph.of(net, (1, 8, 12, 12))
    (convolution,) = (node for node in graph.nodes if node["op"] == "Convolution")

    def shift(corrected: bool) -> float:
        rounded = Graph(graph.symbol, dict(graph.params))
        if corrected:
            assert correct_bias(rounded) == 1
        weights = Weights(rounded)
        weight = weights.get(convolution, 1)
        norms = [node for node in rounded.nodes if node["op"] == "BatchNorm"]
        error = rounding_error(weight, weights.normalising(norms[-1]))
        weights.set(convolution, 1, weight + error)
        found = rounded.network()(data).asnumpy().mean(axis=(0, 2, 3))
        return float(np.abs(found - expected).max())

    assert shift(corrected=True) < 0.15 * shift(corrected=False)
