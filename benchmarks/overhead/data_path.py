"""A worker: one pass over the data, by MXNet's own loader as published or from the cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from mxnet.gluon.data import DataLoader
from mxnet.gluon.data.vision import ImageRecordDataset, transforms

from harness.images.batches import Batches
from harness.images.prepared import Prepared


def run(job: dict[str, Any], progress: Callable[[int, int, str], None]) -> dict[str, float]:
    """Load everything as ``job["by"]`` says, ``published`` or ``cache``, and read it in batches.

    Returns:
        load_s: seconds until every image is decoded, transformed and in memory; 0 from the cache;
        read_s: seconds of one pass over the batches.
    """
    workload = job["workload"]
    began = time.perf_counter()
    if job["by"] == "published":
        batches = published(job["record"], job["images"], workload)
        loaded = time.perf_counter() - began
    else:
        prepared = Prepared(Path(job["prepared"]), job["images"], workload["transform"]["crop"])
        labels = np.load(job["labels"])
        batches = Batches(prepared, labels, workload["batch_size"], workload["transform"])
        loaded = 0.0
    return {"load_s": loaded, "read_s": seconds_of(batches)}


def published(record: str, images: int, workload: dict[str, Any]) -> Iterable[Any]:
    """Return the batches of the published procedure, after its one pass over the record."""
    transform = workload["transform"]
    steps = transforms.Compose(
        [
            transforms.Resize(transform["resize"], keep_ratio=transform["keep_ratio"]),
            transforms.CenterCrop(transform["crop"]),
            transforms.ToTensor(),
            transforms.Normalize(transform["mean"], transform["std"]),
        ]
    )
    dataset = ImageRecordDataset(record).take(images).transform_first(steps, lazy=False)
    mx.npx.waitall()
    batches: Iterable[Any] = DataLoader(dataset, batch_size=workload["batch_size"], shuffle=False)
    return batches


def seconds_of(batches: Iterable[Any]) -> float:
    """Return how long one pass over the batches takes."""
    began = time.perf_counter()
    for data, _ in batches:
        data.wait_to_read()
    return time.perf_counter() - began
