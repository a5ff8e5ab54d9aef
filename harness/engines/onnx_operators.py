"""How each operator of MXNet that image classifiers use is written in ONNX.

They are those of the Gluon zoo's networks, and what MXNet 1 called them. An option whose meaning differs
between the two is refused by its name. Their definitions: https://onnx.ai/onnx/operators, and the
parameters of MXNet's ``src/operator``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from harness.errors import Refused
from harness.workloads.model_files import Node

ACTIVATIONS = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softrelu": "Softplus",
    "softsign": "Softsign",
}
SLOPED = {"leaky": "LeakyRelu", "elu": "Elu", "selu": "Selu"}


class Writer(Protocol):
    """What a mapping adds its operator to."""

    def add(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add an ONNX node and return the name of its output, which is its own."""

    def constant(self, name: str, values: Any) -> str:
        """Add numbers that no weight of the network has; return their name."""

    def tensor(self, node: Node, at: int) -> str:
        """Return the name of the tensor that a node reads; a weight becomes an initializer."""

    def tensors(self, node: Node) -> list[str]:
        """Return the names of all that a node reads."""

    def values(self, node: Node, at: int) -> npt.NDArray[Any]:
        """Return the weight that a node reads."""


Mapping = Callable[[Writer, Node], str]  # returns the name of the operator's output


def _attribute(node: Node, name: str, default: Any) -> Any:
    """Return an attribute, which MXNet writes as Python spells it: numbers, tuples, None, words."""
    text = node.get("attrs", {}).get(name)
    if text is None:
        return default
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return default if value is None else value


def _require(node: Node, name: str, usual: Any) -> None:
    value = _attribute(node, name, usual)
    if value != usual:
        raise Refused(
            f"the network's operator {node['op']} (node {node['name']}) has {name}={value}: only "
            f"{usual} has a mapping to ONNX"
        )


def _window(node: Node) -> dict[str, Any]:
    """Return kernel, strides and padding of a convolution or pooling of two dimensions."""
    kernel = list(_attribute(node, "kernel", ()))
    if len(kernel) != 2:
        raise Refused(f"node {node['name']} has a kernel of {len(kernel)} sides, and 2 are mapped")
    _require(node, "layout", "NCHW")
    return {
        "kernel_shape": kernel,
        "strides": list(_attribute(node, "stride", ()) or (1, 1)),
        "pads": list(_attribute(node, "pad", ()) or (0, 0)) * 2,
    }


def _convolution(writer: Writer, node: Node) -> str:
    return writer.add(
        "Conv",
        writer.tensors(node),
        node["name"],
        dilations=list(_attribute(node, "dilate", ()) or (1, 1)),
        group=int(_attribute(node, "num_group", 1)),
        **_window(node),
    )


def _batch_norm(writer: Writer, node: Node) -> str:
    _require(node, "axis", 1)
    is_fixed = int(_attribute(node, "fix_gamma", 1))  # whatever gamma holds, MXNet takes 1
    gamma = (
        writer.constant(f"{node['name']}_ones", np.ones_like(writer.values(node, 1)))
        if is_fixed
        else writer.tensor(node, 1)
    )
    inputs = [writer.tensor(node, 0), gamma, *(writer.tensor(node, at) for at in (2, 3, 4))]
    epsilon = float(_attribute(node, "eps", 1e-3))
    return writer.add("BatchNormalization", inputs, node["name"], epsilon=epsilon)


def _activation(writer: Writer, node: Node) -> str:
    kind = ACTIVATIONS.get(_attribute(node, "act_type", ""))
    if kind is None:
        raise Refused(
            f"the network's Activation (node {node['name']}) has "
            f"act_type={_attribute(node, 'act_type', None)}: mapped are {', '.join(ACTIVATIONS)}"
        )
    return writer.add(kind, writer.tensors(node), node["name"])


