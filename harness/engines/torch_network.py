"""A network as a module of PyTorch's, read from the ONNX file that ``network.write_network`` writes.

No converter of others is needed: the file has these few operators and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import helper, numpy_helper

from harness.errors import Refused

Attributes = Mapping[str, Any]  # of a node, and RANK
RANK = "rank of the first input"
Weights = Sequence[Any]  # tensors


def read_network(path: Path) -> tuple[Any, tuple[int, int, int]]:
    """Return a network as a ``torch.fx.GraphModule`` for inference, and its images' channels and sides.

    Raises:
        Refused: the file has an operator, or an option of one, that is not read here.
    """
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info)
    }
    weights = {
        tensor.name: torch.tensor(numpy_helper.to_array(tensor)) for tensor in graph.initializer
    }
    root, traced = torch.nn.Module(), torch.fx.Graph()
    values = {graph.input[0].name: traced.placeholder("data")}
    for number, node in enumerate(graph.node):
        own = [weights[name] for name in node.input if name in weights]
        layer = _layer(node, own, ranks.get(node.input[0]))
        inputs = tuple(values[name] for name in node.input if name in values)
        if isinstance(layer, torch.nn.Module):
            name = f"{node.op_type}_{number}"  # names of MXNet's have dots, which are paths here
            root.add_module(name, layer)
            values[node.output[0]] = traced.call_module(name, inputs)
        else:
            values[node.output[0]] = traced.call_function(layer, inputs)
    traced.output(values[graph.output[0].name])
    channels, height, width = (
        dimension.dim_value for dimension in graph.input[0].type.tensor_type.shape.dim[1:]
    )
    return torch.fx.GraphModule(root, traced).eval(), (channels, height, width)


def _layer(node: Any, weights: Weights, rank: int | None) -> Any:
    """Return the module or function that computes an ONNX node, whose first input has this rank."""
    reader = READERS.get(node.op_type)
    if reader is None:
        raise Refused(
            f"the network's operator {node.op_type} (node {node.name}) is not read into PyTorch: read "
            f"are {', '.join(sorted(READERS))}"
        )
    if weights and node.op_type not in WITH_WEIGHTS:
        raise Refused(
            f"the network's operator {node.op_type} (node {node.name}) has numbers of its own as an "
            "operand: that is not read into PyTorch"
        )
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    attributes[RANK] = rank
    return reader(attributes, weights)


def _padding(attributes: Attributes) -> tuple[int, int]:
    """Return how many pixels are added above and on the left; as many are added at the other ends."""
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    if (top, left) != (bottom, right):
        raise Refused(
            f"the network pads {[top, left, bottom, right]}: PyTorch pads both ends alike"
        )
    return top, left


def _convolution(attributes: Attributes, weights: Weights) -> Any:
    weight, groups = weights[0], attributes.get("group", 1)
    layer = torch.nn.Conv2d(
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride=tuple(attributes.get("strides", (1, 1))),
        padding=_padding(attributes),
        dilation=tuple(attributes.get("dilations", (1, 1))),
        groups=groups,
        bias=len(weights) > 1,
    )
    return _filled(layer, weights)


def _batch_norm(attributes: Attributes, weights: Weights) -> Any:
    gamma, beta, mean, variance = weights
    norm = NORMS.get(attributes[RANK])
    if norm is None:
        raise Refused(
            f"the network's operator BatchNormalization has an input of rank {attributes[RANK]}: read "
            f"into PyTorch are ranks {', '.join(map(str, NORMS))}"
        )
    layer = norm(len(gamma), eps=attributes.get("epsilon", 1e-5))
    layer.running_mean, layer.running_var = mean, variance
    return _filled(layer, (gamma, beta))


def _fully_connected(attributes: Attributes, weights: Weights) -> Any:
    if attributes.get("transB") != 1:
        raise Refused("the network has a Gemm without transB=1")
    outputs, inputs = weights[0].shape
    return _filled(torch.nn.Linear(inputs, outputs, bias=len(weights) > 1), weights)


def _filled(layer: Any, weights: Weights) -> Any:
    """Return a layer with its weight and, where there is one, its bias."""
    for name, values in zip(("weight", "bias"), weights):
        setattr(layer, name, torch.nn.Parameter(values, requires_grad=False))
    return layer


def _max_pooling(attributes: Attributes, _: Weights) -> Any:
    return torch.nn.MaxPool2d(**_pooled(attributes))


def _average_pooling(attributes: Attributes, _: Weights) -> Any:
    counts = bool(attributes.get("count_include_pad", 0))
    return torch.nn.AvgPool2d(**_pooled(attributes), count_include_pad=counts)


def _pooled(attributes: Attributes) -> dict[str, Any]:
    """Return what is pooled together, as PyTorch has it."""
    return {
        "kernel_size": tuple(attributes["kernel_shape"]),
        "stride": tuple(attributes.get("strides", (1, 1))),
        "padding": _padding(attributes),
        "ceil_mode": bool(attributes.get("ceil_mode", 0)),
    }


class _Concat(torch.nn.Module):  # type: ignore[misc]  # torch is in another environment
    """Tensors beside each other."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *tensors: Any) -> Any:
        return torch.cat(tensors, self.axis)


def _clip(_: Attributes, weights: Weights) -> Any:
    low, high = map(float, weights)
    return torch.nn.ReLU6() if (low, high) == (0, 6) else torch.nn.Hardtanh(low, high)


def _always(layer: Callable[[], Any]) -> Callable[[Attributes, Weights], Any]:
    """Return the reader of an operator without options: each node gets a layer of its own."""
    return lambda attributes, weights: layer()


NORMS = {  # by the rank of their input
    2: torch.nn.BatchNorm1d,
    3: torch.nn.BatchNorm1d,
    4: torch.nn.BatchNorm2d,
    5: torch.nn.BatchNorm3d,
}
WITH_WEIGHTS = ("BatchNormalization", "Clip", "Conv", "Gemm")
READERS: dict[str, Callable[[Attributes, Weights], Any]] = {
    "Add": _always(lambda: torch.add),
    "AveragePool": _average_pooling,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": lambda attributes, _: _Concat(attributes["axis"]),
    "Conv": _convolution,
    "Elu": lambda attributes, _: torch.nn.ELU(attributes["alpha"]),
    "Flatten": _always(torch.nn.Flatten),
    "Gemm": _fully_connected,
    "GlobalAveragePool": _always(lambda: torch.nn.AdaptiveAvgPool2d(1)),
    "GlobalMaxPool": _always(lambda: torch.nn.AdaptiveMaxPool2d(1)),
    "Identity": _always(torch.nn.Identity),
    "LeakyRelu": lambda attributes, _: torch.nn.LeakyReLU(attributes["alpha"]),
    "MaxPool": _max_pooling,
    "Relu": _always(torch.nn.ReLU),
    "Selu": _always(torch.nn.SELU),
    "Sigmoid": _always(torch.nn.Sigmoid),
    "Softmax": lambda attributes, _: torch.nn.Softmax(attributes["axis"]),
    "Softplus": _always(torch.nn.Softplus),
    "Softsign": _always(torch.nn.Softsign),
    "Tanh": _always(torch.nn.Tanh),
}
