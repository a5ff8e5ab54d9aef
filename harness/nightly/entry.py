"""A run as the history keeps it: all that verdicts need, so that the run's folder may be deleted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harness.facts.nested import differing, listed
from harness.nightly.disturbed import disturbed_rounds, is_too_disturbed
from harness.nightly.judge import typical_s
from harness.nightly.night import UNFINISHED, Figures, MeasuredShift, Regression
from harness.nightly.verdict import (
    BATCH,
    NIGHTLY,
    ONCE,
    OPTIMIZE_MEMORY,
    VALIDATE_MEMORY,
    Bools,
    Floats,
    Run,
)
from harness.stats.night_noise import Level, level
from harness.storage.outcomes import NO_SOLUTION, OK
from harness.storage.plan import KEPT_IF_KNOWN
from harness.storage.same_run import alike, environment
from harness.storage.stage_facts import Process
from harness.storage.store import RunFolder
from harness.table.metrics import COST, TOP1, TOP5, top_k_correct
from harness.table.samples import samples_of

METRICS = (BATCH.name, *(metric.name for metric in ONCE), TOP1.name, TOP5.name)
NOT_SHARED = ("method", "checkout")  # parts of the environment
COMPARED_WITH = 5  # nights, where a plan of an earlier version does not say it
Change = Literal["machine", "small"]  # what neither is a regression nor an improvement


@dataclass(frozen=True)
class NightRow:
    """One method of a run; values that were not measured are None.

    Attributes:
        outcome: as in the table.
        cost_s: of optimising; None for a model that was taken over from an earlier run.
        times: (R, B) seconds of forward passes, at the workload's batch size.
        correct: top-1 and top-5, (2, n) bool.
        model: digest of the model's symbol and parameters.
        disturbed: how many of its rounds were disturbed; None in nights of before it was kept.
        optimize_mb, validate_mb: the most memory that the stage held at once, in MB; None in nights
            of before it was kept.
    """

    method: str
    label: str
    outcome: str
    cost_s: float | None = None
    times: Floats | None = None
    correct: Bools | None = None
    model: str | None = None
    disturbed: int | None = None
    optimize_mb: float | None = None
    validate_mb: float | None = None

    @cached_property
    def has_disturbed_times(self) -> bool:
        """Whether too many of its rounds were disturbed for its times to be a baseline."""
        return self.times is not None and is_too_disturbed(self.disturbed or 0, len(self.times))

    @cached_property
    def timing(self) -> Level | None:
        """The log seconds of a batch, as verdicts compare them; None without enough rounds."""
        return level(self.times) if self.times is not None and self.is_timed else None

    @property
    def is_timed(self) -> bool:
        """Whether it has enough rounds for a ``timing``."""
        return self.times is not None and len(self.times) >= NIGHTLY.rounds

    @property
    def level(self) -> float:
        """The middle of ``timing``; NaN without one."""
        return math.nan if self.timing is None else float(self.timing.value)

    @property
    def once(self) -> dict[str, float | None]:
        """The figures of ``ONCE``, by the metric's name."""
        return {
            COST.name: self.cost_s,
            OPTIMIZE_MEMORY.name: self.optimize_mb,
            VALIDATE_MEMORY.name: self.validate_mb,
        }

    def has(self, metric: str) -> bool:
        """Return whether a metric was measured."""
        return {BATCH.name: self.times, **self.once}.get(metric, self.correct) is not None

    @property
    def has_no_solution(self) -> bool:
        """Whether its search ended without a model, which is no failure."""
        return self.outcome.startswith(NO_SOLUTION)

    @property
    def failed(self) -> bool:
        return self.outcome != OK and not self.has_no_solution