def _pooling(writer: Writer, node: Node) -> str:
    kind = _attribute(node, "pool_type", "max")
    if kind not in ("max", "avg"):
        raise Refused(f"the network's Pooling (node {node['name']}) has pool_type={kind}")
    _require(node, "layout", "NCHW")
    if int(_attribute(node, "global_pool", 0)):
        name = "GlobalMaxPool" if kind == "max" else "GlobalAveragePool"
        return writer.add(name, writer.tensors(node), node["name"])
    window = _window(node)
    is_full = _attribute(node, "pooling_convention", "valid") == "full"
    if is_full:
        _require_shared_rounding(node, window)
    else:
        _require(node, "pooling_convention", "valid")
    if kind == "max":
        return writer.add(
            "MaxPool", writer.tensors(node), node["name"], ceil_mode=int(is_full), **window
        )
    counts = int(_attribute(node, "count_include_pad", 1)) if any(window["pads"]) else 0
    if is_full and counts:  # what lies beyond the padding counts otherwise in each library
        _require(node, "count_include_pad", 0)
    return writer.add(
        "AveragePool",
        writer.tensors(node),
        node["name"],
        count_include_pad=counts,
        ceil_mode=int(is_full),
        **window,
    )


def _require_shared_rounding(node: Node, window: dict[str, Any]) -> None:
    """Refuse a pooling that rounds its size up and could have a window in the padding alone.

    MXNet keeps such a window, and engines leave it out. None can be where stride and padding together
    are no longer than the kernel.
    """
    sides = zip(window["kernel_shape"], window["strides"], window["pads"])
    if any(stride + pad > kernel for kernel, stride, pad in sides):
        _require(node, "pooling_convention", "valid")


def _fully_connected(writer: Writer, node: Node) -> str:
    _require(node, "flatten", 1)
    data, *weights = writer.tensors(node)
    flat = writer.add("Flatten", [data], f"{node['name']}_flat", axis=1)
    return writer.add("Gemm", [flat, *weights], node["name"], transB=1)


def _leaky(writer: Writer, node: Node) -> str:
    kind = _attribute(node, "act_type", "leaky")
    slope = float(_attribute(node, "slope", 0.25))
    if kind == "prelu":
        slopes = writer.values(node, 1)
        if slopes.size > 1:  # of the channels, before rows and columns
            slopes = slopes.reshape(-1, 1, 1)
        inputs = [writer.tensor(node, 0), writer.constant(f"{node['name']}_slopes", slopes)]
        return writer.add("PRelu", inputs, node["name"])
    if kind not in SLOPED:
        raise Refused(
            f"the network's LeakyReLU (node {node['name']}) has act_type={kind}: mapped are "
            f"{', '.join((*SLOPED, 'prelu'))}"
        )
    alpha = {} if kind == "selu" else {"alpha": slope}
    return writer.add(SLOPED[kind], writer.tensors(node), node["name"], **alpha)


def _dropout(writer: Writer, node: Node) -> str:
    _require(node, "mode", "training")
    return writer.add("Identity", writer.tensors(node), node["name"])


def _concat(writer: Writer, node: Node) -> str:
    axis = int(_attribute(node, "dim", 1))
    return writer.add("Concat", writer.tensors(node), node["name"], axis=axis)


def _pad(writer: Writer, node: Node) -> str:
    mode = _attribute(node, "mode", "constant")
    if mode not in ("constant", "edge", "reflect"):
        raise Refused(f"the network's {node['op']} (node {node['name']}) has mode={mode}")
    if mode == "reflect":
        _require(node, "reflect_type", "even")
    # before and after each side in turn; ONNX has all before, then all after
    widths = np.asarray(_attribute(node, "pad_width", ()), np.int64).reshape(-1, 2)
    fill = _attribute(node, "constant_value", _attribute(node, "constant_values", 0))
    inputs = [
        writer.tensor(node, 0),
        writer.constant(f"{node['name']}_widths", widths.T.reshape(-1)),
        writer.constant(f"{node['name']}_fill", np.float32(fill)),
    ]
    return writer.add("Pad", inputs[: 3 if mode == "constant" else 2], node["name"], mode=mode)


def _clip(writer: Writer, node: Node) -> str:
    bounds = [
        writer.constant(f"{node['name']}_{key}", np.float32(_attribute(node, key, default)))
        for key, default in (("a_min", -np.inf), ("a_max", np.inf))
    ]
    return writer.add("Clip", [writer.tensor(node, 0), *bounds], node["name"])


