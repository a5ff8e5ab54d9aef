"""The workers of a split: started at the same time, each in its place, and what they measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from harness.placement.allocation import Placement
from harness.process import executor
from harness.process.jobs import Binding, Job, RowEngine, SavedModel
from harness.run.course import Step
from harness.run.instances.instance_set import Orders, SetEnd, run_together
from harness.run.instances.placed_splits import PlacedSplit, instance_settings
from harness.run.job_result import job_outcome, stage_result
from harness.run.session import Session
from harness.storage.record import MethodRecord, Outcome
from harness.storage.stage_facts import Process

F = TypeVar("F", bound=Process)
MakeJob = Callable[[SavedModel, Placement, Binding], Job]


def run_split(
    session: Session,
    row: MethodRecord,
    placed: PlacedSplit,
    make_job: MakeJob,
    next_order: Orders,
    step: Step,
    title: str,
    kind: type[F],
    inherited: Sequence[int] = (),
) -> list[F] | Outcome:
    """Run a row's model in all instances of a split; return their facts, or why there are none.

    Args:
        make_job: of an instance, all of one stage.
        next_order: gives the orders (``run_together``).
        title: of the step, for the display.
        kind: of the facts.
        inherited: descriptors that the workers have, too.
    """
    model = session.model(row)
    workers: list[executor.Worker] = []
    stage = ""
    with session.taking(row, step, title) as report:
        try:
            for number, placement in enumerate(placed.placements, 1):
                settings, engine_cpus = instance_settings(session.plan.config, placement)
                engine = model.engine and RowEngine(
                    options=model.engine.options, threads=settings.count, cpus=engine_cpus
                )
                binding = Binding(cpus=list(placement.cpus), nodes=list(placement.memory_nodes))
                job = make_job(session.model(row, engine), placement, binding)
                variables, stage = {} if engine else settings.environment, job.stage
                workers.append(session.start(row, job, engine, variables, f"-{number}", inherited))
        except BaseException:
            for worker in workers:
                worker.abandon()
            raise
        ended = run_together(workers, next_order, report, session.plan.config.run.timeout_s)
    return _facts(session, row, ended, stage, kind)


def _facts(
    session: Session, row: MethodRecord, ended: SetEnd, stage: str, kind: type[F]
) -> list[F] | Outcome:
    logs = [session.log_name(row, f"{stage}-{number}") for number in range(1, len(ended.ends) + 1)]
    if ended.failed is not None:
        failed = job_outcome(ended.ends[ended.failed], logs[ended.failed])
        reason = f"instance {ended.failed + 1} of {len(ended.ends)}: {failed.reason}"
        return replace(failed, reason=reason)
    facts = []
    for end, log in zip(ended.ends, logs):
        outcome, one = stage_result(end, kind, log)
        if one is None:
            return outcome
        facts.append(one)
    return facts
