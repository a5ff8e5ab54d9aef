"""Methods of the user's own: one that works, and some that go wrong in their own ways."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np

from harness.errors import Refused
from harness.images.batches import Batches
from harness.methods.base import Context, Optimized
from harness.methods.inc import Tuned


@dataclass
class Rounded:
    """fp32 with every weight rounded to so many decimals."""

    decimals: int

    def optimize(self, context: Context) -> Optimized:
        for parameter in context.net.collect_params().values():
            parameter.set_data(mx.np.array(parameter.data().asnumpy().round(self.decimals)))
            context.progress(1, 1, "parameters")
        context.net.hybridize()
        return Optimized(context.net, quantization={"decimals": self.decimals})


class Telling:
    """Changes nothing, and tells what its process was started with."""

    def optimize(self, context: Context) -> Optimized:
        context.net.hybridize()
        status = Path("/proc/self/status").read_text().splitlines()
        told = {
            "environment": {
                name: value
                for name, value in os.environ.items()
                if name not in ("PYTHONPATH", "LD_LIBRARY_PATH", "INC_BENCH_MODULES", "TMPDIR")
            },
            "nice": os.getpriority(os.PRIO_PROCESS, 0),
            "oom_score_adj": Path("/proc/self/oom_score_adj").read_text(),
            "signals": [line for line in status if line.startswith(("SigBlk", "SigIgn"))],
            "cpus": [line for line in status if line.startswith("Cpus_allowed_list")],
            "limits": Path("/proc/self/limits").read_text().splitlines(),
        }
        return Optimized(context.net, quantization=told)


class Waiting:
    """Waits for a file named ``go`` in its workspace, then gives the network back."""

    def optimize(self, context: Context) -> Optimized:
        (context.workspace / "waiting").touch()
        while not (context.workspace / "go").exists():
            time.sleep(0.01)
        context.net.hybridize()
        return Optimized(context.net)


class Refusing:
    """Needs what no machine has."""

    def optimize(self, context: Context) -> Optimized:
        raise Refused("this CPU has no avx4096")


class Poisoned:
    """Leaves a NaN in the last layer."""

    def optimize(self, context: Context) -> Optimized:
        bias = context.net.output.bias
        bias.set_data(mx.np.array(np.full(bias.shape, np.nan, dtype=np.float32)))
        context.net.hybridize()
        return Optimized(context.net)


class Unreadable(Batches):
    """Tuning batches that can be read so many times and no more."""

    def __init__(self, batches: Batches, reads: int) -> None:
        self._batches, self._left = batches, reads
        self._worker_pool = None
        self.batch_size, self.labels = batches.batch_size, batches.labels

    def kept(self) -> Unreadable:
        return self

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[Any]]:
        self._left -= 1
        if self._left < 0:
            raise ValueError("the tuning images are gone")
        yield from self._batches


@dataclass
class TunedOnUnreadable(Tuned):
    """An INC row whose evaluation raises after some reads of the tuning batches."""

    reads: int = 1

    def optimize(self, context: Context) -> Optimized:
        return super().optimize(replace(context, tuning=Unreadable(context.tuning, self.reads)))


class TunedWatched(Tuned):
    """An INC row that writes down, before every trial, how much memory its process holds."""

    def optimize(self, context: Context) -> Optimized:
        with (context.workspace / "memory.csv").open("w", buffering=1) as out:
            out.write("trial,rss_kb,peak_kb\n")

            def noted(done: int, total: int, what: str) -> None:
                with open("/proc/self/status") as lines:
                    kept = dict(line.split(":", 1) for line in lines)
                rss, peak = (int(kept[name].split()[0]) for name in ("VmRSS", "VmHWM"))
                out.write(f"{done},{rss},{peak}\n")
                context.progress(done, total, what)

            return super().optimize(replace(context, progress=noted))


class Crashing:
    """Has MXNet follow a pointer to nothing, unless a file named ``sound`` is in the workspace."""

    def optimize(self, context: Context) -> Optimized:
        if not (context.workspace / "sound").exists():
            mx.base._LIB.MXNDArrayWaitToRead(ctypes.c_void_p(8))
        context.net.hybridize()
        return Optimized(context.net)
