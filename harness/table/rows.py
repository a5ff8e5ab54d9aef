"""Derive rows from records: accuracies, losses and speedups come from here alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from harness.stats.accuracy import mcnemar, relative_loss
from harness.stats.intervals import Interval
from harness.stats.resampling import FEWEST_BATCHES
from harness.stats.speed import percentiles, speedup, throughput
from harness.storage.outcomes import OK
from harness.storage.record import MethodRecord
from harness.table.metrics import (
    INFERENCE_SPEEDUP,
    SPEEDUP,
    Metric,
    relative_loss_pct,
    top_k_correct,
)
from harness.table.samples import Samples, validation_samples

Predictions = Callable[[MethodRecord], "npt.NDArray[np.uint16]"]


MISSES = " (misses the criterion)"  # behind the label of a row whose model does


@dataclass(frozen=True)
class Row:
    """A row; a value that was not measured is None.

    Attributes:
        label: the name of the row for people.
        intervals: 95 % intervals by the name of the value, where there is one.
        mcnemar_p: of equal top-1 accuracy with the baseline, on the same images.
        rounds: how many rounds the times come from; 0 where they are those of the validation pass.
        images: how many were validated.
    """

    method: str
    label: str
    outcome: str
    top1: float | None = None
    top5: float | None = None
    top1_rel_loss_pct: float | None = None
    top5_rel_loss_pct: float | None = None
    cost_s: float | None = None
    validation_s: float | None = None
    speedup: float | None = None
    inference_s: float | None = None
    images_per_s: float | None = None
    inference_speedup: float | None = None
    speedup_vs_fused: float | None = None
    intervals: dict[str, Interval] = field(default_factory=dict)
    mcnemar_p: float | None = None
    rounds: int | None = None
    images: int | None = None
    log: str | None = None


@dataclass(frozen=True)
class SizeRow:
    """One method at one batch size.

    Attributes:
        p50_ms, p90_ms, p99_ms: percentiles of a batch's time over all rounds.
        intervals: of images_per_s and p50_ms, where there are batches enough. The tail has none: from
            a few rounds it would cover the truth in half to nine tenths of cases
            (``intervals.percentiles``).
    """

    method: str
    label: str
    batch_size: int
    rounds: int
    batches: int
    images_per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    intervals: dict[str, Interval]


@dataclass(frozen=True)
class Measurement:
    """The measurements that the values of a row are derived from.

    Attributes:
        whole: all the time that the validation spent.
        forward: the forward passes that count; None where they are still to be timed.
    """

    correct1: npt.NDArray[np.bool_]
    correct5: npt.NDArray[np.bool_]
    validation_s: float
    inference_s: float
    batch_size: int
    whole: Samples
    forward: Samples | None
    rounds: int


def build_rows(
    records: Sequence[MethodRecord],
    timed: Mapping[str, Samples] | None,
    predictions: Predictions,
    labels: npt.NDArray[np.int64],
    baseline: str,
    fused: str,
) -> list[Row]:
    """Return one row a record, in their order.

    Args:
        timed: by method, the rounds at the workload's batch size, without the methods that were not
            timed yet; None where the protocol has no rounds, and the validation's forward passes count.
        baseline: the method that losses and speedups are relative to; without it, or where it was
            not measured, they are None.
        fused: the method that ``speedup_vs_fused`` is relative to.
    """
    measured = measurements(records, timed, predictions, labels)
    return [
        _row(record, measured.get(record.method), measured.get(baseline), measured.get(fused))
        for record in records
    ]


def measurements(
    records: Sequence[MethodRecord],
    timed: Mapping[str, Samples] | None,
    predictions: Predictions,
    labels: npt.NDArray[np.int64],
) -> dict[str, Measurement]:
    """Return the measurements of the measured rows, by method; arguments as ``build_rows``."""
    return {
        record.method: _measured(record, timed, predictions, labels)
        for record in records
        if record.outcome.kind == OK and record.validate is not None
    }


def _measured(
    record: MethodRecord,
    timed: Mapping[str, Samples] | None,
    predictions: Predictions,
    labels: npt.NDArray[np.int64],
) -> Measurement:
    facts = record.validate
    assert facts is not None
    best = predictions(record)
    if timed is None:
        forward: Samples | None = validation_samples(record, "forward_s")
    else:
        forward = timed.get(record.method)
    return Measurement(
        correct1=top_k_correct(best, labels, 1),
        correct5=top_k_correct(best, labels, 5),
        validation_s=facts.validation_s,
        inference_s=sum(facts.forward_s),
        batch_size=min(facts.batch_size, facts.images),  # the only batch may be smaller
        whole=validation_samples(record),
        forward=forward,
        rounds=0 if timed is None or forward is None else len(forward.rounds),
    )


def _misses(record: MethodRecord) -> bool:
    """Say whether a search took a model that does not meet its criterion (``tuning.keep_best``)."""
    chosen = record.optimize.quantization if record.optimize else None
    return chosen is not None and chosen.meets_criterion is False


def _row(
    record: MethodRecord,
    mine: Measurement | None,
    base: Measurement | None,
    fused: Measurement | None,
) -> Row:
    row = Row(
        method=record.method,
        label=f"{record.label}{MISSES}" if _misses(record) else record.label,
        outcome=str(record.outcome),
        log=record.outcome.log,
        cost_s=record.optimize.cost_s if record.optimize else None,
    )
    if mine is None:
        return row
    intervals: dict[str, Interval | None] = {}
    row = replace(
        row,
        top1=float(mine.correct1.mean()),
        top5=float(mine.correct5.mean()),
        validation_s=mine.validation_s,
        inference_s=mine.inference_s,
        rounds=mine.rounds,
        images=len(mine.correct1),
    )
    if mine.forward is not None:
        rate = throughput_interval(mine.forward, mine.batch_size)
        row = replace(row, images_per_s=_rate(rate, mine.forward, mine.batch_size))
        intervals["images_per_s"] = rate
        if fused is not None and fused.forward is not None:
            ratio = speedup_interval(fused.forward, mine.forward)
            row = replace(
                row, speedup_vs_fused=speedup_estimate(ratio, fused.forward, mine.forward)
            )
            intervals["speedup_vs_fused"] = ratio
        if base is not None and base.forward is not None:
            ratio = speedup_interval(base.forward, mine.forward)
            row = replace(
                row, inference_speedup=speedup_estimate(ratio, base.forward, mine.forward)
            )
            intervals["inference_speedup"] = ratio
    if base is not None:
        row = replace(
            row,
            top1_rel_loss_pct=_loss(base.correct1, mine.correct1),
            top5_rel_loss_pct=_loss(base.correct5, mine.correct5),
            speedup=base.validation_s / mine.validation_s,
            mcnemar_p=None if mine is base else mcnemar(base.correct1, mine.correct1).p_value,
        )
        whole = speedup_interval(base.whole, mine.whole)
        if whole is not None:  # of whole batches; the published ratio has the last one too
            intervals["speedup"] = scaled(whole, base.validation_s / mine.validation_s)
        for name in ("1", "5"):
            theirs, ours = getattr(base, f"correct{name}"), getattr(mine, f"correct{name}")
            if mine is not base and theirs.any():
                intervals[f"top{name}_rel_loss_pct"] = relative_loss(theirs, ours)
    return replace(
        row, intervals={name: interval for name, interval in intervals.items() if interval}
    )


def size_rows(
    records: Sequence[MethodRecord], samples: Mapping[int, Mapping[str, Samples]]
) -> list[SizeRow]:
    """Return a row for each method and batch size that the rounds timed, by size and method."""
    rows = []
    for size, timed in samples.items():
        for record in records:
            if record.method in timed and record.outcome.kind == OK:
                mine = timed[record.method]
                rounds, batches = mine.forward_s.shape
                milliseconds = 1e3 * mine.forward_s
                intervals: dict[str, Interval | None] = {
                    "images_per_s": throughput_interval(mine, size)
                }
                if _carries_interval(mine):
                    intervals["p50_ms"] = percentiles(milliseconds, (50,))[50]
                p50, p90, p99 = (float(q) for q in np.percentile(milliseconds, (50, 90, 99)))
                rate = _rate(intervals["images_per_s"], mine, size)
                known = {name: interval for name, interval in intervals.items() if interval}
                row = SizeRow(
                    record.method, record.label, size, rounds, batches, rate, p50, p90, p99, known
                )
                rows.append(row)
    return rows


def throughput_interval(samples: Samples, batch_size: int) -> Interval | None:
    """Return images per second; None where there are too few batches for an interval."""
    return throughput(samples.forward_s, batch_size) if _carries_interval(samples) else None


def speedup_interval(reference: Samples, samples: Samples) -> Interval | None:
    """Return the speedup over a reference; None for itself and where there are too few batches."""
    theirs, ours = reference.paired(samples)
    if samples is reference or not len(ours) or theirs.shape != ours.shape:
        return None
    if not _carries_interval(Samples(samples.rounds[: len(ours)], ours)):
        return None
    return speedup(theirs, ours)


def scaled(interval: Interval, estimate: float) -> Interval:
    """Return an interval of the same relative width around another estimate."""
    factor = estimate / interval.estimate
    return replace(
        interval, estimate=estimate, low=interval.low * factor, high=interval.high * factor
    )


def _carries_interval(samples: Samples) -> bool:
    rounds, batches = samples.forward_s.shape
    return rounds > 1 or batches >= FEWEST_BATCHES


def _rate(interval: Interval | None, samples: Samples, batch_size: int) -> float:
    """Return images per second: of the typical round, or of the mean batch without an interval."""
    return interval.estimate if interval else batch_size / float(samples.forward_s.mean())


def speedup_estimate(
    interval: Interval | None, reference: Samples, samples: Samples
) -> float | None:
    """Return the speedup: of the typical round, or of the mean batches without an interval."""
    if interval:
        return interval.estimate
    theirs, ours = reference.paired(samples)
    return float(theirs.mean() / ours.mean()) if len(ours) else None


def _loss(reference: npt.NDArray[np.bool_], mine: npt.NDArray[np.bool_]) -> float | None:
    return relative_loss_pct(float(mine.mean()), float(reference.mean()))


def main_speedup(rows: Sequence[Row]) -> Metric:
    """Return the speedup that headlines and figures show.

    It is that of inference where rounds timed it, else that of the validation pass, as published.
    """
    return INFERENCE_SPEEDUP if any(row.rounds for row in rows) else SPEEDUP
