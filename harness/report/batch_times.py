"""How a batch's time is distributed, round by round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.storage.plan import RunPlan
from harness.storage.record import OK, MethodRecord, RoundRecord
from harness.table.samples import counted, validation_samples


@dataclass(frozen=True)
class Round:
    """The counted attempt of one round at the workload's batch size.

    Attributes:
        ms: every batch's forward pass, in order.
        quantiles: their 5, 25, 50, 75 and 95 % quantiles, in ms.
        disturbed: something disturbed it, and it counts all the same.
    """

    number: int
    ms: tuple[float, ...]
    quantiles: tuple[float, ...]
    disturbed: bool


@dataclass(frozen=True)
class Panel:
    """One row's rounds."""

    label: str
    rounds: tuple[Round, ...]


@dataclass(frozen=True)
class Batches:
    """All rows' rounds; ``of_pass`` where the validation pass stands for one round."""

    of_pass: bool
    batch_size: int
    panels: tuple[Panel, ...]


def batches(
    plan: RunPlan, records: Sequence[MethodRecord], rounds: Sequence[RoundRecord]
) -> Batches:
    """Return the rounds that count, or the whole batches of the validation pass without rounds."""
    size = plan.workload["batch_size"]
    of_pass = not plan.config["protocol"]["rounds"]
    used: dict[str, list[Round]] = {}
    for record in () if of_pass else counted(rounds):
        times = times_of(record, size)
        if times:
            found = _round(record.round, times, bool(record.disturbed))
            used.setdefault(record.method, []).append(found)
    for each in records if of_pass else ():
        if each.outcome.kind == OK and each.validate:
            seconds = validation_samples(each, "forward_s").forward_s[0].tolist()
            used[each.method] = [_round(1, seconds, bool(each.validate.disturbed))]
    panels = [
        Panel(record.label, tuple(used[record.method]))
        for record in records
        if record.method in used and record.outcome.kind == OK
    ]
    return Batches(of_pass, size, tuple(panels))


def times_of(record: RoundRecord, batch_size: int) -> list[float]:
    """Return the seconds of a round's batches of one size; none where it did not time that size."""
    parts = (part for part in record.timed if part.batch_size == batch_size)
    return next((list(part.forward_s) for part in parts), [])


def _round(number: int, seconds: Sequence[float], disturbed: bool) -> Round:
    ms = tuple(1e3 * each for each in seconds)
    quantiles = tuple(float(q) for q in np.percentile(ms, (5, 25, 50, 75, 95)))
    return Round(number, ms, quantiles, disturbed)
