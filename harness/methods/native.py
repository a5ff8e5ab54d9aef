"""The rows of MXNet alone: fp32, fp32 fused, and ``quantize_net``."""

from __future__ import annotations

from dataclasses import dataclass

from mxnet.contrib.quantization import quantize_net

from harness.methods.base import Context, Optimized


class Unoptimized:
    """fp32 as the network was loaded, hybridized with static memory."""

    def optimize(self, context: Context) -> Optimized:
        context.net.hybridize(static_alloc=True, static_shape=True)
        return Optimized(context.net)


class AsReleased(Unoptimized):
    """fp32 with the additions of this MXNet, also in a run that repairs them: the second baseline."""

    mxnet_additions = None  # of this row, whatever the run's


class Fused:
    """fp32 with oneDNN's operator fusion (convolution with batch norm, ReLU and addition)."""

    def optimize(self, context: Context) -> Optimized:
        data, _ = next(iter(context.tuning))
        context.net.optimize_for(data, backend="ONEDNN", static_alloc=True, static_shape=True)
        return Optimized(context.net)


@dataclass(frozen=True)
class Quantized:
    """int8 by ``quantize_net``, calibrated on all tuning batches.

    Attributes:
        quantize_mode: ``full`` quantises every operator that can be, ``smart`` leaves out those
            whose neighbours stay in fp32.
        calib_mode: ``naive`` takes minimum and maximum, ``entropy`` minimises the KL divergence.
        quantize_granularity: ``tensor-wise`` or ``channel-wise`` scales for weights.
    """

    quantize_mode: str
    calib_mode: str
    quantize_granularity: str

    def optimize(self, context: Context) -> Optimized:
        data, _ = next(iter(context.tuning))
        net = quantize_net(
            context.net,
            quantize_mode=self.quantize_mode,
            calib_mode=self.calib_mode,
            quantize_granularity=self.quantize_granularity,
            calib_data=context.tuning,
            # It runs blank images through the fp32 network to see its graph, by default two batches
            # as large as those it calibrates on; one image shows the same graph.
            data_shapes=[(1, *data.shape[1:])],
        )
        net.hybridize(static_alloc=True, static_shape=True)
        configured = {
            "quantize_mode": self.quantize_mode,
            "quantize_granularity": self.quantize_granularity,
            "calib_mode": self.calib_mode,
            "excluded_operators": [],
        }
        return Optimized(net, quantization=configured)
