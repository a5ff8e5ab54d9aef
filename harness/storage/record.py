"""What is kept of one row: raw facts only. Accuracies, losses and speedups are derived from them.

The parts that stages returned are described in ``harness/storage/stage_facts.py``.

Schema history:
    1  outcome, optimize, validate
    2  profile; validate has the parts of the validation time and its conditions; rounds apart;
       later also, where it may be missing: macs in the rows of a profile; roof apart; history,
       and for a while snapshot, the digest of a history that is read no longer
"""

# No ``from __future__ import annotations``: msgspec evaluates the annotations, on Python 3.9 too.
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Optional, TypeVar

from msgspec import Meta

from harness.errors import HarnessError
from harness.facts.machine_facts import Disturbance
from harness.facts.typed import (
    Count,
    InsidePath,
    JsonObject,
    Mistyped,
    Name,
    Positive,
    decode,
    plain,
)
from harness.storage.outcomes import FINISHED, NO_SOLUTION, OK, Kind
from harness.storage.stage_facts import (
    File,
    InstanceFacts,
    Optimize,
    ProfileFacts,
    RoofFacts,
    RoundFacts,
    Timed,
    Validate,
)

SCHEMA = 2
GONE = "snapshot"  # a key of a row's record that nothing reads any longer
RECORDS = "records"  # folders in that of the run
ROUNDS = "rounds"
INSTANCES = "instances"
SERVER = "server"
ROOF = "roof.json"  # a file there
RECORD_FILES = f"{RECORDS}/[0-9]*.json"  # the records in these folders
ROUND_FILES = f"{ROUNDS}/[0-9]*.json"
INSTANCE_FILES = f"{INSTANCES}/[0-9]*.json"
SERVER_FILES = f"{SERVER}/*.json"


@dataclass(frozen=True)
class Outcome:
    """How a row ended.

    Attributes:
        kind: one of ``outcomes.Kind``.
        reason: one line on why, for all but ok.
        log: the log to read, relative to the run's folder.
        trials: how many tuning trials a search without a solution made.
    """

    kind: Annotated[Kind, Meta(description="the kind of an outcome")]
    reason: Optional[str] = None
    log: Optional[InsidePath] = None
    trials: Optional[Count] = None

    @property
    def finished(self) -> bool:
        return self.kind in FINISHED

    def __str__(self) -> str:
        if self.kind == NO_SOLUTION:
            return f"no solution in {self.trials} trials"
        return self.kind if self.reason is None else f"{self.kind}: {self.reason}"


R = TypeVar("R", bound="Record")


class Record:
    """A record of a run: a dataclass that is one JSON object in a file.

    Attributes:
        title: what error messages call it.
    """

    title: ClassVar[str]

    @property
    def inconsistency(self) -> Optional[str]:
        """What does not go together in it; None if all does."""
        raise NotImplementedError

    def as_dict(self) -> JsonObject:
        return dict(plain(self))

    @classmethod
    def from_dict(cls: type[R], stored: object, path: Path) -> R:
        """Return the record of a JSON object read from ``path``.

        Raises:
            HarnessError: its schema is unknown, or a field is missing or is not what it should be.
        """
        schema = stored.get("schema") if isinstance(stored, Mapping) else None
        if schema != SCHEMA:
            raise HarnessError(
                f"{path} has record schema {schema}, this version reads {SCHEMA}: use the version "
                "that wrote it"
            )
        try:
            record = decode(stored, cls)
            wrong = record.inconsistency
        except Mistyped as error:
            wrong = str(error)
        if wrong is not None:
            raise HarnessError(f"{path} is no {cls.title} ({wrong}): restore or delete it")
        return record


