"""The answers of the stages: a worker makes them, its parent reads them, and the records keep them.

``Facts`` keep the rest of their object (``harness/facts/typed.py``). A field that is None by default
may be missing, in records of earlier versions too. Fields stand in the order in which they are written.
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
    Number,
    Positive,
    Seconds,
    Sha256,
    Share,
    Texts,
    decode,
    plain,
)
from harness.host.conditions import Conditions

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
        parameters: how many numbers the network has.
        warnings: what the reader of the table should know about the weights.
    """

    versions: Versions
    openmp: Optional[OpenMP] = None
    parameters: Optional[Count] = None
    warnings: list[str]


class Stretch(Facts, frozen=True, kw_only=True):
    """A stretch, by what is read again of its conditions; the rest of them is kept.

    Attributes are those of ``Conditions``; None where it was not readable, or not read yet.
    """

    seconds: Seconds
    effective_mhz: Optional[Number] = None
    frequency_source: Optional[str] = None
    instructions_per_cycle: Optional[Number] = None
    energy_j: Optional[Number] = None
    temperature_c: Optional[Number] = None
    thermal_throttles: Optional[Number] = None
    allocator: Optional[str] = None

    @classmethod
    def measured(cls, conditions: Conditions) -> "Stretch":
        """Return the stretch that ran under some conditions."""
        return decode(plain(conditions), cls)


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A trial of a search; ``changed`` says for each operator what it became."""

    trial: Positive
    accuracy: Share
    seconds: Seconds
    changed: Texts


class OperatorPlace(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator is, where its name does not say so.

    Attributes:
        kind: of the unfused operators in it.
        layer: the path of its layer in the Gluon network; empty where it has none.
        behind: the operators whose scale it reads, each with its layer in parentheses.
        feeds: the operators that read it, likewise.
    """

    kind: str
    layer: str
    behind: list[str]
    feeds: list[str]

    def __str__(self) -> str:
        """Return it in words, such as ``BatchNorm in features.5.0.bn1, feeds node_6``."""
        layer = f" in {self.layer}" if self.layer else ""
        behind = f", behind {', '.join(self.behind)}" if self.behind else ""
        feeds = f", feeds {', '.join(self.feeds)}" if self.feeds else ""
        return f"{self.kind}{layer}{behind}{feeds}"


class Quantization(msgspec.Struct, frozen=True, kw_only=True):
    """What a method says that it configured; ``excluded_are`` describes operators by their names."""

    baseline_accuracy: Optional[Share] = None
    calibration_images: Optional[Positive] = None
    excluded_operators: Optional[list[str]] = None
    excluded_are: Optional[dict[str, OperatorPlace]] = None
    trials: Optional[Count] = None
    meets_criterion: Optional[bool] = None  # said only where it is false
    strategy: Optional[str] = None
    quantize_mode: Any = None  # shown as it is
    quantize_granularity: Any = None

    @property
    def excluded(self) -> list[str]:
        """The excluded operators in words: the name, and what it is if that is known."""
        known = self.excluded_are or {}
        return [
            f"{name}: {known[name]}" if name in known else name
            for name in self.excluded_operators or ()
        ]


class Process(Facts, frozen=True, kw_only=True):
    """What a stage returned, and what its process took: wall clock and the most memory at once."""

    seconds: Optional[Seconds] = None
    peak_rss_bytes: Optional[Count] = None


class Optimize(Process, frozen=True, kw_only=True):
    """A row's model, and what it took to make it.

    Attributes:
        cost_s: of the method alone, without loading the network and the images.
        images: how many were tuned on.
        network: the ONNX file that an engine's model was made from.
        difference: the largest of its scores from MXNet's, as a part of the largest score, on
            the first tuning images.
        packages: versions in the engine's environment, by name.
        converted_s: of ``seconds``, those of the process in the engine's environment.
        reused_from: the run that made it, where that is another one.
        misplaced: how threads ran elsewhere than asked for, in sentences.
    """

    cost_s: Seconds
    images: Optional[Count] = None
    symbol: File
    params: File
    network: Optional[File] = None
    difference: Optional[Duration] = None
    packages: Optional[Texts] = None
    converted_s: Optional[Seconds] = None
    quantization: Optional[Quantization] = None
    trajectory: Optional[list[Trial]] = None
    warnings: Optional[list[str]] = None
    reused_from: Optional[Name] = None
    openmp: Optional[OpenMP] = None
    conditions: Optional[Stretch] = None
    disturbed: list[Disturbance]
    misplaced: Optional[list[str]] = None

    @property
    def model(self) -> tuple[File, File]:
        """The model's files: its symbol and its params, or an engine's graph and weights."""
        return self.symbol, self.params

    @property
    def files(self) -> tuple[File, ...]:
        """The model's files, and the ONNX file that an engine's was made from."""
        return (*self.model, self.network) if self.network else self.model


