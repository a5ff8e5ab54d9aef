"""A worker: the timed loop around a null model, then around fp32 fused, in one process."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.images.batches import Batches
from harness.images.prepared import Prepared
from harness.process.timing import timed_pass
from harness.stages import optimize, validate

WARM_UP = 200  # batches of the null model


class Null:
    """A network that does nothing, and its scores."""

    def __call__(self, data: Any) -> Null:
        return self

    def wait_to_read(self) -> None:
        pass


def run(job: dict[str, Any], progress: Callable[[int, int, str], None]) -> dict[str, list[float]]:
    """Time both, by the harness's own stages where it is not the null model.

    Returns:
        null_s: seconds in the timed region, a batch of the null model each;
        null_loop_s: seconds of the whole loop around them, data from memory, no metric;
        forward_s, data_s, rest_s: of each whole batch of fp32 fused, as ``validate`` tells them.
    """
    one = first_batch(job["validate"])
    for batches in (WARM_UP, job["null_batches"]):
        times = timed_pass(Null(), itertools.repeat(one, batches), lambda scores, label: None)
    made = optimize.run(job["optimize"], progress)
    paths = {part: made[part].path for part in ("symbol", "params")}
    told = validate.run({**job["validate"], **paths}, progress)
    whole = told["images"] // told["batch_size"]
    parts = (times.data_s, times.forward_s, times.rest_s)
    return {
        "null_s": times.forward_s,
        "null_loop_s": np.sum(parts, axis=0).tolist(),
        **{name: told[name][:whole] for name in ("forward_s", "data_s", "rest_s")},
    }


def first_batch(job: dict[str, Any]) -> list[Any]:
    """Return [data, label] as the validation gets them."""
    workload = job["workload"]
    prepared = Prepared(Path(job["prepared"]), job["images"], workload["transform"]["crop"])
    labels = np.load(job["labels"])
    first: list[Any] = next(
        iter(Batches(prepared, labels, workload["batch_size"], workload["transform"]))
    )
    return first
