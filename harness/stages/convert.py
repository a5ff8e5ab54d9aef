"""Make the model of an engine's row, from the network that MXNet saved: first as ONNX."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import cast

from harness.engines.network import write_network
from harness.host.watch import Watch
from harness.process.jobs import ConvertJob
from harness.stages.saved_model import batches_of, made_engine
from harness.storage.recorded_files import digest_of
from harness.storage.stage_facts import Optimize, Quantization, Stretch, Trial

NETWORK = "network.onnx"
PACKAGES = ("onnxruntime", "openvino", "nncf", "onnx", "numpy")  # whose versions are kept


def run(job: ConvertJob, progress: Callable[[int, int, str], None]) -> Optimize:
    """Write ``network.onnx``, and have the engine make the row's model of it, which is timed.

    Raises:
        Refused: the network has an operator that is not mapped to ONNX, or the engine refuses it.
    """
    model = job.model
    assert model.engine is not None
    workspace = Path(model.workspace)
    engine = made_engine(model.engine)
    network = write_network(
        workspace / model.symbol.path,
        workspace / model.params.path,
        workspace / NETWORK,
        model.workload.transform.crop,
    )
    tuning = batches_of(model)
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
        network=digest_of(network, workspace),
        packages=_versions(),
        quantization=cast(Quantization, optimized.quantization),
        trajectory=cast("list[Trial]", optimized.trajectory),
        conditions=Stretch.measured(watch.facts.conditions),
        disturbed=watch.facts.disturbed,
        misplaced=[],
    )


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # of another engine
            continue
    return versions