def compute_timings(rows: Iterable[NightRow]) -> None:
    """Compute ``timing`` of many rows at once, a method at a time: a tenth of the time of one by one."""
    alike: dict[tuple[str, tuple[int, ...]], list[NightRow]] = {}
    for row in rows:
        if row.times is not None and row.is_timed:
            alike.setdefault((row.method, row.times.shape), []).append(row)
    for several in alike.values():
        levels = level(np.stack([row.times for row in several if row.times is not None]))
        for number, row in enumerate(several):
            row.__dict__["timing"] = levels[number]  # where cached_property looks


@dataclass(frozen=True)
class NightEntry:
    """A run in the history.

    Attributes:
        machine: its folder's name under results/.
        created: UTC, ISO 8601.
        folder: where it was, relative to the results.
        alike: what must be the same in runs that are compared.
        environment: what may differ, and then is named as what changed.
        verdict: of the night, an ``Outcome``; None if it is no night's run, or it was not judged.
        shifted: lasting shifts that were measured again.
        regressions: (method, metric) of its rows that were called regressions.
        acknowledged: reason by (method, metric), either of them "*" for all.
        improved: (method, metric) of its rows that were called improvements.
        open: the regressions that were open after it.
        changed: (method, metric) of its rows that changed by what does not matter, or by the machine.
        trusts_disturbed: whether times count for it however disturbed they are.
        compared_with: how many good nights before it were its baseline, at most.
    """

    machine: str
    run: str
    created: str
    folder: str
    alike: dict[str, Any]
    environment: dict[str, Any]
    rows: tuple[NightRow, ...]
    verdict: str | None = None
    shifted: frozenset[MeasuredShift] = frozenset()
    regressions: frozenset[tuple[str, str]] = frozenset()
    acknowledged: Mapping[tuple[str, str], str] | None = None
    improved: frozenset[tuple[str, str]] = frozenset()
    open: tuple[Regression, ...] = ()
    changed: Mapping[tuple[str, str], Change] = field(default_factory=dict)
    trusts_disturbed: bool = False
    compared_with: int = COMPARED_WITH

    @property
    def is_judged(self) -> bool:
        """Whether it is a night with a verdict, and was not stopped before that was final."""
        return self.verdict is not None and self.verdict not in UNFINISHED

    @cached_property
    def _by_method(self) -> dict[str, NightRow]:
        return {row.method: row for row in self.rows}

    @cached_property
    def measured(self) -> frozenset[tuple[str, str]]:
        """(method, metric) of all that was measured."""
        return frozenset(
            (r.method, metric) for r in self.rows for metric in METRICS if r.has(metric)
        )

    def row(self, method: str) -> NightRow | None:
        return self._by_method.get(method)

    def acknowledges(self, method: str, metric: str) -> bool:
        """Return whether a shift of this row was acknowledged in this run."""
        if not self.acknowledged:
            return False
        return any(part in (method, "*") and of in (metric, "*") for part, of in self.acknowledged)


def opened_by(entry: NightEntry) -> tuple[Regression, ...]:
    """Return the regressions of a night that was kept by a version that kept no open ones."""
    return tuple(
        Regression(*key, entry.run, entry.created, " ".join((key[0], "is worse in", key[1])))
        for key in sorted(entry.regressions)
    )


def unlike(before: NightEntry, now: Mapping[str, Any]) -> list[str]:
    """Return why two runs may not be compared, one line a key; empty if they may."""
    if before.alike == now:
        return []
    return listed(differing(before.alike, now))


def judged_alike(history: Iterable[NightEntry], now: Mapping[str, Any]) -> list[NightEntry]:
    """Return the judged nights that may be compared with one, in their order.

    Args:
        now: what must be the same, ``entry.alike``.
    """
    return [night for night in history if night.is_judged and not unlike(night, now)]


def list_changes(before: NightEntry, now: NightEntry, part: str | None = None) -> list[str]:
    """Return the differences of two runs' environments, one line a key.

    Parts that an earlier version did not keep are no difference.

    Args:
        part: one of its keys alone, such as ``method``.
    """
    old, new = before.environment, now.environment
    if part is not None:
        return listed(differing(old.get(part), new.get(part), (part,)))
    unknown = {key for key in KEPT_IF_KNOWN if key not in old or key not in new}
    return listed(one for one in differing(old, new) if one.keys[0] not in unknown)


