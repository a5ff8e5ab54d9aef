"""The configuration: the sections and keys of ``conf/``; ``configuration_checks.py`` checks them.

Each key stands here once. What is not ``New`` holds of every plan's configuration, also of one that an
earlier version wrote; a run is measured only if its configuration is all that ``New`` says, too. A
default is that of a plan without the key, which is read and never measured. Keys of a user's own
workloads and methods are kept beside these (``Facts.stored``).
"""

# No ``from __future__ import annotations``: msgspec evaluates the annotations, on Python 3.9 too.
import random
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Optional, Union

import msgspec
from msgspec import Meta

from harness.facts.faults import LONGEST_S
from harness.facts.typed import (
    MOST,
    Count,
    Facts,
    Mistyped,
    Name,
    New,
    Number,
    Positive,
    decode,
    one_of,
)
from harness.files.locks import USUAL_LIMIT_S
from harness.host import isa
from harness.storage.method_options import (
    EngineSearch,
    Limit,
    NotNegative,
    SearchOptions,
    StrategyOptions,
    Tuning,
)

ROW_KEYS = ("label", "engine")  # of a method, which are no arguments of its target
HEAD = "head"  # in place of a record: the first of the validated images

_Seconds = Union[
    Annotated[int, Meta(ge=0, lt=LONGEST_S)], Annotated[float, Meta(ge=0, lt=LONGEST_S)]
]
Queries = Annotated[  # with fewer no trial can pass (``harness/serving/early_stopping.py``)
    int, Meta(ge=459, lt=1 << 53, description="a whole number of at least 459")
]
Precision = Annotated[float, Meta(ge=0.001, le=0.5, description="a number from 0.001 to 0.5")]
WarmUp = Annotated[_Seconds, Meta(description="a number of seconds from 0 up, below 1e9")]
Classes = Annotated[
    int, Meta(ge=2, le=1 << 16, description="a whole number of at least 2 and at most 65536")
]
Sizes = Annotated[
    tuple[Positive, ...],
    Meta(
        description="a list of whole numbers of at least 1, such as [1,8]; see "
        "conf/protocol/careful.yaml"
    ),
]
Instances = Annotated[
    Union[Literal["auto"], tuple[Positive, ...]],
    Meta(description="auto, a list of whole numbers of at least 1 such as [1,2,4], or null"),
]
ThreadCounts = Annotated[
    tuple[Positive, ...],
    Meta(description="a list of whole numbers of at least 1, such as [1,2,4], or null"),
]
Mean = Annotated[tuple[Number, Number, Number], Meta(description="three numbers, [R,G,B]")]
AboveZero = Union[Annotated[int, Meta(gt=0)], Annotated[float, Meta(gt=0, le=MOST)]]
Deviation = Annotated[
    tuple[AboveZero, AboveZero, AboveZero],
    Meta(description="three numbers above 0, [R,G,B]"),
]
FilePath = Annotated[str, Meta(pattern=r"\A[^\x00]+\Z", description="the path of a file or folder")]
CommandLine = Annotated[
    str, Meta(pattern=r"\A[^\x00]*\S[^\x00]*\Z", description="a command and its words")
]
OwnPath = Union[str, Any]  # a path, or what a class of one's own takes under that name

ISA = Annotated[str, one_of(isa.NAMES, "or null")]
Additions = Annotated[str, one_of(("repaired",), "or null")]


class RunOptions(Facts, frozen=True, kw_only=True):
    """Where a run is kept and what limits it; always what is asked now."""

    id: Annotated[Optional[Name], New()] = None
    results: Annotated[str, New(FilePath)] = ""
    cache: Annotated[str, New(FilePath)] = ""
    cache_limit_gb: Annotated[Number, New(NotNegative)] = 0
    timeout_s: Annotated[Number, New(Limit)] = 0
    wait_s: Annotated[Number, New(Limit)] = USUAL_LIMIT_S
    memory_gb: Annotated[Optional[Number], New(Optional[NotNegative])] = None
    reuse_tuned: Annotated[Optional[Name], New()] = None


class Model(Facts, frozen=True, kw_only=True):
    """The network: ``target`` is what makes it of the other keys."""

    target: str = msgspec.field(name="_target_")
    network: Any = None
    params: Annotated[OwnPath, New(required=False)] = None
    symbol: Annotated[OwnPath, New(required=False)] = None


class Transform(Facts, frozen=True, kw_only=True):
    """How images are resized and normalised: lengths in pixels, ``mean`` and ``std`` by channel."""

    resize: Positive
    crop: Positive
    keep_ratio: bool
    mean: Annotated[tuple[Number, ...], New(Mean)] = ()
    std: Annotated[tuple[Number, ...], New(Deviation)] = ()


