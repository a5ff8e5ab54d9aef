"""Methods that are worse by a known amount, as code that regressed would be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mxnet as mx
from mxnet.gluon import nn

from harness.methods.base import Context, Optimized
from harness.methods.native import Fused, Quantized, Unoptimized


def with_more_work(net: Any, channels: int) -> None:
    """Let a network also run a convolution over its input and add its mean to every score.

    That changes no answer. ``channels`` set how much work it is: 27 multiplications for a channel
    and every fourth pixel.
    """
    net.more = nn.Conv2D(channels, 3, strides=2, padding=1, in_channels=3)
    net.more.initialize(mx.init.Uniform(1e-3))
    kind = type(net)

    def forward(self: Any, x: Any) -> Any:
        return kind.forward(self, x) + self.more(x).mean()

    net.__class__ = type(f"{kind.__name__}WithMoreWork", (kind,), {"forward": forward})


def with_bias(net: Any, bias: float) -> None:
    """Let a network prefer its first class by so much."""
    parameter = net.output.bias
    values = parameter.data().asnumpy()
    values[0] += bias
    parameter.set_data(mx.np.array(values))


@dataclass(frozen=True)
class Worse:
    """fp32, fp32 fused or int8, slower or less accurate than it was.

    Attributes:
        channels: of the convolution that is more work; 0 for none.
        bias: added to the score of the first class.
        fused: fp32 fused; else int8 if there is a ``quantize_mode``, else fp32.
    """

    channels: int = 0
    bias: float = 0.0
    fused: bool = False
    quantize_mode: str | None = None
    calib_mode: str = "naive"
    quantize_granularity: str = "tensor-wise"

    def optimize(self, context: Context) -> Optimized:
        if self.channels:
            with_more_work(context.net, self.channels)
        if self.bias:
            with_bias(context.net, self.bias)
        if self.quantize_mode is None:
            return (Fused() if self.fused else Unoptimized()).optimize(context)
        return Quantized(self.quantize_mode, self.calib_mode, self.quantize_granularity).optimize(
            context
        )
