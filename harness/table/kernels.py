"""The primitives that oneDNN really executed: its verbose output, aggregated, and findings from it.

Only oneDNN's primitives are in it: MXNet's own operators and the time between primitives are the
difference between ``wall_ms`` and ``total_ms``. Other engines' operators come from their own profiles.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.storage.stage_facts import Kernel, ProfileFacts
from harness.table.operations import count_macs

ENVIRONMENT = {"ONEDNN_VERBOSE": "1", "DNNL_VERBOSE": "1"}  # what makes oneDNN write it
EXECUTED = re.compile(r"(?:onednn|dnnl)_verbose,(?:v1,primitive,)?exec,(.*)")  # of 2.x, of 3.x
CPU_ISA = "_verbose,info,cpu,isa:"
DESCRIPTOR = re.compile(r"(\w+?)[_:](undef|[a-z]+\d+):")  # of src_f32::blocked:acdb:f0, src and f32
ISA = re.compile(r"(?:sse|avx|amx)\w+")
ONEDNN = "oneDNN"
COMPUTE = ("convolution", "deconvolution", "inner_product", "matmul")
INT8 = ("s8", "u8")
MADE_FOR_INT8 = ("vnni", "amx")
SATURATING = ("avx2", "avx512_core")  # what implementations without them end with
LONGEST_MS = 1e9  # of a believable primitive
NOTED_SHARE = 0.05  # of the engine's time, from which on its reference is worth a sentence
NOT_INT8 = "called int8 but no convolution or inner product ran in int8"
NOT_SAID = "called int8 but the engine did not say what ran"
BY_ONEDNN = ("PyTorch",)  # engines whose profile is oneDNN's alone, and not of their own operators
USUALLY = {"binary": "residual additions"}  # what a kind does in the networks measured here


@dataclass(frozen=True)
class Primitive:
    """One primitive that oneDNN executed; a data type that it does not have is empty.

    Attributes:
        problem: its shapes, in oneDNN's own notation.
        macs: multiply-accumulate operations; None for what makes none, and where they are not known.
    """

    kind: str
    implementation: str
    source: str
    weights: str
    destination: str
    problem: str
    macs: int | None
    ms: float


Chosen = Callable[[Kernel], bool]


@dataclass(frozen=True)
class Profile:
    """The primitives that oneDNN, or the operators that an engine, executed for some batches.

    Attributes:
        total_ms: time in them.
        rows: the most expensive first.
        batches, images, wall_ms: what was run, and how long its forward passes took.
        malformed: lines of verbose output that could not be read.
        cpu_isa: the best instruction set that oneDNN says it may use, in its own words.
        engine: who executed them, as texts name it.
    """

    total_ms: float
    rows: tuple[Kernel, ...]
    batches: int
    images: int
    wall_ms: float
    malformed: int
    cpu_isa: str = ""
    engine: str = ONEDNN

    @classmethod
    def of(cls, lines: Sequence[str], batches: int, images: int, wall_ms: float) -> Profile:
        """Aggregate verbose output."""
        executed = [line for line in lines if EXECUTED.search(line)]
        primitives = parse(executed)
        alike: dict[tuple[str, str, str, str], list[Primitive]] = defaultdict(list)
        for one in primitives:
            dtype = ":".join(filter(None, (one.source, one.weights, one.destination)))
            alike[one.kind, one.implementation, instruction_set(one.implementation), dtype].append(
                one
            )
        rows = [
            Kernel(*key, len(same), math.fsum(one.ms for one in same), _macs(same))
            for key, same in alike.items()
        ]
        rows.sort(key=lambda row: (-row.ms, row.kind, row.implementation, row.dtype))
        total = math.fsum(row.ms for row in rows)
        malformed = len(executed) - len(primitives)
        names = (line.partition(CPU_ISA)[2].strip() for line in lines if CPU_ISA in line)
        return cls(total, tuple(rows), batches, images, wall_ms, malformed, next(names, ""))

    @classmethod
    def recorded(cls, facts: ProfileFacts) -> Profile:
        """Return the profile of a record."""
        return cls(
            facts.total_ms,
            tuple(facts.rows),
            facts.batches,
            facts.images,
            facts.wall_ms,
            facts.malformed,
            facts.cpu_isa,
            facts.engine or ONEDNN,
        )

    @property
    def facts(self) -> ProfileFacts:
        """The profile as a record keeps it."""
        return ProfileFacts(
            total_ms=self.total_ms,
            rows=list(self.rows),
            batches=self.batches,
            images=self.images,
            wall_ms=self.wall_ms,
            malformed=self.malformed,
            cpu_isa=self.cpu_isa,
            engine=None if self.engine == ONEDNN else self.engine,
        )

    def share(self, chosen: Chosen) -> float:
        """Return the chosen rows' share of the engine's time, 0 .. 1; 0 if there is no time."""
        return _ratio(math.fsum(row.ms for row in self.rows if chosen(row)), self.total_ms)

    def count(self, chosen: Chosen) -> int:
        """Return how many primitives the chosen rows stand for."""
        return sum(row.count for row in self.rows if chosen(row))

    @property
    def int8_share(self) -> float:
        """The share of the engine's time in int8 convolutions, inner products and matmuls."""
        return self.share(is_int8_compute)

    @property
    def int8_compute_share(self) -> float:
        """How many of the convolutions, inner products and matmuls had an int8 source, 0 .. 1."""
        return _ratio(self.count(is_int8_compute), self.count(is_compute))

    @property
    def reference_share(self) -> float:
        """The share of the engine's time in reference implementations, which are right but not fast."""
        return self.share(made_by("ref"))

    @property
    def reference_wall_share(self) -> float:
        """The share of the wall clock in reference implementations, 0 .. 1."""
        return self.reference_share * _ratio(self.total_ms, self.wall_ms or self.total_ms)

    @property
    def without_reference(self) -> float | None:
        """How many times as fast MXNet would be without its oneDNN's reference kernels.

        None where little is theirs, and of other engines: theirs are no defect of this MXNet.
        """
        share = self.reference_wall_share
        is_slow = self.engine == ONEDNN and NOTED_SHARE <= share < 1
        return 1 / (1 - share) if is_slow else None

    @property
    def reorder_share(self) -> float:
        """The share of the engine's time in conversions of layout or type."""
        return self.share(lambda row: row.kind == "reorder")

    @property
    def outside_share(self) -> float | None:
        """The share of the wall clock outside the engine; None if the wall clock is not known."""
        return max(0.0, 1 - self.total_ms / self.wall_ms) if self.wall_ms else None

    @property
    def isa_path(self) -> dict[str, float]:
        """Instruction sets of the compute primitives and their shares of the time of these."""
        return self.isa_shares(is_compute)

    def isa_shares(self, chosen: Chosen) -> dict[str, float]:
        """Return instruction sets and their shares of the chosen rows' time, the largest first.

        An implementation that names no instruction set stands for itself (x64:gemm_s8s8s32:jit).
        """
        spent: dict[str, float] = defaultdict(float)
        for row in filter(chosen, self.rows):
            spent[row.isa or row.implementation] += row.ms
        total = math.fsum(spent.values())
        ordered = sorted(spent.items(), key=lambda item: (-item[1], item[0]))
        return {isa: _ratio(ms, total) for isa, ms in ordered}


