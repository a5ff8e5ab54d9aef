"""Run a few batches of one row's saved model and see which oneDNN primitives they were."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import mxnet as mx

from harness.errors import HarnessError
from harness.host.stdout import captured_stdout
from harness.images.batches import read_batches
from harness.process.jobs import ProfileJob
from harness.storage.stage_facts import ProfileFacts
from harness.table.kernels import ENVIRONMENT, Profile
from harness.workloads.saved import saved_network


def run(job: ProfileJob, progress: Callable[[int, int, str], None]) -> ProfileFacts:
    """Profile the first batches of the validation images, in a pass of its own.

    The process's environment must hold ``harness.table.kernels.ENVIRONMENT``, which oneDNN reads once.
    All batches are of one size, since MXNet converts the weights again whenever the size changes.

    Raises:
        HarnessError: the environment does not.
    """
    if not any(os.environ.get(name, "0") != "0" for name in ENVIRONMENT):
        raise HarnessError(f"profiling needs {' or '.join(ENVIRONMENT)} in the environment")
    net, workload, validation = saved_network(job.model), job.model.workload, job.model.images
    size = job.size
    images = min(job.batches * size, validation.images)
    batches = read_batches(validation, workload, size, images // size * size or images)
    held = [data for data, _ in batches]
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
    return Profile.of([*introduced, *lines], len(held), len(batches.labels), 1e3 * wall).facts
