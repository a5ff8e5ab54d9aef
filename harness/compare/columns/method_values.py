"""One method in one column: its values, and their intervals between machines where it has several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.compare.columns.column import Column, ComparedRun
from harness.compare.pricing.prices import cost_interval, cost_per_million
from harness.stats import machines
from harness.stats.intervals import Interval
from harness.stats.resampling import FEWEST_BATCHES
from harness.stats.speed import speedup_apart
from harness.storage.outcomes import OK
from harness.table.metrics import INFERENCE_SPEEDUP, QUERIES, SPEEDUP, THROUGHPUT, VS_FUSED
from harness.table.roof_share import Share, roof_share
from harness.table.rows import Row
from harness.table.served.rates import ServedRow

ABSENT, WAITING = "not in this run", "not measured yet"
POOLED = (THROUGHPUT.name, INFERENCE_SPEEDUP.name, VS_FUSED.name, SPEEDUP.name)
ONE_MACHINE = "one machine: the interval is of its rounds, and does not hold for the type"
NOT_ON_ALL = "roof not measured on all machines"


@dataclass(frozen=True)
class Served:
    """The highest rate of queries of a method in one column.

    Attributes:
        queries_per_s: None where no rate kept the target.
        split: by which the rate was reached.
        machines: that have a rate; where there are two or more, it is the typical one's.
        without: machines that were searched, and kept the target at no rate.
    """

    queries_per_s: float | None
    split: str
    machines: int
    without: int


@dataclass(frozen=True)
class MethodInRun:
    """One method in one column.

    Attributes:
        outcome: ok, why there are no numbers, or that the run has no such row.
        row: its values and intervals, as in the run's own table, or those of the typical machine; None
            without a record.
        share: of the machine's roof.
        ratio: its images/s over those of the first column; None for that, and where one is missing.
        cost: of a million images; None where the price or the time is not known.
        intervals: of ratio, cost, share and queries_per_s, by name; those of cost and share are the
            throughput's alone, that of queries_per_s is between machines.
        split: how the machine was split for its images/s; empty for one process on all cores.
        machines: images/s of each machine that has a time, in the column's order.
        rounds: that the interval of images/s is of, where there is one machine.
        served: None where no rate was searched.
    """

    outcome: str
    row: Row | None
    share: Share
    ratio: float | None = None
    cost: float | None = None
    intervals: dict[str, Interval] = field(default_factory=dict)
    split: str = ""
    machines: tuple[float, ...] = ()
    rounds: int = 0
    served: Served | None = None


def method_in_column(method: str, column: Column, reference: Column) -> MethodInRun:
    """Return a method's values in a column.

    Args:
        reference: the column that ``ratio`` is relative to.
    """
    entry = _in_column(method, column)
    if column is reference or entry.outcome != OK:
        return entry
    ratio = _ratio(method, column, entry, reference, _in_column(method, reference))
    if isinstance(ratio, Interval):
        return replace(entry, ratio=ratio.estimate, intervals={**entry.intervals, "ratio": ratio})
    return replace(entry, ratio=ratio)


def is_of_rounds(
    column: Column, entry: MethodInRun, reference: Column, theirs: MethodInRun
) -> bool:
    """Say whether a ratio is of the rounds of two runs, each of one process on all cores."""
    return not (column.is_pooled or reference.is_pooled or entry.split or theirs.split)


def side_of(entry: MethodInRun) -> machines.Side | None:
    """Return a method's images/s as a side of a ratio of types; None for fewer than two machines."""
    rate = entry.row.intervals.get(THROUGHPUT.name) if entry.row else None
    if rate is None or len(entry.machines) < machines.FEWEST:
        return None
    return machines.side_of(rate, len(entry.machines))


def _in_column(method: str, column: Column) -> MethodInRun:
    entries = [_in_run(method, run) for run in column.runs]
    entry = _pooled(entries, column) if column.is_pooled else entries[0]
    return _with_queries(method, column, entry) if entry.outcome == OK else entry


def _in_run(method: str, run: ComparedRun) -> MethodInRun:
    row = run.rows.get(method)
    if row is None:
        outcome = WAITING if method in run.plan.methods else ABSENT
        return MethodInRun(outcome, None, Share(None, outcome))
    rate = run.rates.get(method)
    if row.outcome != OK or rate is None:
        return MethodInRun(row.outcome, row, Share(None, "no time"))
    if rate.split:
        ends = {} if rate.interval is None else {THROUGHPUT.name: rate.interval}
        own = {key: one for key, one in row.intervals.items() if key != THROUGHPUT.name}
        row = replace(row, images_per_s=rate.images_per_s, intervals={**own, **ends})
    entry = MethodInRun(
        row.outcome,
        row,
        roof_share(run.profiles.get(method), rate.images_per_s, run.roof),
        split=rate.split,
        machines=(rate.images_per_s,),
        rounds=rate.rounds,
    )
    return _derived(entry, rate.images_per_s, rate.interval, run)


def _derived(
    entry: MethodInRun, images_per_s: float, rate: Interval | None, run: ComparedRun
) -> MethodInRun:
    """Return an entry with its cost, and the intervals that are the throughput's."""
    intervals: dict[str, Interval] = {}
    cost, per_hour, share = None, run.price.per_hour, entry.share.value
    if per_hour is not None:
        cost = cost_per_million(images_per_s, per_hour)
        if rate:
            intervals["cost"] = cost_interval(rate, per_hour)
    if rate and share is not None:  # a share is proportional to the throughput
        low, high = (share * end / images_per_s for end in (rate.low, rate.high))
        intervals["share"] = Interval(share, low, high, rate.level, rate.between_rounds)
    return replace(entry, cost=cost, intervals=intervals)