@dataclass(frozen=True)
class MethodRecord(Record):
    """One row's record; ``optimize``, ``validate`` and ``profile`` are what those stages returned.

    A stage that did not end well, or was left out, is None.

    Attributes:
        history: the file, with its digest, of the tuning history that the search left, even one
            without a solution; None if there was no search, or if it was made before there was such
            a file.
        others: what else stood in the file, so that it is written again.
    """

    title: ClassVar[str] = "method record"

    run: Name
    method: Name
    label: str
    position: Count
    outcome: Outcome
    optimize: Optional[Optimize] = None
    validate: Optional[Validate] = None
    profile: Optional[ProfileFacts] = None
    history: Optional[File] = None
    schema: int = SCHEMA
    others: JsonObject = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where it is, in the run's folder."""
        return f"{RECORDS}/{self.position:02d}_{self.method}.json"

    def as_dict(self) -> JsonObject:
        values = super().as_dict()
        others = values.pop("others")
        return {**values, **others}

    @classmethod
    def from_dict(cls, stored: object, path: Path) -> "MethodRecord":
        """As ``Record.from_dict``; keys that no field is of are kept."""
        known, others = stored, {}
        if isinstance(stored, Mapping):
            names = {field.name for field in dataclasses.fields(cls)} - {"others"}
            known = {key: value for key, value in stored.items() if key in names}
            others = {key: stored[key] for key in stored if key not in {*names, GONE}}
        return dataclasses.replace(super().from_dict(known, path), others=others)

    @property
    def inconsistency(self) -> Optional[str]:
        kind, facts = self.outcome.kind, self.validate
        if kind == NO_SOLUTION and self.outcome.trials is None:
            return "outcome.trials is missing, and a search ended without a solution"
        if kind == OK and not (self.optimize and facts):
            return "the outcome is ok, and optimize or validate is missing"
        if not facts:
            return None
        lengths = {len(times) for times in (facts.data_s, facts.forward_s, facts.rest_s)}
        if lengths != {facts.batches} or facts.batches != -(-facts.images // facts.batch_size):
            return (
                f"validate has times of {sorted(lengths)} batches, and {facts.images} images in "
                f"batches of {facts.batch_size}"
            )
        spent = math.fsum(facts.forward_s)
        if spent > facts.validation_s * (1 + 1e-6):
            return f"validate.validation_s is {facts.validation_s:g}, less than forward_s sums to"
        return None


@dataclass(frozen=True)
class RoundRecord(Record):
    """One method timed in one round; a disturbed one is followed by another attempt.

    Attributes:
        round: from 1.
        attempt: from 1.
        facts: what the stage ``measure`` returned; None if it did not end well.
    """

    title: ClassVar[str] = "round record"

    run: Name
    method: Name
    round: Positive
    attempt: Positive
    outcome: Outcome
    facts: Optional[RoundFacts] = None
    schema: int = SCHEMA

    @property
    def path(self) -> str:
        """Where it is, in the run's folder."""
        return f"{ROUNDS}/{self.round:03d}_{self.method}_{self.attempt}.json"

    @property
    def inconsistency(self) -> Optional[str]:
        if self.outcome.kind != OK:
            return None
        if not self.timed or not all(part.forward_s for part in self.timed):
            return "the outcome is ok, and nothing was timed"
        if len({part.batch_size for part in self.timed}) != len(self.timed):
            return "facts.timed has a batch size twice"
        return None

    @property
    def timed(self) -> list[Timed]:
        """What it timed, by batch size; empty if it did not end well."""
        return self.facts.timed if self.facts else []

    @property
    def disturbed(self) -> list[Disturbance]:
        """What disturbed it."""
        return [disturbance for part in self.timed for disturbance in part.disturbed]


@dataclass(frozen=True, order=True)
class Split:
    """How many processes run a model at once, and how many threads they have together."""

    instances: Positive
    threads: Positive

    def unplaced(self, placed: Sequence[Sequence[int]]) -> Optional[str]:
        """Return why the CPUs of instances are not those of this split; None if they can be."""
        if len(placed) != self.instances:
            return f"it has the places of {len(placed)} of {self.instances} instances"
        return None

    @property
    def key(self) -> str:
        """Its part of the names of files."""
        return f"{self.instances}x{self.threads}"

    def __str__(self) -> str:
        """Return it in words, such as ``2 instances of 8 threads``."""
        fewest, more = divmod(self.threads, self.instances)
        each = f"{fewest} or {fewest + 1}" if more else str(fewest)
        one = "instance" if self.instances == 1 else "instances"
        return f"{self.instances} {one} of {each} thread{'' if each == '1' else 's'}"


@dataclass(frozen=True)
class InstancesRecord(Record):
    """One method in one split in one round; a disturbed one is followed by another attempt.

    Attributes:
        round: from 1.
        attempt: from 1.
        facts: what the instances measured, in their order; None if one did not end well.
        placed: the CPUs that each was bound to.
    """

    title: ClassVar[str] = "record of instances"

    run: Name
    method: Name
    split: Split
    round: Positive
    attempt: Positive
    outcome: Outcome
    placed: list[list[Count]]
    facts: Optional[list[InstanceFacts]] = None
    schema: int = SCHEMA

    @property
    def path(self) -> str:
        """Where it is, in the run's folder."""
        return f"{INSTANCES}/{self.round:03d}_{self.method}_{self.split.key}_{self.attempt}.json"

    @property
    def inconsistency(self) -> Optional[str]:
        unplaced = self.split.unplaced(self.placed)
        if unplaced or self.outcome.kind != OK:
            return unplaced
        facts = self.facts or []
        sizes = {tuple(part.batch_size for part in one.timed) for one in facts}
        if len(facts) != self.split.instances or len(sizes) != 1 or not next(iter(sizes)):
            return "the outcome is ok, and not all instances timed the same batch sizes"
        for one in facts:
            for part in one.timed:
                lengths = {len(part.data_s), len(part.forward_s), len(part.rest_s)}
                if len(lengths) != 1 or not part.forward_s:
                    return (
                        "the outcome is ok, and an instance has not the three times of each batch"
                    )
        return None

    @property
    def disturbed(self) -> list[Disturbance]:
        """What disturbed it."""
        return [
            disturbance
            for one in self.facts or ()
            for part in one.timed
            for disturbance in part.disturbed
        ]


@dataclass(frozen=True)
class RoofRecord(Record):
    """How fast oneDNN is on the machine of the run (``protocol.roof``).

    Attributes:
        facts: what the stage ``roof`` returned; None if it did not end well.
    """

    title: ClassVar[str] = "roof record"
    path: ClassVar[str] = ROOF

    run: Name
    outcome: Outcome
    facts: Optional[RoofFacts] = None
    schema: int = SCHEMA

    @property
    def inconsistency(self) -> Optional[str]:
        kernels = self.facts.kernels if self.facts else []
        return None if all(kernel.ms for kernel in kernels) else "a kernel has no times"
