"""What a search comes to: the table of rates and the latencies of every trial."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.storage.outcomes import OK
from harness.storage.served.server_record import ServerRecord

PERCENTILES = (50, 90, 99)
NO_RATE = "no rate kept the target"


@dataclass(frozen=True)
class TrialLatency:
    """A trial, and the latency of its queries in ms.

    Attributes:
        answered: queries; fewer than arrived where the trial ended early.
        percentiles: of the latency, by ``PERCENTILES``; None where the trial ended early, since the
            queries that were left would have been the latest.
        seconds: from the order to the last answer, without the warm-up.
    """

    rate: float
    queries: int
    answered: int
    late: int
    allowed: int
    percentiles: tuple[float, ...] | None
    mean_batch: float
    seconds: float

    @property
    def passed(self) -> bool:
        return self.late <= self.allowed


@dataclass(frozen=True)
class ServedRow:
    """A row of the table of rates: one method in one split.

    Attributes:
        found: the trial at the highest rate; None if none passed.
        reason: why there is no rate, for a row that failed.
        disturbed: trials in which something disturbed an instance.
    """

    method: str
    label: str
    split: str
    highest: float | None
    shown: float | None
    found: TrialLatency | None
    trials: tuple[TrialLatency, ...]
    disturbed: int
    reason: str | None


def best_served(rows: Sequence[ServedRow], measured: Collection[str]) -> dict[str, ServedRow]:
    """Return the row of each method in the split with the highest rate; without one, the first split.

    A search that failed found nothing, and counts as none.

    Args:
        measured: the methods whose outcome is ok.
    """
    best: dict[str, ServedRow] = {}
    for row in rows:
        if row.reason is not None or row.method not in measured:
            continue
        known = best.setdefault(row.method, row)
        if (row.highest or 0.0) > (known.highest or 0.0):
            best[row.method] = row
    return best


def percentile(latencies: Sequence[float], percent: int) -> float:
    """Return LoadGen's percentile: of n sorted values, the one with floor(n percent / 100) before it."""
    return float(np.sort(latencies)[len(latencies) * percent // 100])


def trials_of(record: ServerRecord) -> tuple[TrialLatency, ...]:
    """Return the trials of a record, in their order."""
    rows = []
    for number, tried in enumerate(record.tried):
        parts = [facts.trials[number] for facts in record.facts or ()]
        latencies = [1e3 * value for part in parts for value in part.latency_s]
        sizes = [size for part in parts for size in part.batch_sizes]
        whole = len(latencies) == tried.queries
        rows.append(
            TrialLatency(
                rate=tried.rate,
                queries=tried.queries,
                answered=len(latencies),
                late=tried.late,
                allowed=tried.allowed,
                percentiles=tuple(percentile(latencies, one) for one in PERCENTILES)
                if whole
                else None,
                mean_batch=float(np.mean(sizes)) if sizes else 0.0,
                seconds=max((part.conditions.seconds for part in parts), default=0.0),
            )
        )
    return tuple(rows)


def served_rows(records: Sequence[ServerRecord], labels: Mapping[str, str]) -> list[ServedRow]:
    """Return the table of rates.

    Args:
        labels: of the methods, in the table's order.
    """
    order = {method: place for place, method in enumerate(labels)}
    rows = []
    for record in sorted(records, key=lambda one: (order.get(one.method, len(order)), one.split)):
        trials = trials_of(record) if record.facts else ()
        found = next(
            (one for one in trials if one.rate == record.highest and one.percentiles), None
        )
        disturbed = sum(
            any(facts.trials[number].disturbed for facts in record.facts or ())
            for number in range(len(trials))
        )
        rows.append(
            ServedRow(
                method=record.method,
                label=labels.get(record.method, record.method),
                split=str(record.split),
                highest=record.highest,
                shown=record.shown,
                found=found,
                trials=trials,
                disturbed=disturbed,
                reason=None if record.outcome.kind == OK else str(record.outcome),
            )
        )
    return rows
