"""Run a few batches of one row's saved model and see what was executed: by oneDNN, or by its engine."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from harness.errors import HarnessError
from harness.host.stdout import captured_stdout
from harness.methods.row_model import batches_of, load_in_engine, load_network, made_engine
from harness.process.jobs import ProfileJob
from harness.storage.stage_facts import ProfileFacts
from harness.table.kernels import ENVIRONMENT, Profile

Progress = Callable[[int, int, str], None]


def run(job: ProfileJob, progress: Progress) -> ProfileFacts:
    """Profile the first batches of the validation images, in a pass of its own.

    All batches are of one size, since MXNet converts the weights again whenever the size changes.

    Raises:
        HarnessError: the process's environment does not hold ``harness.table.kernels.ENVIRONMENT``,
            which MXNet's oneDNN reads once.
    """
    size, validation = job.size, job.model.images
    images = min(job.batches * size, validation.images)
    batches = batches_of(job.model, size, images // size * size or images)
    held = [data for data, _ in batches]
    profile = _of_engine if job.model.engine else _of_mxnet
    return profile(job, held, len(batches.labels), progress)


def _of_engine(
    job: ProfileJob, held: Sequence[Any], images: int, progress: Progress
) -> ProfileFacts:
    assert job.model.engine is not None
    engine = made_engine(job.model.engine)
    net = load_in_engine(job.model, engine, len(held[0]), profiled=True)
    net(held[0])  # this pass settles what the others find
    wall = 0.0
    for done, data in enumerate(held):
        progress(done, len(held), "batches")
        began = time.perf_counter()
        net(data).wait_to_read()
        wall += time.perf_counter() - began
    progress(len(held), len(held), "batches")
    rows = engine.what_ran(net)
    return ProfileFacts(
        total_ms=math.fsum(row.ms for row in rows),
        rows=rows,
        batches=len(held),
        images=images,
        wall_ms=1e3 * wall,
        malformed=0,
        cpu_isa="",
        engine=str(getattr(engine, "title", type(engine).__name__)),
    )


def _of_mxnet(
    job: ProfileJob, held: Sequence[Any], images: int, progress: Progress
) -> ProfileFacts:
    import mxnet as mx  # an engine's environment has none

    if not any(os.environ.get(name, "0") != "0" for name in ENVIRONMENT):
        raise HarnessError(f"profiling needs {' or '.join(ENVIRONMENT)} in the environment")
    net = load_network(job.model, len(held[0]))
    with captured_stdout() as first:
        net(held[0])  # this pass converts the weights, the others do not
        mx.npx.waitall()
    wall = 0.0
    with captured_stdout() as lines:
        for done, data in enumerate(held):
            progress(done, len(held), "batches")
            began = time.perf_counter()
            net(data).wait_to_read()
            wall += time.perf_counter() - began
        mx.npx.waitall()
    progress(len(held), len(held), "batches")
    introduced = [line for line in first if ",info," in line]
    return Profile.of([*introduced, *lines], len(held), images, 1e3 * wall).facts
