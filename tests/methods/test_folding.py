"""The graph that gradients are taken of is the network, and its gradients are right."""

from __future__ import annotations

import json
from typing import Any

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import HybridBlock, nn

from harness.methods.folding import without_norms
from harness.methods.graph import VARIABLE, Graph
from harness.methods.noise import operators
from harness.methods.operator_facts import FUSED_BACKEND
from harness.methods.probe import Probe

pytestmark = pytest.mark.slow
SHAPE = (1, 3, 12, 12)


@pytest.fixture(scope="module")
def graph() -> Graph:
    """Return a network with batch norms in all positions, with max pooling and dropout."""
    net = nn.HybridSequential()
    net.add(nn.BatchNorm(), nn.Conv2D(8, 3, use_bias=True), nn.BatchNorm(), nn.Activation("relu"))
    net.add(nn.MaxPool2D(3, 2, 1), nn.BatchNorm(), nn.Activation("relu"), nn.Dropout(0.5))
    net.add(nn.Dense(6), nn.BatchNorm())
    net.initialize()
    net(mx.np.zeros(SHAPE))
    rng = np.random.default_rng(0)
    for name, parameter in sorted(net.collect_params().items()):
        if "gamma" in name or "running_var" in name:
            values = rng.uniform(0.5, 2.0, parameter.shape)
        else:
            values = rng.normal(0, 0.3, parameter.shape)
        parameter.set_data(mx.np.array(values, dtype="float32"))
    return Graph.of(net, SHAPE)


@pytest.fixture(scope="module")
def data() -> Any:
    return mx.np.array(np.random.default_rng(1).normal(size=(16, *SHAPE[1:])), dtype="float32")


def test_a_graph_without_batch_norms_is_the_same_function(graph: Graph, data: Any) -> None:
    expected = graph.network()(data).asnumpy()
    for folded, left in ((True, 1), (False, 1)):
        found = without_norms(graph, SHAPE, lambda *_, together=folded: together)
        np.testing.assert_allclose(found.network()(data).asnumpy(), expected, atol=1e-4)
        kinds = [node["op"] for node in found.nodes if node["op"] != VARIABLE]
        assert kinds.count("BatchNorm") == left, "the one behind the dense layer"
        assert kinds.count("Convolution") == (3 if folded else 4)
        assert "Dropout" not in kinds
        read = {at for node in found.nodes for at, *_ in node["inputs"]}
        assert read | {found.heads[0][0]} == set(range(len(found.nodes)))


def test_gradients_in_front_of_max_pooling_are_those_of_the_margins(
    graph: Graph, data: Any
) -> None:
    _check_gradients(graph, data)


class Joined(HybridBlock):
    """Convolutions whose outputs are concatenated at no multiple of oneDNN's blocks of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = [nn.Conv2D(12, 3), nn.Conv2D(4, 3)]
        for number, part in enumerate(self.parts):
            self.register_child(part, str(number))
        self.behind = nn.HybridSequential()
        self.behind.add(nn.BatchNorm(), nn.Activation("relu"), nn.Conv2D(8, 3), nn.Dense(6))

    def forward(self, data: Any) -> Any:
        return self.behind(mx.np.concatenate([part(data) for part in self.parts], axis=1))


def test_gradients_pass_concatenated_channels(data: Any) -> None:
    net = Joined()
    net.initialize(mx.init.Xavier())
    _check_gradients(Graph.of(net, SHAPE), data)


def _check_gradients(graph: Graph, data: Any) -> None:
    fused = operators(json.loads(graph.as_symbol().optimize_for(FUSED_BACKEND).tojson())["nodes"])
    (name,) = graph.inputs
    probe = Probe(graph, fused, {name: (-3.0, 3.0)}, SHAPE)
    gradient = probe.differentiated(data.copy())[name].grad.asnumpy()
    scores = graph.network()
    second, first = np.argsort(scores(data).asnumpy(), axis=1)[:, -2:].T
    rows = np.arange(len(data))

    def margins(images: Any) -> np.ndarray:
        found = scores(images).asnumpy().astype(np.float64)
        return np.asarray(found[rows, first] - found[rows, second])

    direction = np.random.default_rng(2).normal(size=data.shape)
    little = mx.np.array(1e-3 * direction, dtype="float32")
    found = (margins(data + little) - margins(data - little)) / 2e-3
    expected = (gradient * direction).reshape(len(data), -1).sum(axis=1)
    assert np.corrcoef(found, expected)[0, 1] > 0.99
