"""Run one row's saved model over the validation images."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.store import digest_of
from harness.threads import differences, loaded_openmp
from harness.workloads.data import Batches
from harness.workloads.prepared import Prepared
from harness.workloads.saved import load_exported

TOP = 5
REPORT_EVERY_S = 0.2


def run(job: dict[str, Any], progress: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Load the model, predict every image once, and keep each image's best classes.

    Returns:
        validation_s: wall clock of the whole loop, as published: data, forward pass and metric;
        forward_s: one entry per batch, the forward pass and its synchronisation alone;
        non_finite: how many images got a score that is NaN or infinite;
        predictions: the file of (images, 5) uint16, best class first, with its digest.
    """
    workload = job["workload"]
    workspace = Path(job["workspace"])
    net = load_exported(workspace / job["symbol"], workspace / job["params"])
    net.hybridize(static_alloc=True, static_shape=True)
    prepared = Prepared(Path(job["prepared"]), job["images"], workload["transform"]["crop"])
    labels = np.load(job["labels"])
    batches = Batches(prepared, labels, workload["batch_size"], workload["transform"])
    top = min(TOP, workload["classes"])
    best = np.empty((len(labels), top), dtype=np.uint16)
    forward: list[float] = []
    non_finite = 0
    done = 0
    reported = began = time.perf_counter()
    for data, label in batches:
        start = time.perf_counter()
        scores = net(data)
        scores.wait_to_read()
        forward.append(time.perf_counter() - start)
        values = scores.asnumpy()
        best[done : done + len(label)] = np.argsort(-values, axis=1, kind="stable")[:, :top]
        non_finite += int((~np.isfinite(values)).any(axis=1).sum())
        done += len(label)
        if time.perf_counter() - reported > REPORT_EVERY_S:
            reported = time.perf_counter()
            progress(done, len(labels), "images")
    validation = time.perf_counter() - began
    progress(done, len(labels), "images")
    predictions = workspace / job["predictions"]
    np.savez_compressed(predictions, top=best)
    openmp = loaded_openmp()
    return {
        "images": done,
        "batches": len(forward),
        "batch_size": workload["batch_size"],
        "validation_s": validation,
        "forward_s": forward,
        "non_finite": non_finite,
        "warnings": differences(os.environ, openmp),
        "predictions": digest_of(predictions, workspace),
        "openmp": openmp,
    }