class Validate(Process, frozen=True, kw_only=True):
    """The pass over the validation images; ``data_s``, ``forward_s`` and ``rest_s`` are by batch.

    Attributes:
        validation_s: wall clock of the whole loop, as published: data, forward pass and metric.
        non_finite: how many images got a score that is NaN or infinite.
        predictions: the file of (images, 5) uint16, best class first.
    """

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
    conditions: Optional[Stretch] = None
    disturbed: list[Disturbance]
    misplaced: Optional[list[str]] = None


class Kernel(msgspec.Struct, frozen=True):
    """All primitives of one kind, implementation and types that oneDNN or an engine executed.

    Attributes:
        isa: the instruction set that the implementation's name ends with, such as
            avx512_core_vnni; empty where it names none.
        dtype: the types of source, weights and destination joined by colons, such as u8:s8:s8.
        macs: multiply-accumulate operations of all of them; None for what makes none, and where they
            are not known, as in records that do not have them.
    """

    kind: str
    implementation: str
    isa: str
    dtype: str
    count: Positive
    ms: Seconds
    macs: Optional[Count] = None


class ProfileFacts(Process, frozen=True, kw_only=True):
    """What oneDNN, or another engine, said that it executed (``harness.table.kernels.Profile``).

    Attributes:
        engine: its name in texts; None: the oneDNN of MXNet.
    """

    total_ms: Seconds
    rows: list[Kernel]
    batches: Count
    images: Count
    wall_ms: Seconds
    malformed: Count
    cpu_isa: str
    engine: Optional[str] = None


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
    settled: bool
    conditions: Stretch
    disturbed: list[Disturbance]
    misplaced: Optional[list[str]] = None


class RoundFacts(Process, frozen=True, kw_only=True):
    """What a round timed, the workload's own batch size first."""

    timed: list[Timed]
    openmp: Optional[OpenMP] = None


class InstanceTimed(msgspec.Struct, frozen=True, kw_only=True):
    """The batches of one size that an instance ran while others ran, too; lists are by batch.

    Attributes:
        began_at: when it requested the first one, in seconds of CLOCK_MONOTONIC; the three lists add
            up to all of its time from then on.
        settled: whether the times had become steady in the warm-up.
        cpus: the CPUs on which its working threads were seen, ascending.
    """

    batch_size: Positive
    began_at: Seconds
    data_s: list[Seconds]
    forward_s: list[Duration]
    rest_s: list[Seconds]
    settled: bool
    cpus: list[Count]
    conditions: Stretch
    disturbed: list[Disturbance]
    misplaced: Optional[list[str]] = None


class InstanceFacts(Process, frozen=True, kw_only=True):
    """What one of several instances measured, the workload's own batch size first.

    Attributes:
        memory_by_node: bytes of its memory by NUMA node; None where the kernel does not tell.
    """

    timed: list[InstanceTimed]
    openmp: Optional[OpenMP] = None
    memory_by_node: Optional[dict[str, Count]] = None


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
    conditions: Optional[Stretch] = None
    disturbed: list[Disturbance]
    misplaced: Optional[list[str]] = None


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """Images ``start`` .. ``stop`` of a file of prepared images, and the CRC-32 of their bytes."""

    start: Count
    stop: Positive
    crc32: Count


class Recovered(Process, frozen=True, kw_only=True):
    """The model of a trial that was made again; ``accuracy`` is that on the tuning images."""

    trial: Positive
    accuracy: Share
    images: Positive
    symbol: File
    params: File
