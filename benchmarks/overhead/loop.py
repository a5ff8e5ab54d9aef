"""A worker: the timed loop around a null model, then around fp32 fused, in one process."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec.structs import replace

from benchmarks.overhead.jobs import LoopJob, LoopTimes
from harness.images.batches import read_batches
from harness.process.timing import timed_pass
from harness.stages import optimize, validate

WARM_UP = 200  # batches of the null model


class Null:
    """A network that does nothing, and its scores."""

    def __call__(self, data: Any) -> Null:
        return self

    def wait_to_read(self) -> None:
        pass


def run(job: LoopJob, progress: Callable[[int, int, str], None]) -> LoopTimes:
    """Time both, by the harness's own stages where it is not the null model."""
    model = job.validate.model
    one = next(iter(read_batches(model.images, model.workload)))  # as the validation gets them
    for batches in (WARM_UP, job.null_batches):
        times = timed_pass(Null(), itertools.repeat(one, batches), lambda scores, label: None)
    optimized = optimize.run(job.optimize, progress)
    saved = replace(model, symbol=optimized.symbol, params=optimized.params)
    facts = validate.run(replace(job.validate, model=saved), progress)
    whole = facts.images // facts.batch_size
    parts = (times.data_s, times.forward_s, times.rest_s)
    return LoopTimes(
        null_s=times.forward_s,
        null_loop_s=np.sum(parts, axis=0).tolist(),
        forward_s=facts.forward_s[:whole],
        data_s=facts.data_s[:whole],
        rest_s=facts.rest_s[:whole],
    )
