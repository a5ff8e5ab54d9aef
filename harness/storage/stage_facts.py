"""What the stages return, as the records keep it: the fields that are read.

``Facts`` keep the rest of their object (``harness/facts/typed.py``). A field that is None by default
may be missing, in records of earlier versions too.
"""

# No ``from __future__ import annotations``: msgspec evaluates the annotations, on Python 3.9 too.
from typing import Any, Literal, Optional

import msgspec

from harness.facts.machine_facts import Disturbance, OpenMP, Versions
from harness.facts.typed import (
    Count,
    Duration,
    Facts,
    Name,
    Positive,
    Seconds,
    Sha256,
    Share,
    Texts,
)

Dtype = Literal["fp32", "bf16", "int8"]


class File(Facts, frozen=True, kw_only=True):
    """A file of the run, by its path in the folder of its row.

    Attributes:
        bytes: its size; None in records of before it was kept.
    """

    path: Name
    bytes: Optional[Count] = None
    sha256: Sha256


class Inspection(Facts, frozen=True, kw_only=True):
    """What a look at the model found, before anything is measured.

    Attributes:
        versions: of what is installed.
        warnings: what the reader of the table should know about the weights.
    """

    versions: Versions
    warnings: list[str]


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A trial of a search; ``changed`` says for each operator what it became."""

    trial: Positive
    accuracy: Share
    seconds: Seconds
    changed: Texts


class Quantization(msgspec.Struct, frozen=True, kw_only=True):
    """What a method says that it configured."""

    baseline_accuracy: Optional[Share] = None
    calibration_images: Optional[Positive] = None
    excluded_operators: Optional[list[str]] = None
    trials: Optional[Count] = None
    strategy: Optional[str] = None
    quantize_mode: Any = None  # shown as it is
    quantize_granularity: Any = None


class Process(Facts, frozen=True, kw_only=True):
    """What a stage returned, and what its process took: wall clock and the most memory at once."""

    seconds: Optional[Seconds] = None
    peak_rss_bytes: Optional[Count] = None


class Optimize(Process, frozen=True, kw_only=True):
    """A row's model, and what it took to make it.

    Attributes:
        cost_s: of the method alone.
        reused_from: the run that made it, where that is another one.
        misplaced: how threads ran elsewhere than asked for, in sentences.
    """

    cost_s: Seconds
    symbol: File
    params: File
    quantization: Optional[Quantization] = None
    trajectory: Optional[list[Trial]] = None
    warnings: Optional[list[str]] = None
    reused_from: Optional[Name] = None
    openmp: Optional[OpenMP] = None
    disturbed: list[Disturbance]
    misplaced: Optional[list[str]] = None

    @property
    def model(self) -> tuple[File, File]:
        """The model's files: its symbol and its params."""
        return self.symbol, self.params


class Validate(Process, frozen=True, kw_only=True):
    """The pass over the validation images; ``data_s``, ``forward_s`` and ``rest_s`` are by batch."""

    images: Positive
    batches: Positive
    batch_size: Positive
    validation_s: Duration
    data_s: list[Seconds]
    forward_s: list[Duration]
    rest_s: list[Seconds]
    non_finite: Optional[Count] = None
    predictions: File
    openmp: Optional[OpenMP] = None
    disturbed: list[Disturbance]
    misplaced: Optional[list[str]] = None


class ProfiledKernel(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of primitive that oneDNN executed (``harness.table.kernels.Row``)."""

    kind: str
    implementation: str
    isa: str
    dtype: str
    count: Positive
    ms: Seconds
    macs: Optional[Count] = None


class ProfileFacts(Process, frozen=True, kw_only=True):
    """What oneDNN said that it executed (``harness.table.kernels.Profile``)."""

    total_ms: Seconds
    rows: list[ProfiledKernel]
    batches: Count
    images: Count
    wall_ms: Seconds
    malformed: Count
    cpu_isa: str


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Of the conditions of a stretch (``harness.host.conditions.Conditions``), its length."""

    seconds: Seconds


class Timed(msgspec.Struct, frozen=True, kw_only=True):
    """The batches of one size that a round timed.

    Attributes:
        warmup_s: the forward times before them.
        settled: whether those had become steady.
    """

    batch_size: Positive
    forward_s: list[Duration]
    data_s: Optional[list[Seconds]] = None
    warmup_s: Optional[list[Seconds]] = None
    disturbed: list[Disturbance]
    settled: bool
    conditions: Stretch
    misplaced: Optional[list[str]] = None


class RoundFacts(Process, frozen=True, kw_only=True):
    """What a round timed, the workload's own batch size first."""

    timed: list[Timed]


class RoofKernel(msgspec.Struct, frozen=True, kw_only=True):
    """A convolution that was repeated; ``macs`` are its multiply-accumulates."""

    dtype: Dtype
    kind: str
    implementation: str
    problem: str
    macs: Positive
    ms: list[Duration]


class RoofFacts(Process, frozen=True, kw_only=True):
    """How fast oneDNN was; ``missing``: by data type, why nothing was measured of it."""

    kernels: list[RoofKernel]
    missing: Texts
    openmp: Optional[OpenMP] = None
    disturbed: list[Disturbance]
    misplaced: Optional[list[str]] = None
