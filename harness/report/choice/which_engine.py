"""Which engine: the rows of MXNet and of other engines by speed and accuracy, for who must choose one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.compare.grid import DASH
from harness.compare.pricing.prices import Price, Prices, cost_interval, cost_per_million
from harness.report.figures.pareto import beats
from harness.report.headline import disturbances_of
from harness.stats.intervals import Interval
from harness.storage.outcomes import OK
from harness.storage.plan import RANDOM_WEIGHTS, RunPlan
from harness.table.loaded_run import LoadedRun
from harness.table.markdown import with_interval
from harness.table.metrics import INFERENCE_SPEEDUP, THROUGHPUT, TOP1, TOP1_LOSS
from harness.table.rows import Row, speedup_estimate, speedup_interval
from harness.table.samples import Samples, passes_of, samples_of
from harness.table.searches import is_accurate_enough

MXNET = "MXNet"


@dataclass(frozen=True)
class Speed:
    """How fast a row is at one batch size.

    Attributes:
        on_front: no other row is at least as fast and as accurate, and better in one of them.
        cost: of a million images; None where the price of the machine is not known.
    """

    images_per_s: float
    interval: Interval | None
    on_front: bool
    cost: float | None
    cost_ends: Interval | None


@dataclass(frozen=True)
class EngineRow:
    """A measured row.

    Attributes:
        engine: who executed it.
        speeds: by batch size.
    """

    row: Row
    engine: str
    accurate: bool
    speeds: Mapping[int, Speed]


@dataclass(frozen=True)
class Lead:
    """How many times as fast as a row the fastest one is; the interval is that of paired rounds."""

    row: Row
    times: float | None
    interval: Interval | None

    @property
    def is_apart(self) -> bool:
        """Whether the interval leaves out 1."""
        return self.interval is not None and not self.interval.low <= 1 <= self.interval.high

    @property
    def said(self) -> str:
        """The speedup in words."""
        if self.times is None:
            return "no round has both"
        return f"{with_interval(INFERENCE_SPEEDUP, self.times, self.interval)} times"


@dataclass(frozen=True)
class Fastest:
    """The fastest row of those that are accurate enough, at one batch size.

    Attributes:
        facts: its speed and its accuracy.
        leads: over the other accurate rows, the fastest first.
        disturbed: what disturbed its timings or those of the next one; empty where nothing did.
    """

    batch_size: int
    row: Row
    facts: str
    leads: Sequence[Lead]
    disturbed: str

    @property
    def told(self) -> str:
        """Whether other rows can be told apart from it."""
        if not self.leads:
            return "No other row is accurate enough."
        alike = [f"{lead.row.label} ({lead.said})" for lead in self.leads if not lead.is_apart]
        if alike:
            return f"Not told apart from {', '.join(alike)}."
        return f"{self.leads[0].said} as fast as the next, {self.leads[0].row.label}."


@dataclass(frozen=True)
class WhichEngine:
    """The answer to the question, and what it is by.

    Attributes:
        fastest: by batch size, the workload's own first; empty where no row is accurate enough.
        criterion: when a row is accurate enough.
        rows: the measured rows, in the table's order.
        sizes: the batch sizes, the workload's own first.
        notes: what a reader must know.
    """

    fastest: Sequence[Fastest]
    criterion: str
    rows: Sequence[EngineRow]
    sizes: Sequence[int]
    notes: Sequence[str]
    price: Price


def which_engine(run: LoadedRun, prices: Prices | None) -> WhichEngine | None:
    """Return the comparison of a run's engines; None where all its rows are MXNet's.

    Args:
        prices: the price list; None: nothing has a cost.
    """
    plan = run.plan
    if not any(method.engine for method in plan.methods.values()):
        return None
    samples = _samples(run)
    measured = [row for row in run.rows if row.outcome == OK and row.top1 is not None]
    price = Price(None, "no price list was read")
    if prices is not None:
        price = prices.of(run.folder.path.parent.name, plan.machine.ec2)
    sizes = list(samples)
    speeds = {size: _speeds(run, measured, size, price) for size in sizes}
    engines = _engines(run)
    rows = [
        EngineRow(
            row,
            engines[row.method],
            is_accurate_enough(row, plan),
            {size: speeds[size][row.method] for size in sizes if row.method in speeds[size]},
        )
        for row in measured
    ]
    fastest = (_fastest(run, rows, size, samples[size]) for size in sizes)
    return WhichEngine(
        fastest=[one for one in fastest if one is not None],
        criterion=_criterion(plan),
        rows=rows,
        sizes=sizes,
        notes=list(_notes(run, price, prices)),
        price=price,
    )


def _samples(run: LoadedRun) -> Mapping[int, Mapping[str, Samples]]:
    """Return the forward passes that count, by batch size and method."""
    if run.timed is not None:
        return samples_of(run.rounds)
    return {run.plan.workload.batch_size: passes_of(run.records)}


def _engines(run: LoadedRun) -> dict[str, str]:
    """Return who executed each row: by its profile, or else the name of its environment."""
    names = {record.method: MXNET for record in run.records}
    for method, chosen in run.plan.methods.items():
        if chosen.engine is not None:
            names[method] = chosen.engine.environment
    ours = [one for one in run.profiles if names[one.method] != MXNET]
    return {**names, **{one.method: one.profile.engine for one in ours}}


def _speeds(run: LoadedRun, rows: Sequence[Row], size: int, price: Price) -> dict[str, Speed]:
    """Return how fast each row is at a batch size, of those that were timed there, by method."""
    rates = {
        one.method: (one.images_per_s, one.intervals.get("images_per_s"))
        for one in run.sizes
        if one.batch_size == size
    }
    if run.timed is None:
        rates = {
            row.method: (row.images_per_s, row.intervals.get("images_per_s"))
            for row in rows
            if row.images_per_s is not None
        }
    places = {
        row.method: (rates[row.method][0], row.top1)
        for row in rows
        if row.method in rates and row.top1 is not None
    }
    speeds = {}
    for method, place in places.items():
        rate, interval = rates[method]
        cost = ends = None
        if price.per_hour is not None:
            cost = cost_per_million(rate, price.per_hour)
            ends = cost_interval(interval, price.per_hour) if interval else None
        beaten = any(beats(other, place) for other in places.values())
        speeds[method] = Speed(rate, interval, not beaten, cost, ends)
    return speeds


def _fastest(
    run: LoadedRun, rows: Sequence[EngineRow], size: int, samples: Mapping[str, Samples]
) -> Fastest | None:
    accurate = [one for one in rows if one.accurate and size in one.speeds]
    if not accurate:
        return None
    first, *others = sorted(accurate, key=lambda one: -one.speeds[size].images_per_s)
    leads = [_lead(one.row, samples[one.row.method], samples[first.row.method]) for one in others]
    row, speed = first.row, first.speeds[size]
    return Fastest(
        batch_size=size,
        row=row,
        facts=(
            f"{with_interval(THROUGHPUT, speed.images_per_s, speed.interval)} images/s, "
            f"top-1 {TOP1.shown(row.top1, '')} (loss {_loss(row)} %)"
        ),
        leads=leads,
        disturbed=disturbances_of(run, [one.row.method for one in (first, *others[:1])]),
    )


def _lead(row: Row, theirs: Samples, fastest: Samples) -> Lead:
    interval = speedup_interval(theirs, fastest)
    return Lead(row, speedup_estimate(interval, theirs, fastest), interval)


def _loss(row: Row) -> str:
    if row.top1_rel_loss_pct is None:
        return DASH
    return with_interval(TOP1_LOSS, row.top1_rel_loss_pct, row.intervals.get(TOP1_LOSS.name))


def _criterion(plan: RunPlan) -> str:
    if RANDOM_WEIGHTS in plan.warnings:
        return "the weights are random, so accuracies mean nothing, and every row counts"
    tuning, baseline = plan.config.tuning, plan.config.baseline
    if tuning.criterion == "relative":
        return f"a loss of at most {100 * tuning.tolerance:g} % of the top-1 of {baseline}"
    return f"a loss of at most {tuning.tolerance:g} in top-1 against {baseline}"


def _notes(run: LoadedRun, price: Price, prices: Prices | None) -> Iterator[str]:
    yield (
        "Front: no other row is at least as fast and as accurate, and better in one of them. The "
        "interval of top-1 is of the paired loss, the baseline's accuracy taken as given. That of "
        "one row's speed over another's is of the rounds that both have."
    )
    if run.timed is None:
        yield (
            "The speeds are those of one pass a row, and their intervals do not cover how processes "
            "differ: protocol=careful times rounds."
        )
    if price.per_hour is not None and prices is not None:
        yield (
            f"Cost: {price.note}; {prices.source}. Prices change: check them. The price is of the "
            "whole machine, whatever part of its CPUs the run used."
        )
    else:
        yield f"No row has a cost: {price.note}. Name a list with prices=FILE."
    left_out = [f"{row.label}: {row.outcome}" for row in run.rows if row.outcome != OK]
    if left_out:
        yield f"Not measured: {'; '.join(left_out)}."
