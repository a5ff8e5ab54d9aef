"""The record of one row's search for the highest rate of queries in one split of the machine."""

# No ``from __future__ import annotations``: msgspec evaluates the annotations, on Python 3.9 too.
from dataclasses import dataclass
from typing import ClassVar, Optional

import msgspec

from harness.facts.machine_facts import Disturbance, OpenMP
from harness.facts.typed import Count, Duration, Name, Positive, Seconds
from harness.storage.outcomes import OK
from harness.storage.record import SCHEMA, SERVER, Outcome, Record, Split
from harness.storage.stage_facts import Process, Stretch


class ServedTrial(msgspec.Struct, frozen=True, kw_only=True):
    """What one instance served in a trial.

    Attributes:
        latency_s: of each query that it answered, from its arrival.
        batch_sizes, forward_s: of each batch.
        cpus: on which its working threads were seen, ascending.
    """

    latency_s: list[Seconds]
    batch_sizes: list[Positive]
    forward_s: list[Duration]
    cpus: list[Count]
    conditions: Stretch
    disturbed: list[Disturbance]
    misplaced: Optional[list[str]] = None


class ServeFacts(Process, frozen=True, kw_only=True):
    """What one instance served in all trials.

    Attributes:
        batch_s: of the fastest of the last batches of the warm-up.
        settled: whether the times had become steady in the warm-up.
        memory_by_node: bytes of its memory by NUMA node; None where the kernel does not tell.
    """

    batch_s: Duration
    settled: bool
    trials: list[ServedTrial]
    openmp: Optional[OpenMP] = None
    memory_by_node: Optional[dict[str, Count]] = None


class TriedRate(msgspec.Struct, frozen=True, kw_only=True):
    """A trial of the search.

    Attributes:
        rate: queries per second.
        queries: that arrived.
        allowed: as many might be late; with more the trial ended.
    """

    rate: Duration
    queries: Positive
    allowed: Count
    late: Count


@dataclass(frozen=True)
class ServerRecord(Record):
    """The search of one method in one split.

    Attributes:
        placed: the CPUs that each instance was bound to.
        tried: the trials, in their order.
        highest: the highest rate at which the percentile of a trial was at most the target; None if
            there was none, or the outcome is not ok.
        shown: the highest rate that passed MLPerf's early stopping.
        facts: of the instances, in their order; None if one did not end well.
    """

    title: ClassVar[str] = "record of a search for a rate"

    run: Name
    method: Name
    split: Split
    outcome: Outcome
    placed: list[list[Count]]
    tried: list[TriedRate]
    highest: Optional[Duration] = None
    shown: Optional[Duration] = None
    facts: Optional[list[ServeFacts]] = None
    schema: int = SCHEMA

    @property
    def path(self) -> str:
        """Where it is, in the run's folder."""
        return f"{SERVER}/{self.method}_{self.split.key}.json"

    @property
    def inconsistency(self) -> Optional[str]:
        unplaced = self.split.unplaced(self.placed)
        if unplaced:
            return unplaced
        is_ok = self.outcome.kind == OK
        if not is_ok and (self.highest, self.shown) != (None, None):
            return "it has a rate, and its outcome is not ok"
        rates = {one.rate for one in self.tried}
        if not {self.highest, self.shown} <= {*rates, None}:
            return "a rate that was found is none of those that were tried"
        served = [len(one.trials) for one in self.facts or ()]
        if (is_ok or served) and served != [len(self.tried)] * len(self.placed):
            return "not every instance served every trial"
        return None
