"""The machine's roof: the most operations per second that oneDNN reaches here, and a row's share.

The roof of a data type is the median over repeats of the fastest of a few large convolutions, timed
by oneDNN itself inside MXNet. One multiply-accumulate is two operations. A row's share compares its
time per image with the least that its convolutions and inner products could take:

    share = images/s * sum over data types of (operations per image in that type / roof of that type)

For a network all in one type that is operations/s over the roof. Where an int8 row keeps operators
in fp32, these are measured against the fp32 roof: a share of 1 would mean that nothing but arithmetic
took time, each operator at the best speed of the type that it really ran in. All else that a network
does (pooling, conversions, memory) has no operations here, and lowers the share.
After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore
architectures", CACM 52 (2009); only its flat part: memory bandwidth is not measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.storage.outcomes import OK
from harness.storage.record import RoofRecord
from harness.storage.stage_facts import Dtype, Kernel, RoofKernel
from harness.table.kernels import Primitive, Profile, is_compute, made_by

OF_SOURCE = {"f32": "fp32", "bf16": "bf16", "s8": "int8", "u8": "int8"}


@dataclass(frozen=True)
class Peak:
    """The roof of one data type, in 10^9 operations per second.

    Attributes:
        gops: median over the repeats of the fastest kernel.
        low, high: its slowest and its fastest repeat.
        kernel: oneDNN's primitive and implementation.
        shapes: of the convolution, in oneDNN's notation.
    """

    gops: float
    low: float
    high: float
    kernel: str
    shapes: str
    repeats: int


@dataclass(frozen=True)
class Share:
    """A row's share of the roof, 0 .. 1 and seldom above; None with the reason where not known."""

    value: float | None
    reason: str = ""


def roof_peaks(record: RoofRecord | None) -> dict[str, Peak]:
    """Return the roofs by data type: fp32, bf16, int8; empty where they were not measured."""
    best: dict[str, Peak] = {}
    if record is None or record.outcome.kind != OK or record.facts is None:
        return best
    for kernel in record.facts.kernels:
        rates = 2e-6 * kernel.macs / np.array(kernel.ms)
        peak = Peak(
            float(np.median(rates)),
            float(rates.min()),
            float(rates.max()),
            f"{kernel.kind},{kernel.implementation}",
            kernel.problem,
            len(rates),
        )
        if kernel.dtype not in best or best[kernel.dtype].gops < peak.gops:
            best[kernel.dtype] = peak
    return best


def operations_per_image(profile: Profile) -> dict[str, float] | None:
    """Return the operations of a network per image by data type; None where shapes are not known."""
    operations: dict[str, float] = {}
    for row in filter(is_compute, profile.rows):
        dtype = OF_SOURCE.get(row.dtype.split(":")[0])
        if dtype is None or row.macs is None:
            return None
        operations[dtype] = operations.get(dtype, 0.0) + 2 * row.macs / profile.images
    return operations or None


def roof_share(
    profile: Profile | None, images_per_s: float | None, peaks: Mapping[str, Peak]
) -> Share:
    """Return a row's share of its machine's roof, as the module defines it."""
    if images_per_s is None:
        return Share(None, "no time")
    if not peaks:
        return Share(None, "roof not measured")
    operations = operations_per_image(profile) if profile else None
    if operations is None:
        return Share(None, "operations not counted")
    missing = sorted(set(operations) - set(peaks))
    if missing:
        return Share(None, f"no roof for {', '.join(missing)}")
    least_s = sum(count / (1e9 * peaks[dtype].gops) for dtype, count in operations.items())
    return Share(images_per_s * least_s)


def kernel_facts(primitives: list[Primitive], dtype: Dtype) -> RoofKernel | str:
    """Return the facts of a repeated convolution; or why they say nothing of ``dtype``.

    Args:
        primitives: all that oneDNN executed in the repeats, conversions too.
    """
    computed = [one for one in primitives if is_compute(_kernel(one))]
    kinds = {(one.kind, one.implementation, one.problem) for one in computed}
    macs = computed[0].macs if len(kinds) == 1 else None
    if macs is None:
        return f"oneDNN ran {len(kinds)} different kernels instead of one"
    first = computed[0]
    if OF_SOURCE.get(first.source) != dtype:
        return f"oneDNN ran {first.source} instead"
    if made_by("ref")(_kernel(first)):
        return f"oneDNN has its reference implementation only ({first.implementation})"
    return RoofKernel(
        dtype=dtype,
        kind=first.kind,
        implementation=first.implementation,
        problem=first.problem,
        macs=macs,
        ms=[one.ms for one in computed],
    )


def _kernel(one: Primitive) -> Kernel:
    return Kernel(one.kind, one.implementation, "", one.source, 1, one.ms)
