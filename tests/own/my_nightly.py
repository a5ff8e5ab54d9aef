"""Methods that are worse by a known amount, as code that regressed would be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mxnet as mx
from mxnet.gluon import nn

from harness.methods.base import Context, Optimized
from harness.methods.native import Quantized, Unoptimized


class MoreWork(nn.HybridBlock):
    """A network and a convolution over its input, whose result adds nothing to the scores.

    ``channels`` set how much work that is: 9 multiplications a pixel, colour and channel.
    """

    def __init__(self, net: Any, channels: int) -> None:
        super().__init__()
        self.net = net
        self.more = nn.Conv2D(channels, 3, padding=1, in_channels=3)
        self.more.initialize(mx.init.Zero())

    def forward(self, x: Any) -> Any:
        return self.net(x) + self.more(x).mean()


class OtherAnswers(nn.HybridBlock):
    """A network that answers with the next class where an image's mean is below a given one."""

    def __init__(self, net: Any, below: float) -> None:
        super().__init__()
        self.net, self.below = net, below

    def forward(self, x: Any) -> Any:
        scores = self.net(x)
        mean = x.mean(axis=(1, 2, 3)).reshape((-1, 1))
        return mx.np.where(mean < self.below, mx.np.roll(scores, 1, axis=1), scores)


@dataclass
class Slower:
    """fp32 with more work."""

    channels: int

    def optimize(self, context: Context) -> Optimized:
        net = Unoptimized().optimize(context).net
        return Optimized(_static(MoreWork(net, self.channels)))


@dataclass(frozen=True)
class SlowerQuantized(Quantized):
    """int8 with more work, which stays in fp32."""

    channels: int = 1

    def optimize(self, context: Context) -> Optimized:
        made = super().optimize(context)
        return Optimized(_static(MoreWork(made.net, self.channels)), made.quantization)


@dataclass(frozen=True)
class LessAccurate(Quantized):
    """int8 whose scores are those of the next class where an image is darker than ``below``."""

    below: float = 0.0

    def optimize(self, context: Context) -> Optimized:
        made = super().optimize(context)
        return Optimized(_static(OtherAnswers(made.net, self.below)), made.quantization)


def _static(net: Any) -> Any:
    net.hybridize(static_alloc=True, static_shape=True)
    return net
