"""Run large convolutions through MXNet and see how fast oneDNN is in each data type."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import mxnet as mx
from mxnet.amp.amp import bfloat16

from harness.host.stdout import captured_stdout
from harness.host.threads import loaded_openmp
from harness.host.watch import Watch
from harness.process.jobs import RoofJob
from harness.storage.stage_facts import RoofFacts, RoofKernel, Stretch
from harness.table.kernels import parse
from harness.table.roof_share import kernel_facts

# Channels in and out, side of the image, side of the kernel, images a thread: 1.8 and 3.3 * 10^9
# multiply-accumulates a thread in operators that occur in ResNet50, enough to hide all that is not
# arithmetic. Which is the faster depends on the CPU and on the data type.
SHAPES = ((256, 14, 3, 8), (1024, 14, 1, 8))
WARMUP, REPEATS = 3, 30
LONGEST_S = 10.0  # of one shape in one data type, however slow the machine is


def run(job: RoofJob, progress: Callable[[int, int, str], None]) -> RoofFacts:
    """Time each shape in each data type of a job.

    int8 is MXNet's quantized_conv, unsigned activations times signed weights, as in quantised
    networks. Times are oneDNN's own, so the conversions that MXNet makes for each call are not in
    them. The environment must hold ``harness.table.kernels.ENVIRONMENT``.
    """
    kernels: list[RoofKernel] = []
    missing: dict[str, str] = {}
    asked = [(dtype, shape) for dtype in job.dtypes for shape in SHAPES]
    with Watch(job.cpus) as watch:
        for done, (dtype, shape) in enumerate(asked):
            progress(done, len(asked), "kernels")
            found = kernel_facts(
                parse(_repeated(_convolution(dtype, job.threads, *shape), watch.beat)), dtype
            )
            if isinstance(found, str):
                missing[dtype] = found
            else:
                kernels.append(found)
    progress(len(asked), len(asked), "kernels")
    return RoofFacts(
        kernels=kernels,
        missing=missing,
        openmp=loaded_openmp(),
        conditions=Stretch.measured(watch.facts.conditions),
        disturbed=watch.facts.disturbed,
        misplaced=watch.facts.misplaced,
    )


def _repeated(convolve: Callable[[], Any], beat: Callable[[], None]) -> list[str]:
    """Return oneDNN's verbose output of the repeats that follow a warm-up."""
    until = time.monotonic() + LONGEST_S
    for _ in range(WARMUP):
        convolve().wait_to_read()
    with captured_stdout() as lines:
        for done in range(REPEATS):
            convolve().wait_to_read()
            beat()
            if done and time.monotonic() > until:  # two at least: one has no spread
                break
    return lines


def _convolution(
    dtype: str, threads: int, channels: int, side: int, kernel: int, images: int
) -> Callable[[], Any]:
    """Return a function that runs one convolution on data that are ready."""
    nd = mx.nd
    data = nd.random.uniform(0, 1, shape=(images * threads, channels, side, side))
    weight = nd.random.uniform(-1, 1, shape=(channels, channels, kernel, kernel))
    options = {
        "kernel": (kernel, kernel),
        "pad": (kernel // 2, kernel // 2),
        "num_filter": channels,
        "no_bias": True,
    }
    if dtype == "int8":
        quantize = nd.contrib.quantize_v2
        data, *limits = quantize(data, out_type="uint8", min_calib_range=0.0, max_calib_range=1.0)
        weight, *more = quantize(weight, out_type="int8", min_calib_range=-1.0, max_calib_range=1.0)
        mx.nd.waitall()
        return lambda: nd.contrib.quantized_conv(data, weight, *limits, *more, **options)[0]
    if dtype == "bf16":
        data, weight = (nd.amp_cast(each, dtype=bfloat16) for each in (data, weight))
    mx.nd.waitall()
    return lambda: nd.Convolution(data, weight, **options)
