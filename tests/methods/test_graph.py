"""A traced network is the network, under names that are its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mxnet as mx
import numpy as np
import pytest

from harness.methods.additions import repaired
from harness.methods.graph import VARIABLE, Graph, numbered, with_own_numbers
from harness.methods.operator_facts import FUSED_BACKEND, OperatorFacts
from helpers.command_line import OWN

assert OWN  # it is on the path now
from my_network import network  # noqa: E402

pytestmark = pytest.mark.slow
SHAPE = (1, 3, 28, 28)


def operators(net: Any) -> list[tuple[str, str]]:
    return [(n["op"], n["name"]) for n in Graph.of(net, SHAPE).nodes if n["op"] != VARIABLE]


def test_names_do_not_depend_on_networks_before() -> None:
    assert operators(network(10)) != operators(network(10)), "MXNet counts on"
    found = [operators(with_own_numbers(network(10), SHAPE)) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0][0][1] == "node_0"
    assert len({name for _, name in found[0]}) == len(found[0])


def test_a_network_comes_back_with_its_scores() -> None:
    data = mx.np.array(np.random.default_rng(0).normal(size=(4, *SHAPE[1:])), dtype="float32")
    net = network(10)
    again = with_own_numbers(net, SHAPE)
    np.testing.assert_array_equal(again(data).asnumpy(), net(data).asnumpy())
    once_more = with_own_numbers(again, SHAPE)
    assert operators(once_more) == operators(again)


def test_every_operator_is_placed_in_the_network_that_it_is_of() -> None:
    graph = numbered(network(10), SHAPE)
    operators = OperatorFacts(graph.as_symbol().optimize_for(backend=FUSED_BACKEND), graph.layers)
    described = operators.of([*operators.names, "no_such"])
    assert list(described) == operators.names
    assert described["node_11"] == {
        "kind": "Activation",
        "layer": "features.3.0",  # a function in its forward pass, no layer of its own
        "behind": ["node_10 (features.3.0.bn1)"],
        "feeds": [
            "sg_onednn_conv_bn_act_4 (features.3.0.conv1)",
            "sg_onednn_conv_6 (features.3.0.downsample)",
        ],
    }
    assert described["sg_onednn_conv_bn_act_0"]["kind"] == "Convolution + BatchNorm + Activation"
    assert described["sg_onednn_fully_connected_0"]["behind"] == ["node_18 (features.4)"]
    assert described["sg_onednn_fully_connected_0"]["feeds"] == []
    assert operators.of(["node_11_output"]) == {"node_11_output": described["node_11"]}


def test_without_layers_weights_say_where_an_operator_is() -> None:
    graph = numbered(replace(Graph.of(network(10), SHAPE), layers={}).network(), SHAPE)
    assert graph.layers == {}
    operators = OperatorFacts(graph.as_symbol().optimize_for(backend=FUSED_BACKEND), graph.layers)
    described = operators.of(["node_10", "node_11"])
    assert [one["layer"] for one in described.values()] == ["features.3.0.bn1", ""]


def test_a_repaired_network_has_the_layers_that_it_was_made_of() -> None:
    first, again = network(10), network(10)
    described = [
        OperatorFacts(graph.as_symbol().optimize_for(backend=FUSED_BACKEND), graph.layers)
        for graph in (numbered(first, SHAPE), numbered(repaired(again, (2, *SHAPE[1:])), SHAPE))
    ]
    assert again is not repaired(again, (2, *SHAPE[1:]))
    before, after = (facts.of(facts.names) for facts in described)
    assert before == after
