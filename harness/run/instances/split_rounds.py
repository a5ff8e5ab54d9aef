"""Rounds of several instances: each round starts every row in every split in fresh processes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from harness.placement.allocation import Placement
from harness.process.jobs import Binding, InstanceJob, Ready, RunUntil, SavedModel
from harness.run.course import Step
from harness.run.instances.placed_splits import PlacedSplit
from harness.run.instances.split_workers import run_split
from harness.run.job_result import with_faults
from harness.run.rounds import measure_until_undisturbed
from harness.run.session import Session
from harness.storage import outcomes
from harness.storage.instances.instance_files import load_instances
from harness.storage.record import InstancesRecord, MethodRecord, Outcome
from harness.storage.stage_facts import InstanceFacts
from harness.table.instances.splits import windows_of
from harness.table.validity import instances_faults

SHORTEST_S = 2.0  # of a run together: an instance may get its first CPU time late


def run_split_rounds(session: Session) -> None:
    """Measure all rows whose outcome is ok in every split and round that is not on disk yet.

    A row whose instances fail, or run elsewhere than they were bound to, gets that as its outcome and is
    left out of what follows.
    """
    if not session.splits:
        return
    rows = {
        row.method: row for row in session.folder.load_records() if row.outcome.kind == outcomes.OK
    }
    splits = {placed.split.key: placed for placed in session.splits}
    before: dict[tuple[int, str, str], list[InstancesRecord]] = {}
    for attempt in load_instances(session.folder):
        key = (attempt.round, attempt.method, attempt.split.key)
        before.setdefault(key, []).append(attempt)
    for round_ in range(1, session.protocol.rounds + 1):
        pairs = [f"{method} {split}" for method in rows for split in splits]
        for pair in session.protocol.order(round_, pairs):
            method, split = pair.split(" ")
            if method in rows:
                attempts = before.get((round_, method, split), [])
                if not _measure(session, rows[method], splits[split], round_, attempts):
                    del rows[method]


def _measure(
    session: Session,
    row: MethodRecord,
    placed: PlacedSplit,
    round_: int,
    attempts: list[InstancesRecord],
) -> bool:
    def measure(number: int) -> InstancesRecord:
        newest = measure_split(session, row, placed, round_, number)
        session.folder.save(newest)
        return newest

    what = f"row {row.method}, {placed.split}, in round {round_}"
    title = f"{row.label}: {placed.split}: round {round_}"
    return measure_until_undisturbed(session, row, attempts, measure, what, title)


def measure_split(
    session: Session, row: MethodRecord, placed: PlacedSplit, round_: int, attempt: int
) -> InstancesRecord:
    """Run a row's model in all instances of a split; the record is not on disk yet."""
    bound = [list(placement.cpus) for placement in placed.placements]
    record = InstancesRecord(
        session.plan.run, row.method, placed.split, round_, attempt, Outcome(outcomes.OK), bound
    )
    missing = session.missing_engine(row)
    if missing is not None:  # its environment is gone since the model was made
        return replace(record, outcome=missing)
    counts = list(session.protocol.sizes(session.workload.batch_size).items())
    waiting = iter(counts)

    def next_order(said: Sequence[Ready]) -> RunUntil:
        _, batches = next(waiting)
        slowest = max(one.batch_s for one in said)
        seconds = max(SHORTEST_S, (1 + batches) * slowest)  # the first batch does not count
        return RunUntil(moment=time.monotonic() + seconds)

    def make_job(model: SavedModel, placement: Placement, binding: Binding) -> InstanceJob:
        return InstanceJob(
            model=model,
            sizes=[size for size, _ in counts],
            warmup_s=session.protocol.warmup_s,
            cpus=list(placement.cpus),
            binding=binding,
        )

    title = f"{placed.split}, round {round_} of {session.protocol.rounds}"
    step = Step(row.method, str(placed.split), round_)
    facts = run_split(session, row, placed, make_job, next_order, step, title, InstanceFacts)
    if isinstance(facts, Outcome):
        return replace(record, outcome=facts)
    record = replace(record, facts=facts)
    if None in windows_of(record):
        reason = f"{placed.split} did not all run at the same time; measure in longer rounds"
        return replace(record, outcome=Outcome(outcomes.INVALID, reason))
    return replace(record, outcome=with_faults(record.outcome, instances_faults(record)))