@dataclass(frozen=True)
class RowProfile:
    """How one row of the table ran."""

    method: str
    label: str
    profile: Profile


def other_engines(profiles: Iterable[RowProfile]) -> list[str]:
    """Return the names of the engines other than MXNet that executed rows."""
    return sorted({one.profile.engine for one in profiles} - {ONEDNN})


def common_name(profiles: Iterable[RowProfile]) -> str:
    """Return what stands for whatever executed the rows."""
    return "the engine" if other_engines(profiles) else ONEDNN


def is_compute(row: Kernel) -> bool:
    """Say whether a row is of the primitives that a network's arithmetic is in."""
    return row.kind in COMPUTE


def is_int8_compute(row: Kernel) -> bool:
    """Say whether a row is of those and reads int8."""
    return is_compute(row) and row.dtype.split(":")[0] in INT8


def saturates(row: Kernel) -> bool:
    """Say whether a row is of primitives that add products of u8 and s8 in 16 bits, with saturation.

    oneDNN's kernels for AVX2 and AVX-512 do that where there is no VNNI ("Nuances of int8
    computations" in its guide).
    """
    return is_compute(row) and row.dtype.startswith("u8:s8") and row.isa in SATURATING


def made_by(family: str) -> Chosen:
    """Return a test for implementations of a family: ``ref`` is also ref_int8 and the like."""
    pattern = re.compile(rf"{family}(?:_\w+)?(?::|$)")
    return lambda row: pattern.match(row.implementation) is not None


