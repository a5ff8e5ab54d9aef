"""Which runs are one column: those of one plan on different machines of one type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.compare.columns.column import Column, ComparedRun
from harness.storage.plan import RunPlan
from harness.storage.same_run import pooling_differences

APART = "--apart"


@dataclass(frozen=True)
class Unpooled:
    """Runs on machines of one type that cannot be one column.

    Attributes:
        differences: for each run that is not like the first, its name and what differs.
    """

    type: str
    first: str
    differences: tuple[tuple[str, tuple[str, ...]], ...]

    def __str__(self) -> str:
        listed = "\n".join(
            f"  {name}: {line}" for name, lines in self.differences for line in lines
        )
        return f"runs on machines {self.type} are not of one plan; against {self.first}:\n{listed}"


def type_of(plan: RunPlan) -> str | None:
    """Return the type of a run's machine: the key ``machine_type``, or EC2's; None if not known."""
    instance = plan.machine.ec2
    return plan.config.machine_type or (instance.instance_type if instance else None)


def machine_of(plan: RunPlan) -> str | None:
    """Return what tells a run's machine from others of its type; None if nothing does.

    EC2's instance goes first: a cluster gives a node that joins again another name. The folder's
    name counts where the user gave it, since a name that is made from the CPU is that of a type.
    """
    instance, config = plan.machine.ec2, plan.config
    return (instance.instance_id if instance else None) or config.machine_id or config.machine


def make_columns(runs: Sequence[ComparedRun], pool: bool = True) -> list[Column]:
    """Return the columns of a comparison, in the order of their first runs.

    Runs are pooled where they are on different machines of one type with one plan and one price. Runs
    on one machine of a type that has others in the comparison count as one machine. A run whose
    machine is not known is a column of its own.

    Args:
        pool: False makes every run a column of its own.
    """
    columns: list[Column] = []
    for members in _members(runs, pool):
        kind = type_of(members[0].plan)
        if len(members) == 1 or _unpooled(members) is not None:
            columns += [Column((run,), kind) for run in members]
        else:
            columns.append(Column(tuple(members), kind, _numbers(members)))
    return columns


def unpooled(runs: Sequence[ComparedRun]) -> list[Unpooled]:
    """Return the runs of one type that should be one column, and are not of one plan."""
    faults = [_unpooled(members) for members in _members(runs, True)]
    return [fault for fault in faults if fault is not None]


def _members(runs: Sequence[ComparedRun], pool: bool) -> list[list[ComparedRun]]:
    """Return the runs of each column, as far as types, machines and prices go."""
    groups: dict[object, list[ComparedRun]] = {}
    for at, run in enumerate(runs):
        kind, machine = type_of(run.plan), machine_of(run.plan)
        known = pool and kind is not None and machine is not None
        groups.setdefault((kind, run.price.per_hour) if known else at, []).append(run)
    members: list[list[ComparedRun]] = []
    for group in groups.values():
        several = len({machine_of(run.plan) for run in group}) > 1
        members += [group] if several else [[run] for run in group]
    return members


def _unpooled(members: Sequence[ComparedRun]) -> Unpooled | None:
    first = members[0]
    lines = [(run.name, tuple(pooling_differences(first.plan, run.plan))) for run in members[1:]]
    unlike = tuple((name, differences) for name, differences in lines if differences)
    return Unpooled(type_of(first.plan) or "", first.name, unlike) if unlike else None


def _numbers(members: Sequence[ComparedRun]) -> tuple[int, ...]:
    machines = [machine_of(run.plan) for run in members]
    known = list(dict.fromkeys(machines))
    return tuple(known.index(machine) for machine in machines)
