"""Measure the machine's roof in a run: with its threads, its oneDNN, under its limits."""

from __future__ import annotations

from harness.host import isa
from harness.process import executor
from harness.process.interrupt import finishing
from harness.run.session import Session, answer_of
from harness.storage import record
from harness.storage.record import Outcome, RoofRecord
from harness.storage.stage_facts import RoofFacts
from harness.table import validity
from harness.table.kernels import ENVIRONMENT

LOG = "roof.log"


def measure_roof(session: Session) -> bool:
    """Measure the roof unless the protocol leaves it out or it is on disk; False if that failed.

    A disturbed attempt is repeated as often as a round may be; the last one counts all the same.
    """
    if not session.protocol.roof:
        return True
    known = session.folder.load_roof()
    if known is not None and known.outcome.kind == record.OK:
        return True
    for _ in range(1 + session.protocol.reruns):
        with finishing("the roof", session.show.note):
            found = _measured(session)
            session.folder.save_roof(found)
        if found.facts is None or not found.facts.disturbed:
            break
        kinds = sorted({disturbance.kind for disturbance in found.facts.disturbed})
        session.show.note(f"roof: it was disturbed ({', '.join(kinds)})")
    if found.outcome.kind != record.OK:
        session.show.note(f"roof: {found.outcome}")
    return found.outcome.kind == record.OK


def _measured(session: Session) -> RoofRecord:
    plan, folder = session.plan, session.folder
    job = {
        "stage": "roof",
        "dtypes": dtypes_of(plan.machine["isa"] or (), session.environment.get(isa.VARIABLE)),
        "threads": plan.threads["count"] or plan.machine["usable_cores"],
        "cpus": plan.machine["allowed_cpus"],
    }
    with session.show.step("measuring the machine's roof") as report:
        environment = {**session.environment, **ENVIRONMENT}
        worker = executor.Worker(job, environment, folder.path / LOG, folder.path)
        ended = worker.wait(report, plan.config["run"]["timeout_s"])
    outcome, facts = answer_of(ended, RoofFacts, LOG)
    wrong = validity.of_pass(facts) if facts else []
    return RoofRecord(
        plan.run, Outcome(record.INVALID, "; ".join(wrong)) if wrong else outcome, facts
    )


def dtypes_of(flags: list[str] | tuple[str, ...], limit: str | None) -> list[str]:
    """Return the data types that oneDNN may have fast kernels for.

    Without instructions for bf16 it has its reference implementation, or emulates it.

    Args:
        flags: the machine's instruction sets, as ``machine.describe`` names them.
        limit: the workers' ONEDNN_MAX_CPU_ISA, if they have one.
    """
    allowed = isa.allows(limit, "AVX512_CORE_BF16")
    has_bf16 = allowed and any(flag.endswith("BF16") for flag in flags)
    return ["fp32", *(["bf16"] if has_bf16 else []), "int8"]
