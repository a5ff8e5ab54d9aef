"""Findings about the kernel's policies, and which conditions of a measurement can be read."""

from __future__ import annotations

from collections.abc import Iterator

from harness.doctor.finding import OK, UNKNOWN, WARN, Finding, Fix
from harness.facts.machine_facts import KernelPolicies, Machine
from harness.host.kernel.policies import HUGE_PAGES, NUMA_BALANCING, PARANOID, SMT
from harness.host.kernel.readable import Readable
from harness.host.system_files import CPUS

DEEP_US = 50  # to wake: from here on a batch of milliseconds shows it
PERF_FOR_ALL = 2  # the highest perf_event_paranoid that lets a process count its own work
HOW = "./run.sh doctor fix=print prints the command"
RAPL = "/sys/class/powercap/intel-rapl:*/energy_uj"


def kernel_findings(machine: Machine) -> list[Finding]:
    """Judge the kernel's policies; those that cannot be read are left out."""
    policies = machine.policies
    if policies is None:
        return []
    parts = (
        _huge_pages(policies),
        _numa_balancing(machine, policies),
        _smt(machine, policies),
        _turbo(machine, policies),
        _idle(policies),
        _interrupts(policies),
    )
    return [finding for part in parts for finding in part]


def counter_finding(readable: Readable, policies: KernelPolicies | None, is_root: bool) -> Finding:
    """Say which conditions a run will record, and what opens the others."""
    known = {
        f"effective frequency ({readable.frequency})"
        if readable.frequency
        else "effective frequency": readable.frequency is not None,
        "instructions per cycle": readable.instructions,
        "temperature": readable.temperature,
        "energy": readable.energy,
    }
    value = ", ".join(name for name, is_there in known.items() if is_there)
    missing = ", ".join(name for name, is_there in known.items() if not is_there)
    if not missing:
        return Finding(OK, "conditions", value)
    value += f"{'; ' if value else ''}not readable here: {missing}"
    fixes = []
    paranoid = policies.perf_event_paranoid if policies else None
    if paranoid is not None and paranoid > PERF_FOR_ALL and not (is_root or readable.instructions):
        fixes.append(
            written(
                str(PERF_FOR_ALL),
                str(paranoid),
                f"/{PARANOID}",
                "a process may count its own cycles and instructions",
            )
        )
    if readable.closed_energy:
        fixes.append(
            Fix(
                f"sudo chmod a+r {RAPL}",
                "every user may read the energy counters, which can leak what others compute "
                "(CVE-2020-8694)",
                f"sudo chmod go-r {RAPL}",
            )
        )
    advice = HOW if fixes else "a run is measured without them"
    return Finding(UNKNOWN, "conditions", value, advice, tuple(fixes))


def written(value: str, before: str, files: str, changes: str) -> Fix:
    """Return the fix that writes a value into a file of the kernel's, or into several.

    Args:
        before: the value that is there now.
        files: absolute path, with ``*`` for all CPUs.
    """
    command = f"echo {{}} | sudo tee {files} > /dev/null"
    return Fix(command.format(value), changes, command.format(before))


def _huge_pages(policies: KernelPolicies) -> Iterator[Finding]:
    pages = policies.huge_pages
    if pages is None:
        return
    value = f"transparent huge pages {pages}"
    if policies.huge_page_defrag:
        value += f", defragmented {policies.huge_page_defrag}"
    if pages != "always":
        yield Finding(OK, "huge pages", value)
        return
    changes = "only programs that ask get huge pages, so none are merged while a row runs"
    fix = written("madvise", pages, f"/{HUGE_PAGES}/enabled", changes)
    advice = f"the kernel merges pages whenever it finds time: times scatter; {HOW}"
    yield Finding(WARN, "huge pages", value, advice, (fix,))


def _numa_balancing(machine: Machine, policies: KernelPolicies) -> Iterator[Finding]:
    if policies.numa_balancing is None or (machine.numa_nodes or 1) < 2:
        return
    if not policies.numa_balancing:
        yield Finding(OK, "NUMA balancing", "off")
        return
    changes = "pages stay on the node where they are (with tiers of memory, 2 or 3 was there)"
    fix = written("0", "1", f"/{NUMA_BALANCING}", changes)
    advice = f"the kernel moves pages between nodes in mid-run; {HOW}"
    yield Finding(WARN, "NUMA balancing", "on", advice, (fix,))


def _smt(machine: Machine, policies: KernelPolicies) -> Iterator[Finding]:
    if policies.smt != "on" or (machine.threads_per_core or 1) < 2:
        return
    changes = "each core has one CPU, so that nothing else runs on a measured core"
    fix = written("off", "on", f"/{SMT}", changes)
    advice = f"other work on the second CPU of a core slows a measured thread; {HOW}"
    yield Finding(WARN, "SMT", f"on, {machine.threads_per_core} CPUs a core", advice, (fix,))


def _turbo(machine: Machine, policies: KernelPolicies) -> Iterator[Finding]:
    if not machine.turbo:
        return
    changes = "the clock no longer depends on heat and on how many cores work"
    if policies.pstate_status and "intel" in (policies.scaling_driver or ""):
        fix = written("1", "0", f"/{CPUS}/intel_pstate/no_turbo", changes)
    else:
        fix = written("0", "1", f"/{CPUS}/cpufreq/boost", changes)
    advice = f"the clock depends on heat and on how many cores work; {HOW}"
    yield Finding(WARN, "turbo", "on", advice, (fix,))


def _idle(policies: KernelPolicies) -> Iterator[Finding]:
    states = policies.idle_states or []
    if not states:
        return
    value = (
        f"{policies.idle_driver or 'unknown driver'}, {policies.idle_governor or 'no'} governor: "
    )
    value += ", ".join(
        f"{state.name}{'' if state.enabled else ' (off)'}"
        + (f" {state.latency_us} us" if state.latency_us else "")
        for state in states
    )
    deep = [
        (number, state)
        for number, state in enumerate(states)
        if state.enabled and (state.latency_us or 0) >= DEEP_US
    ]
    if not deep:
        yield Finding(OK, "sleep", value)
        return
    fixes = tuple(
        written(
            "1",
            "0",
            f"/{CPUS}/cpu*/cpuidle/state{number}/disable",
            f"no CPU sleeps in {state.name}, from which it takes {state.latency_us} us to wake",
        )
        for number, state in deep
    )
    advice = f"CPUs that wait between batches wake late; {HOW}"
    yield Finding(WARN, "sleep", value, advice, fixes)


def _interrupts(policies: KernelPolicies) -> Iterator[Finding]:
    if not policies.irqbalance:
        return
    fix = Fix(
        "sudo systemctl stop irqbalance",
        "interrupts stay on the CPUs where they are",
        "sudo systemctl start irqbalance",
    )
    advice = f"it moves interrupts onto measured CPUs; {HOW}"
    yield Finding(WARN, "interrupts", "irqbalance runs", advice, (fix,))