def software(entry: NightEntry) -> dict[str, Any]:
    """Return what all rows share of the environment, which decides whether the software is the same.

    That is without the methods, and without the commit: the code's digest says whether it brought
    other code.
    """
    return {key: value for key, value in entry.environment.items() if key not in NOT_SHARED}


def bare_entry(folder: RunFolder) -> NightEntry:
    """Return a run's entry from its plan alone, without rows or any verdict."""
    plan = folder.load_plan()
    assert plan is not None
    return NightEntry(
        machine=folder.path.parent.name,
        run=folder.id,
        created=plan.created,
        folder=folder.address,
        alike=alike(plan),
        environment=environment(plan),
        rows=(),
        trusts_disturbed=bool(plan.config.nightly.trust_disturbed),
        compared_with=plan.config.nightly.runs or COMPARED_WITH,
    )


def build_entry(folder: RunFolder) -> NightEntry:
    """Return a run's entry from its plan and records, without any verdict.

    Raises:
        HarnessError: a record or a file of predictions is damaged.
    """
    plan = folder.load_plan()
    assert plan is not None
    rounds = folder.load_rounds()
    timed = samples_of(rounds).get(plan.workload.batch_size, {})
    disturbed = disturbed_rounds(rounds)
    labels = folder.load_labels(plan.images)
    rows = []
    for record in folder.load_records():
        optimize = record.optimize
        correct: npt.NDArray[np.bool_] | None = None
        if record.outcome.kind == OK and record.validate is not None:
            best = folder.load_predictions(record, plan.images)
            correct = np.stack([top_k_correct(best, labels, k) for k in (1, 5)])
        is_ok = record.outcome.kind == OK
        own = optimize if is_ok and optimize and not optimize.reused_from else None
        rows.append(
            NightRow(
                record.method,
                record.label,
                str(record.outcome),
                own.cost_s if own else None,
                timed[record.method].forward_s if is_ok and record.method in timed else None,
                correct,
                "/".join(file.sha256 for file in optimize.model) if optimize else None,
                disturbed[record.method],
                _peak_mb(own),
                _peak_mb(record.validate if is_ok else None),
            )
        )
    return replace(bare_entry(folder), rows=tuple(rows))


def _peak_mb(stage: Process | None) -> float | None:
    peak = stage.peak_rss_bytes if stage else None
    return peak / 1e6 if peak else None


def as_run(entry: NightEntry, left_out: frozenset[tuple[str, str]] = frozenset()) -> Run:
    """Return the measurements of an entry that verdicts use.

    Args:
        left_out: (method, metric) of rows that must not count.
    """
    times = {r.method: r.times for r in entry.rows if r.times is not None}
    correct = {
        metric: {
            row.method: row.correct[at]
            for row in entry.rows
            if row.correct is not None and (row.method, metric.name) not in left_out
        }
        for at, metric in enumerate((TOP1, TOP5))
    }
    return Run(
        {m: seconds for m, seconds in times.items() if (m, BATCH.name) not in left_out},
        correct,
        {
            metric: {
                row.method: figure
                for row in entry.rows
                if (figure := row.once[metric.name]) is not None
                and (row.method, metric.name) not in left_out
            }
            for metric in ONCE
        },
    )


def figures_of(entry: NightEntry) -> tuple[Figures, ...]:
    """Return what was measured of every row of a night."""
    figures = []
    for row in entry.rows:
        top1, top5 = (None, None) if row.correct is None else map(float, row.correct.mean(axis=1))
        figures.append(
            Figures(
                row.method,
                None if row.times is None else typical_s(row.times),
                0 if row.times is None else len(row.times),
                row.disturbed or 0,
                top1,
                top5,
                row.cost_s,
                row.optimize_mb,
                row.validate_mb,
            )
        )
    return tuple(figures)
