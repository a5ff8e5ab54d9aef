"""What a worker and its parent tell each other, as JSON: jobs, progress and answers.

The parent makes a job, and the worker decodes it as what the stage's ``run`` takes. Paths are
absolute: a worker runs in a folder of its own, and may read what its job names.
"""

# No ``from __future__ import annotations``: msgspec evaluates the annotations, on Python 3.9 too.
from typing import Any, Optional, Union

import msgspec

from harness.facts.typed import Count, Duration, Facts, Name, Positive, Sha256
from harness.storage.configuration import (
    Additions,
    EngineOptions,
    Method,
    Transform,
    WarmUp,
    Workload,
)
from harness.storage.stage_facts import Dtype, File
from harness.storage.tuning_history import QConfig


class Limits(Facts, frozen=True, kw_only=True):
    """What a worker may use beyond the usual; None is the usual limit."""

    network: bool = False
    memory_bytes: Optional[Count] = None
    file_bytes: Optional[Count] = None


class Job(Facts, frozen=True, kw_only=True):
    """A job of any stage: a name in ``harness.stages``, or the dotted path of another module."""

    stage: str
    confine: Optional[Limits] = None


class WorkerWorkload(Workload, frozen=True, kw_only=True):
    """A workload that is measured.

    Attributes:
        files: the SHA-256 of the model's files, by path.
        mxnet_additions: as in the configuration.
    """

    transform: Transform
    mxnet_additions: Optional[Additions] = None
    files: dict[str, Sha256] = msgspec.field(default_factory=dict)


class ImageSet(msgspec.Struct, frozen=True, kw_only=True):
    """Prepared images.

    Attributes:
        prepared: the file of the images.
        stored: how many are in it.
        labels: the file of the labels.
        images: how many are used, from the first.
    """

    prepared: str
    stored: Positive
    labels: str
    images: Positive


class InspectJob(Job, frozen=True, kw_only=True):
    """Look at the model, and make every method."""

    stage: str = "inspect"
    workload: WorkerWorkload
    methods: dict[Name, Method]


class PrepareJob(Job, frozen=True, kw_only=True):
    """Decode images ``start`` .. ``stop`` of a record.

    Attributes:
        indexed: the file with the offset and the digest of each image, one row an image, int64.
        target: the file that gets the pixels of all ``images``.
        report: whether progress is told.
    """

    stage: str = "prepare"
    record: str
    indexed: str
    transform: Transform
    target: str
    images: Positive
    start: Count
    stop: Positive
    report: bool


class OptimizeJob(Job, frozen=True, kw_only=True):
    """Make one row's model in ``workspace``; ``shared`` is the folder that rows share, if any."""

    stage: str = "optimize"
    workload: WorkerWorkload
    method: Method
    tuning: ImageSet
    cpus: list[int]
    workspace: str
    shared: Optional[str] = None


class RowEngine(msgspec.Struct, frozen=True, kw_only=True):
    """The engine of a row.

    Attributes:
        threads: how many; None: the engine's own choice.
        cpus: one a thread, to which it is to be bound; none: they are not bound.
    """

    options: EngineOptions
    threads: Optional[Positive]
    cpus: list[int]


class SavedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One row's saved model, which is in ``workspace``, and the images that it runs on.

    Attributes:
        engine: what it runs on; None: MXNet.
    """

    workload: WorkerWorkload
    images: ImageSet
    workspace: str
    symbol: File
    params: File
    engine: Optional[RowEngine] = None


class ConvertJob(Job, frozen=True, kw_only=True):
    """Make the model of an engine's row from a network that MXNet saved, on the tuning images."""

    stage: str = "convert"
    model: SavedModel
    cpus: list[int]


class ValidateJob(Job, frozen=True, kw_only=True):
    """Run a model over all images; ``predictions`` is the name of the file that is written."""

    stage: str = "validate"
    model: SavedModel
    cpus: list[int]
    predictions: Name


class ProfileJob(Job, frozen=True, kw_only=True):
    """Run a model on the first batches under oneDNN's verbose mode.

    Attributes:
        size: how many images a batch has.
    """

    stage: str = "profile"
    model: SavedModel
    batches: Positive
    size: Positive


