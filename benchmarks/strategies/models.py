"""The bundled network, trained and sound, and the same with defects put in where it is known.

All but ``heavy tails`` leave the fp32 function as it is: what one operator multiplies in, the next
divides out. So the accuracy that int8 loses on them is the defect's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import mxnet as mx
import numpy as np
import numpy.typing as npt

from benchmarks.bundled.make import HERE, apply_scale, pretrained

FIRST_DECADES = 1.2  # as in the published defect's copy, the bundled workload
MIDDLE_DECADES = 1.6
OUTLIER = 100.0
TAIL_SIGMA, TAIL = 2.0, 400.0
FIRST_STAGE, LAST_STAGE, FINAL_NORM = 5, 8, 9  # among ``net.features``

Rng = np.random.Generator


def sound(params: str = str(HERE / "resnet50v2_w4.params")) -> Any:
    """Return the network as it was trained: the bundled weights with their rescaling undone."""
    net = pretrained(params)
    scale = np.array(json.loads((HERE / "rescale.json").read_text())["scale"])
    apply_scale(net, 1 / scale)
    return net


def first(net: Any, rng: Rng) -> str:
    """Spread the channels behind the first convolution over two decades and more."""
    channels = net.features[2].gamma.shape[0]
    apply_scale(net, rng.permutation(np.logspace(-FIRST_DECADES, FIRST_DECADES, channels)))
    return "features.2"


def middle(net: Any, rng: Rng) -> str:
    """Spread the channels of a batch norm that all of a later stage hangs on over three decades."""
    name, norm, readers = _gateway(net, rng)
    scale = rng.permutation(np.logspace(-MIDDLE_DECADES, MIDDLE_DECADES, norm.gamma.shape[0]))
    _multiply(norm.gamma, scale, 0)
    _multiply(norm.beta, scale, 0)
    for reader in readers:
        _multiply(reader.weight, 1 / scale, 1)
    return name


def residual(net: Any, rng: Rng) -> str:
    """Make two channels of one stage's residual sum outliers: all that add to it, all that read it."""
    stage = int(rng.integers(FIRST_STAGE, LAST_STAGE + 1))
    blocks = list(net.features[stage])
    channels = blocks[0].conv3.weight.shape[0]
    scale = np.ones(channels)
    scale[rng.choice(channels, 2, replace=False)] = OUTLIER
    writers = [block.conv3 for block in blocks] + [blocks[0].downsample]
    after = net.features[FINAL_NORM] if stage == LAST_STAGE else net.features[stage + 1][0].bn1
    for writer in writers:
        _multiply(writer.weight, scale, 0)
    for reader in [*(block.bn1 for block in blocks[1:]), after]:
        epsilon = reader._kwargs["eps"]
        _multiply(reader.running_mean, scale, 0)
        variance = reader.running_var.data().asnumpy().astype(np.float64)
        reader.running_var.set_data(_array((variance + epsilon) * scale**2 - epsilon))
    return f"features.{stage}"


def heavy_tails(net: Any, rng: Rng) -> str:
    """Let the channel that a stage uses least fire rarely, and then hundreds of times as high."""
    name, norm, readers = _gateway(net, rng)
    gamma, beta = (each.data().asnumpy() for each in (norm.gamma, norm.beta))
    weights = [reader.weight.data().asnumpy() for reader in readers]
    used = sum(np.abs(weight).sum(axis=(0, 2, 3)) for weight in weights) * np.abs(gamma)
    channel = int(used.argmin())
    high = TAIL * float(np.abs(gamma).max())
    gamma[channel], beta[channel] = high, -TAIL_SIGMA * high
    norm.gamma.set_data(_array(gamma))
    norm.beta.set_data(_array(beta))
    for reader, weight in zip(readers, weights):
        weight[:, channel] /= 10 * TAIL
        reader.weight.set_data(_array(weight))
    return f"{name}, channel {channel}"


def two(net: Any, rng: Rng) -> str:
    """Do both of the first two."""
    return f"{first(net, rng)} and {middle(net, rng)}"


def none(net: Any, rng: Rng) -> str:
    """Change nothing."""
    return "none"


DEFECTS: dict[str, Callable[[Any, Rng], str]] = {
    "none": none,
    "first": first,
    "middle": middle,
    "two": two,
    "residual": residual,
    "heavy tails": heavy_tails,
}


def made(defect: str, seed: int) -> tuple[Any, str]:
    """Return a network with a defect, and where it is."""
    net = sound()
    where = DEFECTS[defect](net, np.random.default_rng(seed))
    return net, where


def network(params: str, defect: str, seed: int) -> Any:
    """Return a network with a defect, as a workload names it; ``params``: the bundled weights."""
    net = sound(params)
    DEFECTS[defect](net, np.random.default_rng(seed))
    return net


def _gateway(net: Any, rng: Rng) -> tuple[str, Any, list[Any]]:
    """Return a later stage's first batch norm and the two convolutions that read it.

    Elsewhere a defect sits in one branch, and the residual sum goes around it.
    """
    stage = int(rng.integers(FIRST_STAGE + 1, LAST_STAGE + 1))
    block = net.features[stage][0]
    return f"features.{stage}.0.bn1", block.bn1, [block.conv1, block.downsample]


def _multiply(parameter: Any, scale: npt.NDArray[Any], axis: int) -> None:
    values = parameter.data().asnumpy()
    shape = [1] * values.ndim
    shape[axis] = -1
    parameter.set_data(_array(values * scale.reshape(shape)))


def _array(values: npt.NDArray[Any]) -> Any:
    return mx.np.array(values, dtype="float32")