def instruction_set(implementation: str) -> str:
    """Return the instruction set that an implementation's name ends with, or nothing."""
    last = implementation.rpartition(":")[2]
    return last if ISA.fullmatch(last) else ""


def parse(lines: Iterable[str]) -> list[Primitive]:
    """Read what oneDNN 2.x or 3.x reports as executed; all other lines and damaged ones are left out."""
    return list(filter(None, map(_primitive, lines)))


def _macs(primitives: Iterable[Primitive]) -> int | None:
    """Return the operations of all; None where those of one are not known."""
    counts = [one.macs for one in primitives]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _primitive(line: str) -> Primitive | None:
    """Read ``exec,engine,kind,implementation,propagation,descriptors,attributes,...,shapes,ms``."""
    match = EXECUTED.search(line)
    fields = match[1].split(",") if match else []
    try:
        ms = float(fields[-1]) if len(fields) >= 8 and "exec" not in fields else -1.0
    except ValueError:
        return None
    if not 0 <= ms < LONGEST_MS or not fields[1] or not fields[2]:
        return None
    types: dict[str, str] = {}
    for name, dtype in DESCRIPTOR.findall(fields[4]):
        types.setdefault(name, "" if dtype == "undef" else dtype)
    both = types.get("data", "")  # the one descriptor of a source and a destination alike
    return Primitive(
        kind=fields[1],
        implementation=fields[2],
        source=types.get("src", both),
        weights=types.get("wei", ""),
        destination=types.get("dst", both),
        problem=fields[-2],
        macs=count_macs(fields[1], fields[-2]),
        ms=ms,
    )


def findings(profile: Profile, expects_int8: bool) -> list[str]:
    """Return, as sentences, what a reader of the model's time should know, the gravest first.

    Args:
        expects_int8: the model is called int8. It is not int8 if ``int8_compute_share`` is 0.
    """
    if not profile.rows:
        what = "primitive" if profile.engine == ONEDNN else "operator"
        return [f"{profile.engine} reported no {what}, so how the model ran is not known"]
    sentences = [*(_int8_findings(profile) if expects_int8 else ()), *_reference_findings(profile)]
    if profile.malformed:
        sentences.append(
            f"lines of {profile.engine}'s verbose output that could not be read: {profile.malformed}"
        )
    return sentences


def _int8_findings(profile: Profile) -> Iterator[str]:
    compute, int8 = profile.count(is_compute), profile.count(is_int8_compute)
    if not int8:
        yield NOT_INT8
        return
    if int8 < compute:
        batches = max(1, profile.batches)
        rest = profile.share(is_compute) - profile.int8_share
        yield (
            f"{(compute - int8) / batches:g} of {compute / batches:g} convolutions and inner "
            f"products did not run in int8 ({_percent(rest)} of {profile.engine}'s time)"
        )
    isa = next(iter(profile.isa_shares(is_int8_compute)))
    if ISA.fullmatch(isa) and not any(name in isa for name in MADE_FOR_INT8):
        yield f"int8 ran mostly on {isa}, without the instructions made for it (VNNI, AMX)"
    saturating = profile.count(saturates)
    if saturating:
        batches = max(1, profile.batches)
        yield (
            f"{saturating / batches:g} convolutions and inner products add pairs of u8 x s8 products "
            "in 16 bits and cut the sum off at 32767 (vpmaddubsw), as VNNI and AMX do not: accuracies, "
            "and which operators a search excludes, differ from theirs"
        )


def _reference_findings(profile: Profile) -> Iterator[str]:
    spent: dict[tuple[str, str], float] = defaultdict(float)
    for row in filter(made_by("ref"), profile.rows):
        spent[row.kind, row.implementation] += row.ms
    for (kind, implementation), ms in spent.items():
        share = _ratio(ms, profile.total_ms)
        if share >= NOTED_SHARE:
            usually = f" ({USUALLY[kind]})" if kind in USUALLY else ""
            yield (
                f"{_percent(share)} of {profile.engine}'s time in its reference implementation "
                f"{kind},{implementation}{usually}"
            )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
