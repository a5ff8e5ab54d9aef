"""A worker: one pass over the data, by MXNet's own loader as published or from the cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import mxnet as mx
from mxnet.gluon.data import DataLoader
from mxnet.gluon.data.vision import ImageRecordDataset, transforms

from benchmarks.overhead.jobs import DataPathJob, Loaded
from harness.images.batches import read_batches
from harness.process.jobs import WorkerWorkload


def run(job: DataPathJob, progress: Callable[[int, int, str], None]) -> Loaded:
    """Load everything as the job says, and read it in batches."""
    began = time.perf_counter()
    if job.cached is None:
        batches = published(job.record, job.images, job.workload)
        loaded = time.perf_counter() - began
    else:
        batches = read_batches(job.cached, job.workload)
        loaded = 0.0
    return Loaded(load_s=loaded, read_s=seconds_of(batches))


def published(record: str, images: int, workload: WorkerWorkload) -> Iterable[Any]:
    """Return the batches of the published procedure, after its one pass over the record."""
    transform = workload.transform
    steps = transforms.Compose(
        [
            transforms.Resize(transform.resize, keep_ratio=transform.keep_ratio),
            transforms.CenterCrop(transform.crop),
            transforms.ToTensor(),
            transforms.Normalize(transform.mean, transform.std),
        ]
    )
    dataset = ImageRecordDataset(record).take(images).transform_first(steps, lazy=False)
    mx.npx.waitall()
    batches: Iterable[Any] = DataLoader(dataset, batch_size=workload.batch_size, shuffle=False)
    return batches


def seconds_of(batches: Iterable[Any]) -> float:
    """Return how long one pass over the batches takes."""
    began = time.perf_counter()
    for data, _ in batches:
        data.wait_to_read()
    return time.perf_counter() - began