class MeasureJob(Job, frozen=True, kw_only=True):
    """Time a model for one round; ``sizes`` are pairs of a batch size and how many batches to time."""

    stage: str = "measure"
    model: SavedModel
    cpus: list[int]
    sizes: list[tuple[Positive, Positive]]
    warmup_s: WarmUp


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """Where a worker is to run, from before it imports anything that starts threads.

    Attributes:
        cpus: that it may use.
        nodes: the NUMA nodes whose memory it may use; none: the kernel chooses (first touch).
    """

    cpus: list[int]
    nodes: list[Count] = msgspec.field(default_factory=list)


class InstanceJob(Job, frozen=True, kw_only=True):
    """Be one of several processes that run one model at the same time.

    Attributes:
        sizes: the batch sizes, in order; all instances start together on each.
        binding: of this instance; None: it runs where the parent may run.
    """

    stage: str = "instance"
    model: SavedModel
    sizes: list[Positive]
    warmup_s: WarmUp
    cpus: list[int]
    binding: Optional[Binding] = None


class ServeJob(Job, frozen=True, kw_only=True):
    """Be one of several processes that answer queries with one model.

    Attributes:
        batch: the most queries that are answered together.
        binding: of this instance.
        line: descriptor of the line of queries, which this process inherits.
    """

    stage: str = "serve"
    model: SavedModel
    batch: Positive
    warmup_s: WarmUp
    cpus: list[int]
    binding: Binding
    line: int


class RoofJob(Job, frozen=True, kw_only=True):
    """Time large convolutions."""

    stage: str = "roof"
    dtypes: list[Dtype]
    threads: Positive
    cpus: list[int]


class RecoverJob(Job, frozen=True, kw_only=True):
    """Make the model of a tuning trial again in ``workspace``; ``source`` is the folder of its row."""

    stage: str = "recover"
    workload: WorkerWorkload
    tuning: ImageSet
    source: str
    workspace: str
    trial: Positive
    q_config: QConfig


class Progressed(msgspec.Struct, frozen=True, tag_field="event", tag="progress"):
    """A worker's message: ``done`` of ``total`` units of its work, which are called ``what``."""

    done: int
    total: int
    what: str


class Ready(msgspec.Struct, frozen=True, tag_field="event", tag="ready"):
    """A worker's message: it waits for an order; a batch took ``batch_s`` seconds so far."""

    batch_s: Duration


class Result(msgspec.Struct, frozen=True, tag_field="event", tag="result"):
    """A worker's answer: the stage's JSON value, and what the worker had given up."""

    value: Any
    confined: Any


class Failure(msgspec.Struct, frozen=True, tag_field="event", tag="error"):
    """A worker's answer where the stage raised an error.

    Attributes:
        kind: as ``worker.KINDS`` has it.
        trials: how many a search made that found nothing.
    """

    kind: str
    message: str
    trials: Optional[int]


Message = Union[Progressed, Ready, Result, Failure]


class RunUntil(msgspec.Struct, frozen=True, tag_field="order", tag="run_until"):
    """An order to a worker that is ready: begin batches until a second of CLOCK_MONOTONIC."""

    moment: Duration


class Trial(msgspec.Struct, frozen=True, kw_only=True, tag_field="order", tag="serve"):
    """An order to a worker that is ready: answer queries that arrive at a rate.

    Attributes:
        rate: queries per second.
        queries: how many.
        seed: of their arrivals.
        began_at: the moment from which they arrive, in seconds of CLOCK_MONOTONIC.
        target_s: a query that is answered later than this after its arrival is late.
        most_late: the trial ends when more queries are late.
        delay_s: how long the first query of a batch waits for others at most.
    """

    rate: Duration
    queries: Positive
    seed: Count
    began_at: Duration
    target_s: Duration
    most_late: Count
    delay_s: float


class NoMore(msgspec.Struct, frozen=True, tag_field="order", tag="no_more"):
    """An order to a worker that is ready: end."""


Order = Union[RunUntil, Trial, NoMore]
