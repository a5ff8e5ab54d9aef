"""Make one row's model from the clean fp32 network and save it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.host.threads import loaded_openmp, openmp_mismatches
from harness.host.watch import Watch
from harness.images.batches import tuning_batches
from harness.methods import instantiated
from harness.methods.base import Context
from harness.storage.recorded_files import digest_of
from harness.workloads import fp32_network
from harness.workloads.saved import save


def run(job: dict[str, Any], progress: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Optimise, time it, and export the model as ``model-symbol.json`` and ``model-0000.params``.

    Returns:
        cost_s (seconds of ``optimize`` alone: loading the network and the data is not in it), the
        model's files with digests, what the method told, and the conditions (``Watch``).
    """
    workspace = Path(job["workspace"])
    net = fp32_network(job["workload"])
    tuning = tuning_batches(job)
    method = instantiated(job["method"])
    shared = Path(job["shared"]) if job["shared"] else None
    context = Context(net, tuning, workspace, shared, progress)
    with Watch(job["cpus"], has_batches=False) as watch:
        began = time.perf_counter()
        made = method.optimize(context)
        cost = time.perf_counter() - began
    symbol, params = save(
        made.net,
        next(iter(tuning))[0],
        workspace / "model",
        lambda: fp32_network(job["workload"]),
    )
    openmp = loaded_openmp()
    return {
        "cost_s": cost,
        "images": len(tuning.labels),
        "symbol": digest_of(symbol, workspace),
        "params": digest_of(params, workspace),
        "quantization": made.quantization,
        "trajectory": made.trajectory,
        "warnings": made.warnings,
        "openmp": openmp,
        **vars(watch.facts),
        "misplaced": openmp_mismatches(
            os.environ, openmp
        ),  # a search need not keep all threads busy
    }
