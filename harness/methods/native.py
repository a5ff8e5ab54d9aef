"""The rows of MXNet alone: fp32, fp32 fused, and ``quantize_net``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import mxnet as mx
from mxnet.contrib.quantization import quantize_net

from harness.errors import InputError, Refused, one_line, proposal
from harness.methods.base import Context, MethodFacts, Optimized
from harness.methods.graph import numbered
from harness.methods.operator_facts import FUSED_BACKEND, OperatorFacts


class Unoptimized:
    """fp32 as the network was loaded, hybridized with static memory."""

    def optimize(self, context: Context) -> Optimized:
        context.net.hybridize(static_alloc=True, static_shape=True)
        return Optimized(context.net)


class AsReleased(Unoptimized):
    """fp32 with the additions of this MXNet, also in a run that repairs them: the second baseline."""

    repaired_additions = False


class Fused:
    """fp32 with oneDNN's operator fusion (convolution with batch norm, ReLU and addition)."""

    def optimize(self, context: Context) -> Optimized:
        data, _ = next(iter(context.tuning))
        context.net.optimize_for(data, backend="ONEDNN", static_alloc=True, static_shape=True)
        return Optimized(context.net)


@dataclass(frozen=True)
class Quantized:
    """int8 by ``quantize_net``, calibrated on the tuning batches.

    Operators are excluded by the names that INC's rows print, which depend on the network alone.

    Attributes:
        quantize_mode: ``full`` quantises every operator that can be, ``smart`` leaves out those
            whose neighbours stay in fp32.
        calib_mode: ``naive`` takes minimum and maximum, ``entropy`` minimises the KL divergence,
            ``none`` calibrates nothing: ranges are measured again in every batch.
        quantize_granularity: ``tensor-wise`` or ``channel-wise`` scales for weights.
        quantized_dtype: ``auto``, which None is too, takes uint8 where a range has no negative values,
            else int8.
        exclude_layers: names of fused operators that stay in fp32.
        exclude_layers_match: parts of such names.
        exclude_operators: kinds of operators that stay in fp32, such as ``Pooling``.
        num_calib_batches: calibrates on so many tuning batches; None: on all.
    """

    quantize_mode: str
    calib_mode: str
    quantize_granularity: str
    quantized_dtype: str | None = None
    exclude_layers: Sequence[str] | None = None
    exclude_layers_match: Sequence[str] | None = None
    exclude_operators: Sequence[str] | None = None
    num_calib_batches: int | None = None

    def optimize(self, context: Context) -> Optimized:
        """Quantise the network.

        Raises:
            InputError: the network has no operator of a name or kind that is to be excluded.
            Refused: MXNet cannot run this network with these options.
        """
        data, _ = next(iter(context.tuning))
        image = (1, *data.shape[1:])
        excluded: MethodFacts = {"excluded_operators": []}
        if self.exclude_layers or self.exclude_layers_match or self.exclude_operators:
            graph = numbered(context.net, image)
            fused = graph.as_symbol().optimize_for(backend=FUSED_BACKEND)
            operators = OperatorFacts(fused, graph.layers)
            names = self._excluded(operators)
            excluded = {"excluded_operators": names, "excluded_are": operators.of(names)}
            context = replace(context, net=graph.network())
        try:
            net = self._quantize(context, image)
        except mx.base.MXNetError as error:
            if self.quantized_dtype != "uint8" and self.calib_mode != "none":
                raise
            dtype = self.quantized_dtype or "auto"
            raise Refused(
                f"MXNet cannot run this network with quantized_dtype={dtype} and "
                f"calib_mode={self.calib_mode}: {one_line(error)}"
            ) from None
        net.hybridize(static_alloc=True, static_shape=True)
        configured = {
            "quantize_mode": self.quantize_mode,
            "quantize_granularity": self.quantize_granularity,
            "calib_mode": self.calib_mode,
            **excluded,
            **self._unusual(context),
        }
        return Optimized(net, quantization=configured)

    def _quantize(self, context: Context, image: tuple[int, ...]) -> Any:
        net = quantize_net(
            context.net,
            quantize_mode=self.quantize_mode,
            calib_mode=self.calib_mode,
            quantize_granularity=self.quantize_granularity,
            quantized_dtype=self.quantized_dtype or "auto",
            exclude_layers=list(self.exclude_layers or ()),  # MXNet adds to it
            exclude_layers_match=list(self.exclude_layers_match or ()),
            exclude_operators=list(self.exclude_operators or ()),
            num_calib_batches=self.num_calib_batches,
            calib_data=context.tuning,
            # It runs blank images through the fp32 network to see its graph, by default two batches
            # as large as those it calibrates on; one image shows the same graph.
            data_shapes=[image],
        )
        if self.quantized_dtype == "uint8" or self.calib_mode == "none":
            net(mx.np.zeros(image)).wait_to_read()  # MXNet refuses a type only when it runs
        return net

    def _excluded(self, operators: OperatorFacts) -> list[str]:
        """Return the names of the operators that the three options exclude, in the network's order."""
        names, kinds = operators.names, operators.kinds
        _require("exclude_layers", self.exclude_layers, names, names)
        matching = [name for name in self.exclude_layers_match or () if _any_has(name, names)]
        _require("exclude_layers_match", self.exclude_layers_match, matching, names)
        _require("exclude_operators", self.exclude_operators, set(kinds.values()), names)
        return [
            name
            for name in names
            if name in (self.exclude_layers or ())
            or any(part in name for part in matching)
            or kinds[name] in (self.exclude_operators or ())
        ]

    def _unusual(self, context: Context) -> MethodFacts:
        """Return the options that a plain row does not have."""
        facts: dict[str, Any] = {}
        if self.quantized_dtype not in (None, "auto"):
            facts["quantized_dtype"] = self.quantized_dtype
        if self.num_calib_batches is not None and self.calib_mode != "none":
            images = self.num_calib_batches * context.tuning.batch_size
            facts["calibration_images"] = min(images, len(context.tuning.labels))
        return facts


def _any_has(part: str, names: Collection[str]) -> bool:
    return any(part in name for name in names)


def _require(
    option: str, values: Sequence[str] | None, known: Collection[str], names: Collection[str]
) -> None:
    """Raise InputError if a value is none of those that are known."""
    for value in values or ():
        if value not in known:
            what = ", ".join(sorted(known) if option == "exclude_operators" else names)
            raise InputError(
                f"{option}: {value!r} is no operator of this network"
                f"{proposal(value, known or names)}: it has {what}"
            )
