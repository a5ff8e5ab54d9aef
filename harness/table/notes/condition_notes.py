"""The conditions under which rows were timed: clock, instructions, heat, energy, allocator."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.facts.machine_facts import KernelPolicies, Machine, allocator_name
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord
from harness.storage.stage_facts import Stretch
from harness.table.samples import Used

UNREADABLE = "not readable here"
DASH = "–"
THOUSAND = 1000  # images that energy is said of


@dataclass(frozen=True)
class RowConditions:
    """How a row was timed, over its rounds or in its validation pass; None: not readable.

    Attributes:
        effective_mhz: the median; ``frequency_source`` says by what it was told.
        instructions_per_cycle: the median.
        joules_per_1000: of the whole CPUs and their memory, for 1,000 images.
        temperature_c: the highest.
        thermal_throttles: how often heat slowed the CPUs down.
        allocator: what served ``malloc``; None in records of before it was looked at.
    """

    method: str
    label: str
    effective_mhz: float | None
    frequency_source: str | None
    instructions_per_cycle: float | None
    joules_per_1000: float | None
    temperature_c: float | None
    thermal_throttles: int | None
    allocator: str | None


def row_conditions(records: Sequence[MethodRecord], used: Used) -> list[RowConditions]:
    """Return the conditions of the rows, in the table's order.

    Args:
        used: the timings that count; a row without any is told by its validation pass.
    """
    stretches: dict[str, list[tuple[Stretch, int]]] = {}
    for record, timing in used:
        for part in timing.timed[:1]:
            images = len(part.forward_s) * part.batch_size
            stretches.setdefault(record.method, []).append((part.conditions, images))
    for record in records:
        passed = record.validate
        if passed and passed.conditions:
            stretches.setdefault(record.method, [(passed.conditions, passed.images)])
    return [
        _row_conditions(record, stretches[record.method])
        for record in records
        if record.method in stretches
    ]


def condition_notes(plan: RunPlan, records: Sequence[MethodRecord], used: Used) -> Iterator[str]:
    """Yield what is known of the machine's policies and of the conditions while rows were timed.

    Runs of before these were recorded have no such notes.
    """
    policies = policies_text(plan.machine)
    if policies:
        yield f"The machine's policies: {policies}."
    rows = [row for row in row_conditions(records, used) if row.allocator is not None]
    if not rows:
        return
    known: list[str] = []
    unknown: list[str] = []
    for name, text in (
        ("effective frequency", _frequency(rows)),
        ("instructions per cycle", _range([row.instructions_per_cycle for row in rows], "{:.2f}")),
        ("hottest sensor", _range([row.temperature_c for row in rows], "{:.0f}", " °C")),
        (
            "energy of CPUs and memory for 1,000 images",
            _range([row.joules_per_1000 for row in rows], "{:,.1f}", " J"),
        ),
        ("slowed down by heat", _range([row.thermal_throttles for row in rows], "{}", " times")),
    ):
        (known if text else unknown).append(f"{name} {text}".strip())
    allocators = sorted({row.allocator for row in rows if row.allocator})
    known.append(f"allocator {' or '.join(allocators)}")
    text = f"While rows were timed: {', '.join(known)}"
    yield f"{text}; {UNREADABLE}: {', '.join(unknown)}." if unknown else f"{text}."


def condition_rows(rows: Sequence[RowConditions]) -> tuple[list[str], list[list[str]]]:
    """Return the titles of conditions, and of each row that has any its label and the conditions.

    Records of before they were read have none.
    """
    cells = {
        "Effective MHz": [_text(row.effective_mhz, "{:,.0f}") for row in rows],
        "told by": [row.frequency_source or DASH for row in rows],
        "Instructions per cycle": [_text(row.instructions_per_cycle, "{:.2f}") for row in rows],
        "J per 1,000 images": [_text(row.joules_per_1000, "{:,.1f}") for row in rows],
        "Hottest, °C": [_text(row.temperature_c, "{:.0f}") for row in rows],
        "Slowed by heat": [_text(row.thermal_throttles, "{}") for row in rows],
        "Allocator": [row.allocator or DASH for row in rows],
    }
    lines = [
        [row.label, *(column[number] for column in cells.values())]
        for number, row in enumerate(rows)
        if row.allocator is not None
    ]
    return list(cells), lines


def policies_text(machine: Machine) -> str:
    """Return the policies of a machine that are known, as a list in words; empty without any."""
    policies = machine.policies or KernelPolicies()
    states = policies.idle_states or []
    parts = {
        "governor": machine.governor,
        "turbo": _on_or_off(machine.turbo),
        "frequency driver": policies.scaling_driver,
        "energy preference": policies.energy_preference,
        "sleep": policies.idle_governor
        and f"{policies.idle_governor} ({', '.join(one.name for one in states if one.enabled)})",
        "SMT": policies.smt,
        "transparent huge pages": policies.huge_pages,
        "NUMA balancing": _on_or_off(policies.numa_balancing),
        "irqbalance": _on_or_off(policies.irqbalance),
    }
    if machine.policies is None:
        return ""
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value)


def _row_conditions(
    record: MethodRecord, stretches: Sequence[tuple[Stretch, int]]
) -> RowConditions:
    parts = [stretch for stretch, _ in stretches]
    measured = [(one.energy_j, images) for one, images in stretches if one.energy_j is not None]
    images = sum(images for _, images in measured)
    energy = math.fsum(joules for joules, _ in measured)
    throttles = [one.thermal_throttles for one in parts if one.thermal_throttles is not None]
    temperatures = [one.temperature_c for one in parts if one.temperature_c is not None]
    sources = sorted({one.frequency_source for one in parts if one.frequency_source})
    allocators = sorted({allocator_name(one.allocator) for one in parts if one.allocator})
    return RowConditions(
        method=record.method,
        label=record.label,
        effective_mhz=_median([one.effective_mhz for one in parts]),
        frequency_source=" or ".join(sources) or None,
        instructions_per_cycle=_median([one.instructions_per_cycle for one in parts]),
        joules_per_1000=energy / images * THOUSAND if images else None,
        temperature_c=max(temperatures, default=None),
        thermal_throttles=int(sum(throttles)) if throttles else None,
        allocator=" or ".join(allocators) or None,
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _text(value: float | None, form: str) -> str:
    return DASH if value is None else form.format(value)


def _frequency(rows: Sequence[RowConditions]) -> str:
    text = _range([row.effective_mhz for row in rows], "{:,.0f}", " MHz")
    sources = sorted({row.frequency_source for row in rows if row.frequency_source})
    return f"{text} (by {' or '.join(sources)})" if text else ""


def _range(values: Sequence[float | None], form: str, unit: str = "") -> str:
    """Return the least and the greatest value of rows; empty where none is known."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    least, most = form.format(min(known)), form.format(max(known))
    return f"{least}{unit}" if least == most else f"{least} to {most}{unit}"


def _on_or_off(value: bool | None) -> str | None:
    return None if value is None else "on" if value else "off"
