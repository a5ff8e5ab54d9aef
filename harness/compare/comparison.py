"""Runs beside each other, methods by machines: pure functions of the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from harness.compare.prices import Price, cost_interval, cost_per_million
from harness.compare.unlike import Unlike, unlike
from harness.stats.accuracy import McNemar, mcnemar
from harness.stats.intervals import Interval
from harness.stats.resampling import FEWEST_BATCHES
from harness.stats.speed import speedup_apart
from harness.storage.outcomes import OK
from harness.storage.plan import RunPlan
from harness.storage.same_run import same_images
from harness.table.kernels import Profile
from harness.table.roof_share import Peak, Share, roof_share
from harness.table.row_names import names_of
from harness.table.rows import Row
from harness.table.samples import Samples

Classes = npt.NDArray[np.int64]
ABSENT, WAITING = "not in this run", "not measured yet"


@dataclass(frozen=True)
class ComparedRun:
    """A run as a comparison shows it; mappings are by the name of the method.

    Attributes:
        machine: the folder's name.
        rows: of the rows that have a record.
        times: the forward passes that count.
        predictions: each image's best class, (images,).
        models: digests of the validated models.
        labels: (images,).
        threads: how many MXNet had when the rows were validated, or how many the user asked for
            where no record says it.
        disturbed: the labels of the rows whose timings were disturbed.
        splits: the split into instances that images/s are of, in words, where it was not one process.
        roof: roofs by data type; ``roof_note`` says why there are none, or names what disturbed them.
    """

    machine: str
    plan: RunPlan
    rows: Mapping[str, Row]
    profiles: Mapping[str, Profile]
    times: Mapping[str, Samples]
    predictions: Mapping[str, Classes]
    models: Mapping[str, str]
    labels: Classes
    threads: str
    disturbed: Sequence[str]
    roof: Mapping[str, Peak]
    roof_note: str
    price: Price
    splits: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.machine}/{self.plan.run}"

    @property
    def missing(self) -> list[str]:
        """The methods of its plan that have no record: it was interrupted, or still goes on."""
        return [method for method in self.plan.methods if method not in self.rows]

    @property
    def title(self) -> str:
        """The EC2 instance type where it is known, else the machine's folder."""
        instance = self.plan.machine.ec2
        return (instance and instance.instance_type) or self.machine


@dataclass(frozen=True)
class MethodInRun:
    """One method in one run.

    Attributes:
        outcome: ok, why there are no numbers, or that the run has no such row.
        row: its values and intervals, as in the run's own table; None without a record.
        ratio: its images/s over those of the first run; None for that, and where one is missing.
        share: of the machine's roof.
        cost: of a million images; None where the price or the time is not known.
        no_price: why there is no cost although there is a time.
        intervals: of ratio, cost and share, by name; those of cost and share are the throughput's
            alone.
    """

    outcome: str
    row: Row | None
    share: Share
    ratio: float | None = None
    cost: float | None = None
    no_price: str = ""
    intervals: dict[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """A method in all runs, in the runs' order."""

    method: str
    label: str
    entries: tuple[MethodInRun, ...]


@dataclass(frozen=True)
class Disagreement:
    """The images for which one method predicts different classes in two runs.

    Attributes:
        first, second: indices of the runs.
        images: how many were compared; 0 with the reason in ``left_out``.
        same_model: the two validated models are equal byte by byte; else each run made its own.
        index: (d,), of the images that differ, ascending.
        label, ours, theirs: (d,), their labels and the first and the second run's predictions.
        test: of equal accuracy on these images.
    """

    method: str
    name: str
    first: int
    second: int
    images: int
    same_model: bool
    index: Classes
    label: Classes
    ours: Classes
    theirs: Classes
    test: McNemar | None
    left_out: str = ""

    @property
    def neither(self) -> int:
        """How many of the differing images both runs got wrong."""
        return int(((self.ours != self.label) & (self.theirs != self.label)).sum())


@dataclass(frozen=True)
class Comparison:
    """The contents of a comparison."""

    runs: tuple[ComparedRun, ...]
    unlike: tuple[Unlike, ...]
    lines: tuple[Line, ...]
    disagreements: tuple[Disagreement, ...]


def compare(runs: Sequence[ComparedRun]) -> Comparison:
    """Compare runs, the first being the one that the others' times are relative to."""
    labels: dict[str, str] = {}
    for run in runs:
        for method, chosen in run.plan.methods.items():
            labels.setdefault(method, chosen.label)
    names = names_of(labels)
    lines = [
        Line(method, label, tuple(_method_in_run(method, run, runs[0]) for run in runs))
        for method, label in names.items()
    ]
    pairs = [
        disagreement(method, label, runs, first, second)
        for method, label in names.items()
        for first, second in combinations(range(len(runs)), 2)
        if method in runs[first].predictions and method in runs[second].predictions
    ]
    return Comparison(
        tuple(runs), tuple(unlike([run.plan for run in runs])), tuple(lines), tuple(pairs)
    )


def disagreement(
    method: str, name: str, runs: Sequence[ComparedRun], first: int, second: int
) -> Disagreement:
    """Return the images on which two runs' predictions by one method differ."""
    one, other = runs[first], runs[second]
    same_model = method in one.models and one.models[method] == other.models.get(method)
    none = np.zeros(0, np.int64)
    if not same_images(one.plan, other.plan):
        return Disagreement(
            method, name, first, second, 0, same_model, none, none, none, none, None,
            "the runs validated different images",
        )  # fmt: skip
    ours, theirs, labels = one.predictions[method], other.predictions[method], one.labels
    index = np.flatnonzero(ours != theirs)
    return Disagreement(
        method,
        name,
        first,
        second,
        len(labels),
        same_model,
        index,
        labels[index],
        ours[index],
        theirs[index],
        mcnemar(ours == labels, theirs == labels),
    )


def _method_in_run(method: str, run: ComparedRun, reference: ComparedRun) -> MethodInRun:
    row = run.rows.get(method)
    if row is None:
        outcome = WAITING if method in run.plan.methods else ABSENT
        return MethodInRun(outcome, None, Share(None, outcome))
    if row.outcome != OK or row.images_per_s is None:
        return MethodInRun(row.outcome, row, Share(None, "no time"))
    intervals: dict[str, Interval] = {}
    rate = row.intervals.get("images_per_s")
    cost = None
    if run.price.per_hour is not None:
        cost = cost_per_million(row.images_per_s, run.price.per_hour)
        if rate:
            intervals["cost"] = cost_interval(rate, run.price.per_hour)
    ratio = None
    if run is not reference and method in reference.times and method in run.times:
        theirs, ours = (_per_image(method, side) for side in (reference, run))
        ratio = float(theirs.mean() / ours.mean())
        if all(len(side) > 1 or side.shape[1] >= FEWEST_BATCHES for side in (theirs, ours)):
            intervals["ratio"] = speedup_apart(theirs, ours)
            ratio = intervals["ratio"].estimate
    share = roof_share(run.profiles.get(method), row.images_per_s, run.roof)
    if rate and share.value is not None:  # a share is proportional to the throughput
        low, high = (share.value * end / row.images_per_s for end in (rate.low, rate.high))
        intervals["share"] = Interval(share.value, low, high, rate.level, rate.between_rounds)
    no_price = run.price.note if cost is None else ""
    return MethodInRun(row.outcome, row, share, ratio, cost, no_price, intervals)


def _per_image(method: str, run: ComparedRun) -> npt.NDArray[np.float64]:
    """Return the seconds of each batch over its images, (rounds, batches)."""
    return run.times[method].forward_s / int(run.plan.workload.batch_size)
