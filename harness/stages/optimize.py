"""Make one row's model from the clean fp32 network and save it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
from msgspec.structs import replace

from harness.host.threads import loaded_openmp, openmp_mismatches
from harness.host.watch import Watch
from harness.images.batches import read_batches
from harness.methods import instantiated
from harness.methods.additions import clean_network
from harness.methods.base import Context
from harness.methods.row_model import SCORES
from harness.process.jobs import OptimizeJob
from harness.storage.recorded_files import digest_of
from harness.storage.stage_facts import Optimize, Quantization, Stretch, Trial
from harness.targets import KNOWN
from harness.workloads.saved import save


def run(job: OptimizeJob, progress: Callable[[int, int, str], None]) -> Optimize:
    """Optimise, time it, and export the model as ``model-symbol.json`` and ``model-0000.params``.

    An engine is compared with the scores of the first batch, which stay beside them.
    """
    workspace = Path(job.workspace)
    method = instantiated(job.method)
    # a class of one's own may change the network's blocks, which a repaired one has not
    is_repaired = getattr(method, "repaired_additions", job.method.target in KNOWN)
    additions = job.workload.mxnet_additions if is_repaired else None
    workload = replace(job.workload, mxnet_additions=additions)
    net = clean_network(workload)
    tuning = read_batches(job.tuning, workload)
    shared = Path(job.shared) if job.shared else None
    context = Context(net, tuning, workspace, shared, progress)
    with Watch(job.cpus, has_batches=False) as watch:
        began = time.perf_counter()
        optimized = method.optimize(context)
        cost = time.perf_counter() - began
    symbol, params = save(
        optimized.net,
        next(iter(tuning))[0],
        workspace / "model",
        lambda: clean_network(workload),
    )
    if job.method.engine:
        first = next(iter(tuning))[0]
        np.save(workspace / SCORES, optimized.net(first).asnumpy())
    openmp = loaded_openmp()
    return Optimize(
        cost_s=cost,
        images=len(tuning.labels),
        symbol=digest_of(symbol, workspace),
        params=digest_of(params, workspace),
        # a method's own words, which the parent checks: it can tell the row what is wrong
        quantization=cast(Quantization, optimized.quantization),
        trajectory=cast("list[Trial]", optimized.trajectory),
        warnings=optimized.warnings,
        openmp=openmp,
        conditions=Stretch.measured(watch.facts.conditions),
        disturbed=watch.facts.disturbed,
        # a search need not keep all threads busy
        misplaced=openmp_mismatches(os.environ, openmp),
    )
