"""Throughput and latency of a machine by its split into instances, derived from the records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.facts.typed import Count
from harness.stats.intervals import Interval
from harness.stats.speed import typical_rate
from harness.stats.window import (
    Batches,
    Floats,
    Window,
    batches_of,
    batches_within,
    common_window,
    seconds_of_begun,
)
from harness.storage.outcomes import OK
from harness.storage.record import InstancesRecord, MethodRecord, Split
from harness.storage.stage_facts import InstanceTimed


@dataclass(frozen=True)
class SplitRow:
    """One method in one split at one batch size.

    Attributes:
        images_per_s: of all instances together, in the windows in which all ran.
        rates: (R,) the same of each round, in the rounds' order.
        slowest, fastest: images/s of single instances: the slowest and the fastest, each of the
            median round.
        p50_ms, p90_ms, p99_ms: percentiles of a batch's time over instances and rounds; None where no
            batch began in a window.
        window_s: seconds in which all ran, over the rounds together.
        memory_mb: the most that all instances together held.
        cpus: CPUs on which each instance was seen, in the last round.
        interval: of images_per_s; None with one round.
        on_front: no other split or batch size of the method has more images/s at no higher p99.
    """

    method: str
    label: str
    split: Split
    batch_size: int
    rounds: int
    images_per_s: float
    rates: tuple[float, ...]
    slowest: float
    fastest: float
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    window_s: float
    memory_mb: float
    cpus: tuple[tuple[Count, ...], ...]
    interval: Interval | None = None
    on_front: bool = False

    @property
    def spread_pct(self) -> float:
        """How much slower the slowest instance is than the fastest, in percent of the fastest."""
        return 100 * (1 - self.slowest / self.fastest)

    @property
    def name(self) -> str:
        """The split and the batch size in words."""
        return f"{self.split}, batch {self.batch_size}"


@dataclass(frozen=True)
class _Round:
    """What one round says of a split at a batch size; ``rates`` are images/s by instance."""

    rates: tuple[float, ...]
    batch_s: Floats
    window_s: float
    memory: int
    cpus: tuple[tuple[Count, ...], ...]


def windows_of(record: InstancesRecord) -> list[Window | None]:
    """Return the window in which all instances ran, for each batch size; None where there is none."""
    return [common_window([_batches(part) for part in parts]) for parts in _by_size(record)]


def counted_instances(records: Iterable[InstancesRecord]) -> list[InstancesRecord]:
    """Return the attempt of each method, split and round that counts, as ``samples.counted`` does."""
    chosen: dict[tuple[str, Split, int], InstancesRecord] = {}
    for record in records:
        key = (record.method, record.split, record.round)
        if record.outcome.kind == OK and (key not in chosen or chosen[key].disturbed):
            chosen[key] = record
    return [chosen[key] for key in sorted(chosen)]


def split_rows(rows: Sequence[MethodRecord], records: Iterable[InstancesRecord]) -> list[SplitRow]:
    """Return a row for each method, split and batch size, in the order of ``rows``.

    Methods whose outcome is not ok have none.
    """
    measured: dict[str, dict[tuple[Split, int], list[_Round]]] = {}
    for record in counted_instances(records):
        of_method = measured.setdefault(record.method, {})
        for size, one in _rounds_of(record):
            of_method.setdefault((record.split, size), []).append(one)
    return [
        row
        for record in rows
        if record.outcome.kind == OK and record.method in measured
        for row in _with_front(
            [
                _row(record, split, size, rounds)
                for (split, size), rounds in sorted(
                    measured[record.method].items(), key=lambda item: (item[0][0], -item[0][1])
                )
            ]
        )
    ]


def best_split(rows: Iterable[SplitRow], latency_ms: float | None = None) -> SplitRow | None:
    """Return the row of one method with the most images/s; None if none is left.

    Args:
        latency_ms: leave out what has a p99 above it, or none.
    """
    fast = [
        row
        for row in rows
        if latency_ms is None or (row.p99_ms is not None and row.p99_ms <= latency_ms)
    ]
    return max(fast, key=lambda row: row.images_per_s, default=None)


@dataclass(frozen=True)
class Scaled:
    """A row of one process against that of the same method with the fewest threads.

    Attributes:
        times: its images/s over those.
        efficiency: 1 if each thread gives as many images/s as there.
    """

    row: SplitRow
    times: float
    efficiency: float


def by_method(rows: Iterable[SplitRow]) -> list[list[SplitRow]]:
    """Return the rows of each method, in their order."""
    methods: dict[str, list[SplitRow]] = {}
    for row in rows:
        methods.setdefault(row.method, []).append(row)
    return list(methods.values())


def scaling(rows: Iterable[SplitRow]) -> list[Scaled]:
    """Return how single processes scale with their threads, by method, batch size and threads.

    Methods and batch sizes that were measured with one number of threads are left out.
    """
    scaled = []
    alone: dict[tuple[str, int], list[SplitRow]] = {}
    for row in rows:
        if row.split.instances == 1:
            alone.setdefault((row.method, row.batch_size), []).append(row)
    for counts in alone.values():
        fewest, *more = sorted(counts, key=lambda row: row.split.threads)
        for row in (fewest, *more) if more else ():
            times = row.images_per_s / fewest.images_per_s
            efficiency = times * fewest.split.threads / row.split.threads
            scaled.append(Scaled(row, times, efficiency))
    return scaled


def _by_size(record: InstancesRecord) -> list[list[InstanceTimed]]:
    """Return what all instances timed, by batch size."""
    return [list(parts) for parts in zip(*(one.timed for one in record.facts or ()))]


def _batches(part: InstanceTimed) -> Batches:
    return batches_of(part.began_at, part.data_s, part.forward_s, part.rest_s)


def _rounds_of(record: InstancesRecord) -> Iterable[tuple[int, _Round]]:
    """Yield what a record says, by batch size."""
    memory = sum(one.peak_rss_bytes or 0 for one in record.facts or ())
    for parts, window in zip(_by_size(record), windows_of(record)):
        assert window is not None  # else the outcome is not ok
        size = parts[0].batch_size
        processes = [_batches(part) for part in parts]
        yield (
            size,
            _Round(
                rates=tuple(
                    size * batches_within(one, window) / window.seconds for one in processes
                ),
                batch_s=np.concatenate([seconds_of_begun(one, window) for one in processes]),
                window_s=window.seconds,
                memory=memory,
                cpus=tuple(tuple(part.cpus) for part in parts),
            ),
        )


def _row(record: MethodRecord, split: Split, size: int, rounds: Sequence[_Round]) -> SplitRow:
    rates = tuple(sum(one.rates) for one in rounds)
    interval = typical_rate(rates) if len(rates) > 1 else None
    batch_ms = 1e3 * np.concatenate([one.batch_s for one in rounds])
    percentiles = np.percentile(batch_ms, (50, 90, 99)) if len(batch_ms) else (None,) * 3
    p50, p90, p99 = (None if q is None else float(q) for q in percentiles)
    return SplitRow(
        method=record.method,
        label=record.label,
        split=split,
        batch_size=size,
        rounds=len(rounds),
        images_per_s=interval.estimate if interval else rates[0],
        rates=rates,
        slowest=float(np.median([min(one.rates) for one in rounds])),
        fastest=float(np.median([max(one.rates) for one in rounds])),
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        window_s=sum(one.window_s for one in rounds),
        memory_mb=max(one.memory for one in rounds) / 1e6,
        cpus=rounds[-1].cpus,
        interval=interval,
    )


def _with_front(rows: Sequence[SplitRow]) -> list[SplitRow]:
    """Mark the rows of one method that are on its front of throughput against latency."""
    return [replace(row, on_front=not any(_beats(other, row) for other in rows)) for row in rows]


def _beats(one: SplitRow, other: SplitRow) -> bool:
    """Say whether one is at least as good in throughput and p99, and better in one of them."""
    if other.p99_ms is None:
        return True
    if one.p99_ms is None:
        return False
    mine, theirs = (one.images_per_s, -one.p99_ms), (other.images_per_s, -other.p99_ms)
    return mine[0] >= theirs[0] and mine[1] >= theirs[1] and mine != theirs
