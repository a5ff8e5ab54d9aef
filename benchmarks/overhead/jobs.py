"""The jobs of this benchmark's workers and their answers."""

from __future__ import annotations

from harness.facts.typed import Facts
from harness.process.jobs import ImageSet, Job, OptimizeJob, ValidateJob, WorkerWorkload


class DataPathJob(Job, frozen=True, kw_only=True):
    """One pass over the data, ``by`` MXNet's loader as published or from the ``cache``.

    Attributes:
        idx: beside the record: a worker reads what its job names.
        cached: the prepared images; None for the published loader.
    """

    stage: str = "benchmarks.overhead.data_path"
    record: str
    idx: str
    images: int
    workload: WorkerWorkload
    cached: ImageSet | None = None


class Loaded(Facts, frozen=True, kw_only=True):
    """Seconds until every image is decoded, transformed and in memory, and of one pass over all.

    Attributes:
        load_s: 0 from the cache.
    """

    load_s: float
    read_s: float


class LoopJob(Job, frozen=True, kw_only=True):
    """The timed loop around a null model, then around fp32 fused."""

    stage: str = "benchmarks.overhead.loop"
    null_batches: int
    optimize: OptimizeJob
    validate: ValidateJob


class LoopTimes(Facts, frozen=True, kw_only=True):
    """Seconds of each batch.

    Attributes:
        null_s: in the timed region, of the null model.
        null_loop_s: of the whole loop around it, data from memory, no metric.
        forward_s, data_s, rest_s: of each whole batch of fp32 fused, as ``validate`` tells them.
    """

    null_s: list[float]
    null_loop_s: list[float]
    forward_s: list[float]
    data_s: list[float]
    rest_s: list[float]
