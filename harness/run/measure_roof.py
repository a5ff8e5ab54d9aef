"""Measure the machine's roof, with the threads, oneDNN and limits of the run."""

from __future__ import annotations

from collections.abc import Collection

from harness.host import isa
from harness.process import executor
from harness.process.interrupt import finishing
from harness.process.jobs import RoofJob
from harness.run.job_result import stage_result, with_faults
from harness.run.session import Session
from harness.storage import outcomes
from harness.storage.record import RoofRecord
from harness.storage.stage_facts import Dtype, RoofFacts
from harness.table import validity
from harness.table.kernels import ENVIRONMENT

LOG = "roof.log"


def measure_roof(session: Session) -> bool:
    """Measure the roof, unless the protocol leaves it out or it is on disk; return False if it failed.

    A disturbed attempt is repeated as often as a round may be; the last one counts in any case.
    """
    if not session.protocol.roof:
        return True
    known = session.folder.load_roof()
    if known is not None and known.outcome.kind == outcomes.OK:
        return True
    for _ in range(1 + session.protocol.reruns):
        with finishing("the roof", session.show.note):
            roof = _measure(session)
            session.folder.save(roof)
        if roof.facts is None or not roof.facts.disturbed:
            break
        kinds = sorted({disturbance.kind for disturbance in roof.facts.disturbed})
        session.show.note(f"roof: it was disturbed ({', '.join(kinds)})")
    if roof.outcome.kind != outcomes.OK:
        session.show.note(f"roof: {roof.outcome}")
    return roof.outcome.kind == outcomes.OK


def _measure(session: Session) -> RoofRecord:
    plan, folder = session.plan, session.folder
    job = RoofJob(
        dtypes=fast_dtypes(plan.machine.isa or (), session.environment.get(isa.VARIABLE)),
        threads=plan.threads.count or plan.machine.usable_cores,
        cpus=plan.machine.allowed_cpus,
    )
    with session.show.step("measuring the machine's roof") as report:
        environment = {**session.environment, **ENVIRONMENT}
        worker = executor.Worker(job, environment, folder.path / LOG, folder.path)
        ended = worker.wait(report, plan.config.run.timeout_s)
    outcome, facts = stage_result(ended, RoofFacts, LOG)
    if facts:
        outcome = with_faults(outcome, validity.pass_faults(facts))
    return RoofRecord(plan.run, outcome, facts)


def fast_dtypes(flags: Collection[str], limit: str | None) -> list[Dtype]:
    """Return the data types that oneDNN may have fast kernels for.

    Without bf16 instructions oneDNN emulates bf16 or runs its slow reference kernels.

    Args:
        flags: the machine's instruction sets, as ``machine.describe`` names them.
        limit: ONEDNN_MAX_CPU_ISA of the workers, or None.
    """
    allowed = isa.allows(limit, "AVX512_CORE_BF16")
    has_bf16 = allowed and any(flag.endswith("BF16") for flag in flags)
    return ["fp32", "bf16", "int8"] if has_bf16 else ["fp32", "int8"]