class TuningImages(Facts, frozen=True, kw_only=True):
    """The images that methods tune on; ``source`` is a record, or HEAD."""

    source: Annotated[str, New(FilePath)]
    batches: Positive


class Workload(Facts, frozen=True, kw_only=True):
    """The network and the images. Digests are those that the files must have.

    Attributes:
        images: how many are validated; ``harness/run/inputs.py`` checks it against the record.
    """

    name: str
    note: Optional[str] = None
    rec: Annotated[Optional[str], New(Optional[FilePath])] = None
    params: Annotated[Optional[str], New(Optional[FilePath], required=False)] = None
    symbol: Annotated[Optional[str], New(Optional[FilePath], required=False)] = None
    rec_sha256: Optional[str] = None
    params_sha256: Optional[str] = None
    symbol_sha256: Optional[str] = None
    tuning_sha256: Optional[str] = None
    network: Optional[str] = None
    classes: Annotated[int, New(Classes)] = 0
    images: Any = None
    batch_size: Positive
    download: Annotated[bool, New(required=False)] = False
    random_weights: Annotated[bool, New(required=False)] = False
    model: Model
    transform: Annotated[Optional[Transform], New(Transform)] = None
    tuning: TuningImages

    @property
    def paths(self) -> dict[str, Optional[str]]:
        """The files that it names, by role; None where it names none."""
        source = self.tuning.source
        return {
            "rec": self.rec,
            "params": self.params,
            "symbol": self.symbol,
            "tuning": None if source == HEAD else source,
        }

    @property
    def digests(self) -> dict[str, Optional[str]]:
        """The SHA-256 that those files must have; None where any will do."""
        return {
            "rec": self.rec_sha256,
            "params": self.params_sha256,
            "symbol": self.symbol_sha256,
            "tuning": self.tuning_sha256,
        }


class Server(Facts, frozen=True, kw_only=True):
    """How the highest rate of queries that arrive at random is searched.

    Attributes:
        latency_ms: the most that the 99th percentile of the time to an answer may be.
        duration_s: of a trial's arrivals, at least; queries: of a trial, at least.
        precision: a rate that passed and one that failed differ by at most this share at the end.
        batch: the most queries that are answered together.
        delay_ms: how long the first query of a batch waits for others at most.
        seed: of the arrivals.
    """

    latency_ms: AboveZero
    duration_s: WarmUp
    queries: Annotated[Positive, New(Queries)]
    precision: Precision
    batch: Positive
    delay_ms: WarmUp
    seed: Count


class Protocol(Facts, frozen=True, kw_only=True):
    """How a run measures time: how often, in which order, after which warm-up.

    Attributes:
        rounds: how often every method is timed, each time in a fresh process; with 0 the one pass
            over the validation images is all that is timed, as published.
        batches: timed in each round.
        warmup_s: longest warm-up of a round, in seconds.
        reruns: how often a disturbed round is repeated at most.
        sweep: batch sizes to time in each round besides the workload's own.
        sweep_batches: timed at each of these.
        profile_batches: run once more, untimed, under oneDNN's verbose mode; 0 leaves it out.
        roof: whether the machine's peak is measured, too (``harness/table/roof_share.py``).
        seed: of the order of the methods.
        instances: numbers of processes that run each row's model at the same time, each on its own
            cores (``harness/run/instances``); None leaves that out.
        share_cores: whether there may be more instances than physical cores.
        latency_ms: the most that the 99th percentile of a batch's time may be, for the best split.
        server: searches the highest rate of queries in each split; None leaves that out.
    """

    name: str
    rounds: Count
    batches: Count
    reruns: Count
    warmup_s: WarmUp
    seed: Count
    sweep: Annotated[tuple[Positive, ...], New(Sizes)] = ()
    sweep_batches: Annotated[Count, New()] = 0
    profile_batches: Annotated[Count, New()] = 0
    roof: Annotated[bool, New()] = False
    instances: Annotated[
        Optional[Union[Literal["auto"], tuple[Positive, ...]]],
        New(Optional[Instances], required=False),
    ] = None
    share_cores: Annotated[Optional[bool], New(required=False)] = None
    latency_ms: Annotated[Optional[Number], New(Optional[AboveZero], required=False)] = None
    server: Annotated[Optional[Server], New(required=False)] = None

    def sizes(self, batch_size: int) -> dict[int, int]:
        """Return how many batches a round times at each batch size, the workload's own first."""
        swept = {size: self.sweep_batches for size in self.sweep if size != batch_size}
        return {batch_size: self.batches, **swept}

    def order(self, round_: int, methods: Sequence[str]) -> list[str]:
        """Return the methods in the order in which a round measures them.

        Randomised and interleaved: each round has every method once, so that what drifts or comes
        back at intervals meets all alike (Abedi and Brecht, "Conducting repeatable experiments in
        highly variable cloud computing environments", ICPE 2017).
        """
        shuffled = sorted(methods)
        random.Random(f"{self.seed}/{round_}").shuffle(shuffled)
        return shuffled


