"""Make the model of an engine's row, from the network that MXNet saved: first as ONNX."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import cast

import numpy as np

from harness.engines.interface import Batches, Predictor
from harness.engines.network import write_network
from harness.errors import HarnessError
from harness.facts.machine_facts import ENGINE_PACKAGES
from harness.files.reading import read_npy
from harness.host.threads import one_cpu_per_thread
from harness.host.topology import read_topology
from harness.host.watch import Watch
from harness.methods.row_model import SCORES, batches_of, copied_model, made_engine
from harness.process.jobs import ConvertJob, RowEngine
from harness.storage.recorded_files import digest_of
from harness.storage.stage_facts import Optimize, Quantization, Stretch, Trial

NETWORK = "network.onnx"
TOLERANCE = 1e-3  # as of a model that MXNet saves: engines sum in another order
PACKAGES = (*ENGINE_PACKAGES, "numpy")  # whose versions are kept


def run(job: ConvertJob, progress: Callable[[int, int, str], None]) -> Optimize:
    """Write ``network.onnx``, and have the engine make the row's model of it, which is timed.

    Raises:
        Refused: the network has an operator that is not mapped to ONNX, or the engine refuses it.
        HarnessError: in the engine the network computes something else than in MXNet.
    """
    model = job.model
    assert model.engine is not None
    workspace = Path(model.workspace)
    row, engine = model.engine, made_engine(model.engine)
    with copied_model(model) as (symbol, params):
        side = model.workload.transform.crop
        network = write_network(symbol, params, workspace / NETWORK, side)
    written = digest_of(network, workspace)
    tuning = batches_of(model)
    usable = _usable_cpus(row)
    os.sched_setaffinity(0, usable)  # before the engine counts them
    size = model.workload.batch_size
    predictor = engine.load(network, row.threads, row.cpus, False, size)
    difference = _difference(predictor, tuning, workspace)
    os.sched_setaffinity(0, usable)  # loading binds this thread, and tuning's threads inherit that
    # a conversion need not keep all threads busy, so where they ran is not checked
    with Watch(job.cpus, has_batches=False, bound=()) as watch:
        began = time.perf_counter()
        optimized = engine.optimize(network, tuning, workspace / "engine", progress)
        cost = time.perf_counter() - began
    return Optimize(
        cost_s=cost,
        images=len(tuning.labels),
        symbol=digest_of(optimized.graph, workspace),
        params=digest_of(optimized.weights, workspace),
        network=written,
        difference=difference,
        packages=_versions(),
        quantization=cast(Quantization, optimized.quantization),
        trajectory=cast("list[Trial]", optimized.trajectory),
        conditions=Stretch.measured(watch.facts.conditions),
        disturbed=watch.facts.disturbed,
        misplaced=[],
    )


def _usable_cpus(row: RowEngine) -> set[int]:
    """Return as many CPUs as the row has threads: those of its threads, where these are bound."""
    if row.threads is None:
        return os.sched_getaffinity(0)
    return set(row.cpus or one_cpu_per_thread(read_topology(), row.threads))


def _difference(predictor: Predictor, tuning: Batches, workspace: Path) -> float:
    """Return how far an engine's scores of the first tuning images are from MXNet's.

    Returns:
        the largest difference as a part of the largest score.

    Raises:
        HarnessError: it is above TOLERANCE.
    """
    expected = read_npy(workspace / SCORES, "<f4", (None, None))
    images, _ = next(iter(tuning))
    scores = predictor(images).asnumpy()
    largest = float(np.abs(expected).max()) or 1.0
    difference = float(np.abs(scores - expected).max()) / largest
    if not difference <= TOLERANCE:  # NaN is above it, too
        raise HarnessError(
            f"the network written as {NETWORK} differs from MXNet's by {difference:.3g} of the largest "
            "score: not used"
        )
    return difference


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # of another engine
            continue
    return versions
