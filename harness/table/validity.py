"""The reasons that make a row INVALID, from its raw facts: it is not what its name says."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from harness.facts.machine_facts import spell_cpus
from harness.host.isa import shortfall
from harness.storage.record import InstancesRecord
from harness.storage.stage_facts import InstanceTimed, Optimize, RoofFacts, Timed, Validate
from harness.table.kernels import NOT_INT8, NOT_SAID, ONEDNN, Profile

INT8_NAME = re.compile(r"(?<![a-z0-9])int8", re.IGNORECASE)


def is_called_int8(name: str, label: str) -> bool:
    """Say whether a row's name or label calls it int8."""
    return any(INT8_NAME.search(text) for text in (name, label))


def pass_faults(facts: Optimize | Validate | Timed | InstanceTimed | RoofFacts) -> list[str]:
    """Return the faults of a stretch that ``Watch`` saw: threads that ran on other CPUs than asked."""
    return [f"the thread policy did not take effect: {thread}" for thread in facts.misplaced or ()]


def instances_faults(record: InstancesRecord) -> list[str]:
    """Return the faults of instances: threads on other CPUs than asked, or on those of another one.

    Only the first batch size counts, the workload's own: a batch of one need not keep every thread
    busy.
    """
    wrong = []
    seen: dict[int, int] = {}  # the instance that was seen on a CPU
    for number, (facts, bound) in enumerate(zip(record.facts or (), record.placed), 1):
        part = facts.timed[0]
        wrong += [f"instance {number}: {fault}" for fault in pass_faults(part)]
        wrong += outside_faults(number, part.cpus, bound)
        for cpu in part.cpus:
            if seen.setdefault(cpu, number) != number:
                wrong.append(f"instances {seen[cpu]} and {number} both ran on {spell_cpus([cpu])}")
    return wrong


def outside_faults(number: int, seen: Iterable[int], bound: Sequence[int]) -> list[str]:
    """Return the fault of an instance that was seen on CPUs to which it was not bound, if it was."""
    outside = {*seen} - {*bound}
    if not outside:
        return []
    return [f"instance {number} ran on {spell_cpus(outside)} and was bound to {spell_cpus(bound)}"]


def validation_faults(facts: Validate) -> list[str]:
    """Return the faults of a validation pass."""
    wrong = pass_faults(facts)
    if facts.non_finite:
        wrong.insert(0, f"{facts.non_finite} images got scores that are NaN or infinite")
    return wrong


def profile_faults(
    profile: Profile, is_int8: bool, flags: Collection[str] | None, asked: str | None
) -> list[str]:
    """Return the faults of the way in which a model ran.

    Args:
        is_int8: the row is called int8.
        flags: the machine's instruction sets; None where they are not known.
        asked: the configuration's max_cpu_isa.
    """
    wrong = []
    if is_int8 and not profile.int8_compute_share:
        if profile.rows:
            wrong.append(NOT_INT8)
        elif profile.engine != ONEDNN:
            wrong.append(NOT_SAID)
    short = shortfall(profile.cpu_isa, flags or (), asked)
    return [*wrong, short] if short else wrong
