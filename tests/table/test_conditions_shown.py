"""The conditions under which rows were timed, as notes and as the report's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.facts.machine_facts import IdleState, KernelPolicies
from harness.facts.typed import changed, decode, plain
from harness.storage.record import MethodRecord, RoundRecord
from harness.storage.stage_facts import RoundFacts
from harness.table.notes.condition_notes import (
    condition_notes,
    condition_rows,
    policies_text,
    row_conditions,
)
from harness.table.notes.footnotes import used_timings
from helpers.sample_records import BATCH, measured, plan, timed

LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6"
KNOWN = {
    "effective_mhz": 2900.0,
    "frequency_source": "cycles",
    "instructions_per_cycle": 2.0,
    "energy_j": 50.0,
    "temperature_c": 61.5,
    "thermal_throttles": 0,
    "allocator": LIBC,
}


def with_conditions(timing: RoundRecord, **conditions: Any) -> RoundRecord:
    assert timing.facts is not None
    stored = plain(timing.facts)
    for part in stored["timed"]:
        part["conditions"] |= conditions
    return replace(timing, facts=decode(stored, RoundFacts))


def notes(records: Sequence[MethodRecord], rounds: Sequence[RoundRecord]) -> list[str]:
    return list(condition_notes(plan(rounds=2), records, used_timings(records, rounds)))


def test_rows_have_medians_extremes_and_the_energy_of_their_images() -> None:
    records = [measured("fp32", 40.0), measured("fp32_fused", 4.0)]
    rounds = [
        with_conditions(timed("fp32", 1, [0.5] * 4), **KNOWN),
        with_conditions(
            timed("fp32", 2, [0.5] * 6),
            **{**KNOWN, "effective_mhz": 2700.0, "temperature_c": 70.0, "energy_j": 75.0},
        ),
        with_conditions(
            timed("fp32_fused", 1, [0.1] * 4),
            **{**KNOWN, "energy_j": 4.0, "thermal_throttles": 3, "instructions_per_cycle": 2.5},
        ),
    ]
    first, second = row_conditions(records, used_timings(records, rounds))
    assert (first.effective_mhz, first.temperature_c) == (2800.0, 70.0)
    assert first.joules_per_1000 == 1000 * (50 + 75) / (10 * BATCH)
    assert (second.thermal_throttles, second.joules_per_1000) == (3, 1000 * 4.0 / (4 * BATCH))
    assert first.allocator == second.allocator == "system"
    assert notes(records, rounds) == [
        "While rows were timed: effective frequency 2,800 to 2,900 MHz (by cycles), instructions per "
        "cycle 2.00 to 2.50, hottest sensor 62 to 70 °C, energy of CPUs and memory for 1,000 images "
        "10.0 to 125.0 J, slowed down by heat 0 to 3 times, allocator system."
    ]
    titles, cells = condition_rows(row_conditions(records, used_timings(records, rounds)))
    assert titles[0] == "Effective MHz"
    assert cells[1] == [second.label, "2,900", "cycles", "2.50", "10.0", "62", "3", "system"]


def test_what_cannot_be_read_is_said() -> None:
    records = [measured("fp32", 40.0)]
    rounds = [with_conditions(timed("fp32", 1, [0.5] * 4), allocator="/opt/libjemalloc.so.2")]
    assert notes(records, rounds) == [
        "While rows were timed: allocator jemalloc; not readable here: effective frequency, "
        "instructions per cycle, hottest sensor, energy of CPUs and memory for 1,000 images, slowed "
        "down by heat."
    ]
    _, cells = condition_rows(row_conditions(records, used_timings(records, rounds)))
    assert cells == [["fp32", *["–"] * 6, "jemalloc"]]


def test_records_of_before_have_no_conditions_to_show() -> None:
    records = [measured("fp32", 40.0)]
    rounds = [timed("fp32", 1, [0.5] * 4)]
    assert notes(records, rounds) == []
    _, cells = condition_rows(row_conditions(records, used_timings(records, rounds)))
    assert cells == []


def test_the_machines_policies_in_words() -> None:
    machine = plan().machine
    assert policies_text(machine) == ""
    policies = KernelPolicies(
        huge_pages="madvise",
        numa_balancing=False,
        smt="on",
        idle_governor="menu",
        idle_states=[
            IdleState(name="POLL", latency_us=0, enabled=True),
            IdleState(name="C6", latency_us=133, enabled=False),
        ],
        scaling_driver="intel_pstate",
    )
    known = changed(machine, governor="performance", turbo=False, policies=plain(policies))
    assert policies_text(known) == (
        "governor performance, turbo off, frequency driver intel_pstate, sleep menu (POLL), SMT on, "
        "transparent huge pages madvise, NUMA balancing off"
    )