class EngineOptions(Facts, frozen=True, kw_only=True):
    """What a row's network runs on in place of MXNet: ``target`` makes the engine of the other keys.

    Attributes:
        environment: that of ``requirements/engines/NAME.lock``, whose packages it needs.
    """

    environment: Name
    target: str = msgspec.field(name="_target_")

    @property
    def search(self) -> Optional[EngineSearch]:
        """The options of its search; None where it has no criterion to search by."""
        try:
            return decode(self.stored, EngineSearch)
        except Mistyped:
            return None


class Method(Facts, frozen=True, kw_only=True):
    """One row: ``target`` makes the method of the other keys, its arguments.

    Attributes:
        engine: runs the network that the method makes; None: MXNet does.
    """

    label: str
    target: str = msgspec.field(name="_target_")
    engine: Annotated[Optional[EngineOptions], New(required=False)] = None

    @property
    def arguments(self) -> dict[str, Any]:
        """What makes the method: its target, and the arguments of that."""
        return {key: value for key, value in self.stored.items() if key not in ROW_KEYS}

    @property
    def search_options(self) -> Union[SearchOptions, EngineSearch, None]:
        """Its ``options`` if they are a search's, or its engine's; None for an own method's own."""
        try:
            return decode(self.stored.get("options"), SearchOptions)
        except Mistyped:
            return self.engine.search if self.engine else None

    @property
    def error_threshold(self) -> Optional[float]:
        """That of its ``strategy_options``, if they have one that is a number."""
        try:
            threshold = decode(self.stored.get("strategy_options"), StrategyOptions).error_threshold
        except Mistyped:
            return None
        return None if threshold is None else float(threshold)


class MethodsOptions(Facts, frozen=True, kw_only=True):
    """What all rows have in common."""

    shared_calibration: bool


class TableOptions(Facts, frozen=True, kw_only=True):
    """How tables are written; ``intervals`` None leaves it to the protocol."""

    intervals: Annotated[Optional[bool], New()] = None


class Nightly(Facts, frozen=True, kw_only=True):
    """What a night is compared with, and whom it tells.

    Attributes:
        pinned: another checkout of this project.
        notify: a command and its words, as a shell splits them.
    """

    baseline: Annotated[str, New(Name)] = "last"
    runs: Annotated[Count, New(Positive)] = 0
    pinned: Annotated[Optional[str], New(Optional[FilePath])] = None
    trust_disturbed: Annotated[bool, New(required=False)] = False
    notify: Annotated[Optional[str], New(Optional[CommandLine], required=False)] = None


class ThreadsSection(Facts, frozen=True, kw_only=True):
    """A thread policy as it was typed; ``harness/host/threads.py`` makes its ``ThreadOptions`` of it."""

    policy: Annotated[str, New()] = ""
    places: Annotated[Optional[str], New(str, required=False)] = None
    affinity: Annotated[Optional[str], New(str, required=False)] = None
    sweep: Annotated[
        Optional[tuple[Positive, ...]], New(Optional[ThreadCounts], required=False)
    ] = None
    allocator: Annotated[Optional[str], New(str, required=False)] = None


class Configuration(Facts, frozen=True, kw_only=True):
    """Everything that a run is asked for: ``conf/config.yaml`` with the words of the command line."""

    run: Annotated[RunOptions, New()] = msgspec.field(default_factory=RunOptions)
    machine: Annotated[Optional[str], New(Optional[Name])] = None
    machine_type: Annotated[Optional[Name], New(required=False)] = None
    machine_id: Annotated[Optional[Name], New(required=False)] = None
    workload: Workload
    protocol: Protocol
    tuning: Tuning
    baseline: str
    fused: str
    methods: MethodsOptions
    max_cpu_isa: Annotated[Optional[str], New(Optional[ISA])]
    mxnet_additions: Annotated[Optional[str], New(Optional[Additions], required=False)] = None
    table: Annotated[TableOptions, New()] = msgspec.field(default_factory=TableOptions)
    nightly: Annotated[Nightly, New()] = msgspec.field(default_factory=Nightly)
    threads: Annotated[ThreadsSection, New()] = msgspec.field(default_factory=ThreadsSection)
    # last, since options come from tuning: what is wrong there is named where it was typed
    method: dict[Name, Method]