def _pooled(entries: Sequence[MethodInRun], column: Column) -> MethodInRun:
    """Return the entry of the typical machine; machines without a time for the method are left out."""
    timed = [
        [entries[at] for at in own if entries[at].machines]  # the runs of one machine
        for own in column.by_machine()
    ]
    timed = [own for own in timed if own]
    if not timed:
        return entries[0]
    some = [entry for own in timed for entry in own]
    rows = [entry.row for entry in some if entry.row is not None]
    worst = max(
        rows, key=lambda row: row.top1_rel_loss_pct or 0.0
    )  # accurate enough on all, or not
    values = {
        name: _values([[entry.row for entry in own] for own in timed], name) for name in POOLED
    }
    intervals = dict(worst.intervals)
    typical: dict[str, Any] = {}  # attributes of a row, all of them numbers
    for name, numbers in values.items():
        if len(numbers) >= machines.FEWEST:
            intervals[name] = machines.typical_machine(numbers)
            typical[name] = intervals[name].estimate
        elif name in intervals:
            intervals[name] = replace(intervals[name], doubt=ONE_MACHINE)
    row = replace(worst, intervals=intervals, **typical)
    splits = dict.fromkeys(entry.split for entry in some)
    split = (
        " or ".join(each or "one process" for each in splits) if len(splits) > 1 else some[0].split
    )
    rates = tuple(values[THROUGHPUT.name])
    entry = MethodInRun(OK, row, _pooled_share(timed), split=split, machines=rates)
    rate = intervals.get(THROUGHPUT.name)
    return _derived(entry, row.images_per_s or rates[0], rate, column.first)


def _with_queries(method: str, column: Column, entry: MethodInRun) -> MethodInRun:
    """Return an entry with the rate of queries of the typical machine, of those that kept the target."""
    runs = [[column.runs[at].served.get(method) for at in own] for own in column.by_machine()]
    searched = [one for own in runs for one in own if one is not None]
    if not searched:
        return entry
    rates = _values(runs, "highest")
    splits = " or ".join(dict.fromkeys(one.split for one in searched if one.highest))
    without = sum(any(one and one.highest is None for one in own) for own in runs)
    rate, intervals = next(iter(rates), None), entry.intervals
    if len(rates) >= machines.FEWEST:  # one machine has no interval, since it is searched once
        typical = machines.typical_machine(rates)
        rate, intervals = typical.estimate, {**intervals, QUERIES.name: typical}
    served = Served(rate, splits, len(rates), without)
    return replace(entry, served=served, intervals=intervals)


def _pooled_share(timed: Sequence[Sequence[MethodInRun]]) -> Share:
    """Return the mean over machines of the mean over the runs of each."""
    shares = [
        [entry.share.value for entry in own if entry.share.value is not None] for own in timed
    ]
    if all(shares):
        return Share(float(np.mean([np.mean(own) for own in shares])))
    return Share(None, NOT_ON_ALL) if any(shares) else timed[0][0].share


def _values(rows: Sequence[Sequence[Row | ServedRow | None]], name: str) -> list[float]:
    """Return a value of each machine that has it: over its runs, the mean on the log scale.

    That of one run is the run's own, to the last digit.
    """
    known = ([getattr(row, name) for row in own if row is not None] for own in rows)
    present = ([value for value in own if value is not None] for own in known)
    return [
        own[0] if len(own) == 1 else float(np.exp(np.mean(np.log(own)))) for own in present if own
    ]


def _ratio(
    method: str, column: Column, entry: MethodInRun, reference: Column, theirs: MethodInRun
) -> Interval | float | None:
    """Return images/s over the reference's, with an interval where both sides have one."""
    if not theirs.machines:
        return None
    single = is_of_rounds(column, entry, reference, theirs)
    if single and method in reference.first.times and method in column.first.times:
        before, now = (_per_image(method, one.first) for one in (reference, column))
        if all(len(side) > 1 or side.shape[1] >= FEWEST_BATCHES for side in (before, now)):
            return speedup_apart(before, now)
        return float(before.mean() / now.mean())
    sides = [_any_side(one) for one in (theirs, entry)]
    if sides[0] is None or sides[1] is None:
        rates = [one.row.images_per_s if one.row else None for one in (entry, theirs)]
        return rates[0] / rates[1] if rates[0] and rates[1] else None
    return machines.ratio(sides[0], sides[1])


def _any_side(entry: MethodInRun) -> machines.Side | None:
    """Return a side over machines, or over the rounds of the only one; None without an interval."""
    own = side_of(entry)
    if own is not None or entry.row is None:
        return own
    rate = entry.row.intervals.get(THROUGHPUT.name)
    return machines.side_of(rate, entry.rounds) if rate is not None and entry.rounds > 1 else None


def _per_image(method: str, run: ComparedRun) -> npt.NDArray[np.float64]:
    """Return the seconds of each batch over its images, (rounds, batches)."""
    return run.times[method].forward_s / int(run.plan.workload.batch_size)


def labels_of(columns: Sequence[Column]) -> Mapping[str, str]:
    """Return the label of each method that a run has, in the order of columns and runs."""
    labels: dict[str, str] = {}
    for column in columns:
        for run in column.runs:
            for method, chosen in run.plan.methods.items():
                labels.setdefault(method, chosen.label)
    return labels
