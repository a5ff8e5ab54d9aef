"""The kernel's policies that a measurement depends on: sleep, frequency, pages, interrupts."""

from __future__ import annotations

import re
from pathlib import Path

from harness.facts.machine_facts import IdleState, KernelPolicies
from harness.host.system_files import CPUS, ROOT, read_text, to_integer

HUGE_PAGES = "sys/kernel/mm/transparent_hugepage"
NUMA_BALANCING = "proc/sys/kernel/numa_balancing"
PARANOID = "proc/sys/kernel/perf_event_paranoid"
SMT = f"{CPUS}/smt/control"


def read_policies(root: Path = ROOT, cpu: int = 0) -> KernelPolicies | None:
    """Return the policies, None for each that cannot be read, or for all of them.

    Args:
        root: of the file system, so that a copied tree can stand for a machine.
        cpu: the CPU whose C-states and frequencies stand for all.
    """
    idle, frequency = root / CPUS / "cpuidle", root / CPUS / f"cpu{cpu}/cpufreq"
    governor = read_text(idle / "current_governor") or read_text(idle / "current_governor_ro")
    balancing = to_integer(read_text(root / NUMA_BALANCING))
    drivers = (read_text(root / CPUS / f"{name}/status") for name in ("intel_pstate", "amd_pstate"))
    policies = KernelPolicies(
        huge_pages=_chosen(root / HUGE_PAGES / "enabled"),
        huge_page_defrag=_chosen(root / HUGE_PAGES / "defrag"),
        numa_balancing=None if balancing is None else balancing > 0,
        smt=read_text(root / SMT),
        idle_driver=read_text(idle / "current_driver"),
        idle_governor=governor,
        idle_states=_idle_states(root / CPUS / f"cpu{cpu}/cpuidle"),
        scaling_driver=read_text(frequency / "scaling_driver"),
        pstate_status=next(filter(None, drivers), None),
        energy_preference=read_text(frequency / "energy_performance_preference"),
        irqbalance=_runs(root, "irqbalance"),
        perf_event_paranoid=to_integer(read_text(root / PARANOID)),
    )
    return None if policies == KernelPolicies() else policies


def _chosen(file: Path) -> str | None:
    """Return the word in brackets, as in ``always [madvise] never``."""
    match = re.search(r"\[([\w+]+)\]", read_text(file) or "")
    return match[1] if match else None


def _idle_states(folder: Path) -> list[IdleState] | None:
    numbered = ((to_integer(path.name[len("state") :]), path) for path in folder.glob("state*"))
    states = [
        IdleState(
            name=read_text(path / "name") or path.name,
            latency_us=to_integer(read_text(path / "latency")),
            enabled=read_text(path / "disable") != "1",
        )
        for _, path in sorted((number, path) for number, path in numbered if number is not None)
    ]
    return states or None


def _runs(root: Path, program: str) -> bool | None:
    """Return whether a program runs; None where the processes are not readable."""
    names = [read_text(path) for path in (root / "proc").glob("[0-9]*/comm")]
    return program in names if names else None
