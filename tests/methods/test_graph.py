"""A traced network is the network, under names that are its own."""

from __future__ import annotations

from typing import Any

import mxnet as mx
import numpy as np
import pytest

from harness.methods.graph import VARIABLE, Graph, with_own_numbers
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
