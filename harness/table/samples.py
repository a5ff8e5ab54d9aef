"""The timings that count: of each method and round an undisturbed attempt, else the last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from harness.storage.outcomes import OK
from harness.storage.record import MethodRecord, RoundRecord

Times = npt.NDArray[np.float64]
Used = Sequence[tuple[MethodRecord, RoundRecord]]  # the timings that count, with their rows


@dataclass(frozen=True)
class Samples:
    """One method's timings at one batch size.

    Attributes:
        rounds: the numbers of the R rounds that there are, ascending.
        forward_s: (R, B) seconds of the forward passes; one round for a validation pass.
    """

    rounds: tuple[int, ...]
    forward_s: Times

    def paired(self, other: Samples) -> tuple[Times, Times]:
        """Return both samples' times in the rounds that both have, (R, B) each; R may be 0."""
        common = sorted(set(self.rounds) & set(other.rounds))
        return self._of(common), other._of(common)

    def _of(self, rounds: Sequence[int]) -> Times:
        return self.forward_s[[self.rounds.index(number) for number in rounds]]


def counted(rounds: Iterable[RoundRecord]) -> list[RoundRecord]:
    """Return the attempt of each method and round that counts, by round and method.

    The first that nothing disturbed; where all were, the last.
    """
    chosen: dict[tuple[int, str], RoundRecord] = {}
    for record in rounds:
        key = (record.round, record.method)
        if record.outcome.kind == OK and (key not in chosen or chosen[key].disturbed):
            chosen[key] = record
    return [chosen[key] for key in sorted(chosen)]


def batch_seconds(record: RoundRecord, batch_size: int) -> list[float]:
    """Return the seconds of a timing's batches of one size; none where it did not time that size."""
    parts = (part for part in record.timed if part.batch_size == batch_size)
    return next((list(part.forward_s) for part in parts), [])


def samples_of(rounds: Iterable[RoundRecord]) -> dict[int, dict[str, Samples]]:
    """Return the timings by batch size and method, the workload's own batch size first."""
    parts: dict[int, dict[str, list[tuple[int, list[float]]]]] = {}
    for record in counted(rounds):
        for part in record.timed:
            of_size = parts.setdefault(part.batch_size, {})
            of_size.setdefault(record.method, []).append((record.round, part.forward_s))
    return {
        size: {
            method: Samples(tuple(number for number, _ in times), np.array([t for _, t in times]))
            for method, times in methods.items()
        }
        for size, methods in parts.items()
    }


def passes_of(records: Iterable[MethodRecord]) -> dict[str, Samples]:
    """Return the forward passes of validations, by method, of the rows that are ok."""
    return {
        record.method: validation_samples(record, "forward_s")
        for record in records
        if record.outcome.kind == OK and record.validate is not None
    }


def validation_samples(record: MethodRecord, part: Literal["forward_s"] | None = None) -> Samples:
    """Return the one round that a validation pass is, of whole batches only.

    Args:
        part: ``forward_s`` for the forward pass; None for all the time of the pass.
    """
    facts = record.validate
    assert facts is not None
    parts = [facts.forward_s] if part else [facts.data_s, facts.forward_s, facts.rest_s]
    seconds = np.sum(parts, axis=0)
    whole = max(1, facts.images // facts.batch_size)  # the last may be smaller
    return Samples((1,), seconds[None, :whole])
