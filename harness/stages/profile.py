"""Run a few batches of one row's saved model and see which oneDNN primitives they were."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mxnet as mx

from harness.derive.profile import ENVIRONMENT, Profile
from harness.errors import HarnessError
from harness.workloads.data import validation_batches
from harness.workloads.saved import saved_network

STDOUT = 1


def run(job: dict[str, Any], progress: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Profile the first ``job["batches"]`` batches of the validation images; a pass of its own.

    The process's environment must hold ``harness.derive.profile.ENVIRONMENT``, which oneDNN reads once.
    All batches are of one size, since MXNet converts the weights again whenever the size changes.

    Returns:
        a ``Profile`` as a dict.

    Raises:
        HarnessError: the environment does not.
    """
    if not any(os.environ.get(name, "0") != "0" for name in ENVIRONMENT):
        raise HarnessError(f"profiling needs {' or '.join(ENVIRONMENT)} in the environment")
    net, size = saved_network(job), job["workload"]["batch_size"]
    images = min(job["batches"] * size, job["images"])
    batches = validation_batches(job, images=images // size * size or images)
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
    return Profile.of([*introduced, *lines], len(held), len(batches.labels), 1e3 * wall).as_dict()


@contextmanager
def captured_stdout() -> Iterator[list[str]]:
    """Send descriptor 1 to a file, since oneDNN writes from C; the list has its lines afterwards."""
    lines: list[str] = []
    with tempfile.TemporaryFile() as file:
        _flush()
        kept = os.dup(STDOUT)
        os.dup2(file.fileno(), STDOUT)
        try:
            yield lines
        finally:
            _flush()
            os.dup2(kept, STDOUT)
            os.close(kept)
        file.seek(0)
        lines += file.read().decode(errors="replace").splitlines()


def _flush() -> None:
    sys.stdout.flush()
    ctypes.CDLL(None).fflush(None)