def _softmax(writer: Writer, node: Node) -> str:
    for option, usual in (("temperature", 1.0), ("use_length", 0)):
        _require(node, option, usual)
    axis = int(_attribute(node, "axis", -1))
    return writer.add("Softmax", writer.tensors(node), node["name"], axis=axis)


def _reshape(writer: Writer, node: Node) -> str:
    """Write a reshape that keeps the images and joins the rest, which is a Flatten."""
    shape = _attribute(node, "newshape", _attribute(node, "shape", None))
    kept = -2 if node["op"] == "_npx_reshape" else 0  # how each spells the side that it keeps
    if tuple(shape or ()) != (kept, -1):
        raise Refused(
            f"the network's {node['op']} (node {node['name']}) makes the shape {shape}: only "
            f"({kept}, -1) has a mapping to ONNX"
        )
    return writer.add("Flatten", writer.tensors(node), node["name"], axis=1)


def _mean(writer: Writer, node: Node) -> str:
    axes = _attribute(node, "axis", None)
    if axes is None:
        raise Refused(f"the network's {node['op']} (node {node['name']}) is over all axes")
    return writer.add(
        "ReduceMean",
        writer.tensors(node),
        node["name"],
        axes=[axes] if isinstance(axes, int) else list(axes),
        keepdims=int(_attribute(node, "keepdims", 0)),
    )


def _named(kind: str, **attributes: Any) -> Mapping:
    """Return the mapping of an operator that has another name in ONNX, and no options here."""
    return lambda writer, node: writer.add(kind, writer.tensors(node), node["name"], **attributes)


def _with_scalar(kind: str, *, is_first: bool = False) -> Mapping:
    """Return the mapping of an operator whose other operand is a number.

    Args:
        is_first: the number is the first operand.
    """

    def write(writer: Writer, node: Node) -> str:
        number = np.float32(_attribute(node, "scalar", 1))
        inputs = [writer.tensor(node, 0), writer.constant(f"{node['name']}_scalar", number)]
        return writer.add(kind, inputs[::-1] if is_first else inputs, node["name"])

    return write


def _synonyms(mapping: Mapping, *names: str) -> dict[str, Mapping]:
    return dict.fromkeys(names, mapping)


MAPPINGS: dict[str, Mapping] = {
    "Activation": _activation,
    "BatchNorm": _batch_norm,
    "Convolution": _convolution,
    "FullyConnected": _fully_connected,
    "LeakyReLU": _leaky,
    "Pooling": _pooling,
    **_synonyms(_concat, "Concat"),
    **_synonyms(_dropout, "Dropout"),
    **_synonyms(_pad, "Pad", "_npi_pad"),
    **_synonyms(_clip, "clip", "_npi_clip"),
    **_synonyms(_softmax, "softmax"),
    **_synonyms(_reshape, "Reshape", "_npx_reshape"),
    **_synonyms(_mean, "mean", "_npi_mean"),
    **_synonyms(_named("Flatten", axis=1), "Flatten"),
    **_synonyms(_named("Identity"), "_copy", "identity"),
    **_synonyms(_named("Relu"), "relu", "_npx_relu"),
    **_synonyms(_named("Sigmoid"), "sigmoid", "_npx_sigmoid"),
    **_synonyms(_named("Add"), "elemwise_add", "broadcast_add", "_npi_add"),
    **_synonyms(_named("Sub"), "elemwise_sub", "broadcast_sub", "_npi_subtract"),
    **_synonyms(_named("Mul"), "elemwise_mul", "broadcast_mul", "_npi_multiply"),
    **_synonyms(_named("Div"), "elemwise_div", "broadcast_div", "_npi_true_divide"),
    **_synonyms(_with_scalar("Add"), "_plus_scalar", "_npi_add_scalar"),
    **_synonyms(_with_scalar("Sub"), "_minus_scalar", "_npi_subtract_scalar"),
    **_synonyms(_with_scalar("Sub", is_first=True), "_rminus_scalar", "_npi_rsubtract_scalar"),
    **_synonyms(_with_scalar("Mul"), "_mul_scalar", "_npi_multiply_scalar"),
    **_synonyms(_with_scalar("Div"), "_div_scalar", "_npi_true_divide_scalar"),
    **_synonyms(_with_scalar("Div", is_first=True), "_rdiv_scalar", "_npi_rtrue_divide_scalar"),
}
