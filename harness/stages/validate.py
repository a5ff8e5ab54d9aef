"""Run one row's saved model over the validation images."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.host.watch import Watch
from harness.methods.row_model import batches_of, bound_cpus, load_network
from harness.process.jobs import ValidateJob
from harness.process.timing import timed_pass
from harness.storage.recorded_files import digest_of
from harness.storage.stage_facts import Stretch, Validate

TOP = 5
REPORT_EVERY_S = 0.2


def run(job: ValidateJob, progress: Callable[[int, int, str], None]) -> Validate:
    """Load the model, predict every image once, and keep each image's best classes."""
    workload, workspace = job.model.workload, Path(job.model.workspace)
    net = load_network(job.model, workload.batch_size)
    batches = batches_of(job.model)
    images = len(batches.labels)
    with Watch(job.cpus, bound=bound_cpus(job.model)) as watch:
        metric = _BestClasses(images, min(TOP, workload.classes), progress, watch.beat)
        began = time.perf_counter()
        times = timed_pass(net, batches, metric.update)
        validation = time.perf_counter() - began
    progress(metric.done, images, "images")
    predictions = workspace / job.predictions
    np.savez_compressed(predictions, top=metric.best)
    return Validate(
        images=metric.done,
        batches=len(times.forward_s),
        batch_size=workload.batch_size,
        validation_s=validation,
        data_s=times.data_s,
        forward_s=times.forward_s,
        rest_s=times.rest_s,
        non_finite=metric.non_finite,
        predictions=digest_of(predictions, workspace),
        openmp=watch.facts.openmp,
        conditions=Stretch.measured(watch.facts.conditions),
        disturbed=watch.facts.disturbed,
        misplaced=watch.facts.misplaced,
    )


class _BestClasses:
    """The metric: every image's best classes, and whether its scores are numbers."""

    def __init__(
        self,
        images: int,
        top: int,
        progress: Callable[[int, int, str], None],
        beat: Callable[[], None],
    ) -> None:
        self.best = np.empty((images, top), dtype=np.uint16)
        self.non_finite = 0
        self.done = 0
        self._progress = progress
        self._beat = beat
        self._reported = time.perf_counter()

    def update(self, scores: Any, label: Any) -> None:
        values = scores.asnumpy()
        best = np.argsort(-values, axis=1, kind="stable")[:, : self.best.shape[1]]
        self.best[self.done : self.done + len(label)] = best
        self.non_finite += int((~np.isfinite(values)).any(axis=1).sum())
        self.done += len(label)
        self._beat()
        if time.perf_counter() - self._reported > REPORT_EVERY_S:
            self._reported = time.perf_counter()
            self._progress(self.done, len(self.best), "images")
