"""The machines of a comparison, fact by fact."""

from __future__ import annotations

from collections.abc import Callable

from harness.compare.columns.column import Column, ComparedRun
from harness.compare.comparison import Comparison
from harness.compare.grid import DASH, Cell, Grid, titles
from harness.facts.machine_facts import SYSTEM
from harness.table.notes.condition_notes import policies_text
from harness.table.plan_words import region_text


def machines(comparison: Comparison) -> Grid:
    """Return the runs' machines, roofs and prices."""
    other_engines: dict[str, Callable[[ComparedRun], str]] = {}
    if any(run.plan.versions.engines for run in comparison.runs):
        other_engines["Other engines"] = lambda run: (
            "; ".join(run.plan.versions.engine_texts) or DASH
        )
    policies: dict[str, Callable[[ComparedRun], str]] = {}
    if any(run.plan.machine.policies for run in comparison.runs):
        policies["Policies"] = lambda run: policies_text(run.plan.machine) or DASH
    if any(run.plan.threads.allocator for run in comparison.runs):
        policies["Allocator"] = lambda run: run.plan.threads.allocator or SYSTEM
    facts: dict[str, Callable[[ComparedRun], str]] = {
        "Run": lambda run: run.name,
        "Measured": lambda run: run.plan.created,
        "CPU": lambda run: _text(run.plan.machine.cpu_model),
        "Microcode": lambda run: _text(run.plan.machine.microcode),
        "Instruction sets": lambda run: ", ".join(run.plan.machine.isa or ()) or DASH,
        "oneDNN limited to": lambda run: str(run.plan.config.max_cpu_isa or "nothing"),
        "Residual additions": lambda run: str(run.plan.config.mxnet_additions or "as released"),
        "Sockets, cores, threads a core": _counts,
        "Threads used": lambda run: run.threads,
        "Caches": _caches,
        "Memory": lambda run: _bytes(run.plan.machine.memory_total_bytes),
        "Limits": _limits,
        "Hypervisor": lambda run: _text(run.plan.machine.hypervisor),
        "EC2": _instance,
        "System": lambda run: (
            f"{_text(run.plan.machine.os)}, kernel {_text(run.plan.machine.kernel)}"
        ),
        **policies,
        "MXNet": lambda run: run.plan.versions.mxnet,
        "INC": lambda run: run.plan.versions.neural_compressor,
        **other_engines,
        "Protocol": lambda run: str(run.plan.config.protocol.name),
        "Roof fp32, GOP/s": lambda run: _roof(run, "fp32"),
        "Roof bf16, GOP/s": lambda run: _roof(run, "bf16"),
        "Roof int8, GOP/s": lambda run: _roof(run, "int8"),
        "Price": lambda run: run.price.note,
    }
    rows = [
        (name, [Cell(_of_all(column, fact)) for column in comparison.columns])
        for name, fact in facts.items()
    ]
    if any(column.type for column in comparison.columns):
        rows.insert(0, ("Machines", [Cell(column.counted) for column in comparison.columns]))
    grid = Grid(
        "machines",
        "Machines",
        "As each run's plan describes its machine. A roof is the median of its repeats, the slowest and "
        "the fastest in brackets, and the convolution that reached it.",
        "Fact",
        titles(comparison),
        rows,
        in_words=True,
    )
    return grid.filled


def _of_all(column: Column, fact: Callable[[ComparedRun], str]) -> str:
    """Return a fact of a column's runs: once where all agree."""
    return "; ".join(dict.fromkeys(fact(run) for run in column.runs))


def _text(value: object) -> str:
    return DASH if value is None else str(value)


def _counts(run: ComparedRun) -> str:
    machine = run.plan.machine
    return ", ".join(map(_text, (machine.sockets, machine.cores, machine.threads_per_core)))


def _bytes(value: int | None) -> str:
    if value is None:
        return DASH
    return f"{value / 2**30:.1f} GiB" if value >= 1 << 30 else f"{value / 2**10:g} KiB"


def _caches(run: ComparedRun) -> str:
    caches = run.plan.machine.cache_bytes or {}
    return ", ".join(f"{name} {_bytes(size)}" for name, size in caches.items()) or DASH


def _limits(run: ComparedRun) -> str:
    machine = run.plan.machine
    limits = []
    if machine.cpu_quota is not None:
        limits.append(f"{machine.cpu_quota:g} CPUs")
    if machine.memory_limit_bytes is not None:
        limits.append(f"{_bytes(machine.memory_limit_bytes)} of memory")
    if machine.allowed_cores not in (None, machine.cores):
        limits.append(f"{machine.allowed_cores} cores allowed")
    return ", ".join(limits) or "none"


def _instance(run: ComparedRun) -> str:
    instance = run.plan.machine.ec2
    if not instance:
        return "not recorded"
    if not instance.instance_type:
        return instance.reason or DASH
    place = instance.availability_zone or region_text(instance)
    details = [
        f"{instance.instance_type} in {place}",
        instance.purchase,
        f"tenancy {instance.tenancy}" if instance.tenancy else None,
        instance.ami,
        f"instance {instance.instance_id}" if instance.instance_id else None,
    ]
    return ", ".join(detail for detail in details if detail)


def _roof(run: ComparedRun, dtype: str) -> str:
    peak = run.roof.get(dtype)
    if peak is None:
        return DASH
    return f"{peak.gops:.0f} [{peak.low:.0f}, {peak.high:.0f}], {peak.kernel.partition(',')[2]}"
