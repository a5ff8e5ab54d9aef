"""Cores shared out to instances: pure functions of a layout.

Instances are as large as each other, within one core. Whether they stay within a cache, a NUMA node or a
socket depends on their number: no instance crosses a boundary if that leaves at most ``IDLE`` of the
cores without work, and as few as possible cross it otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.errors import InputError
from harness.placement.layout import NO_NODE, Core, Layout

IDLE = 1 / 8  # more cores than this share stay idle: crossing a boundary costs less
CORES_EACH = (4, 2, 1)  # sizes of instances that ``auto`` tries
Boundary = Callable[[Core], tuple[int, ...]]


def _by_node(core: Core) -> tuple[int, ...]:
    return core.socket, core.node


BOUNDARIES: tuple[Boundary, ...] = (  # from the widest: each divides the domains of the one before
    lambda core: (),
    lambda core: (core.socket,),
    _by_node,
    lambda core: (core.socket, core.node, core.cache),
)


@dataclass(frozen=True)
class Placement:
    """The place of one instance.

    Attributes:
        cores: allowed logical CPUs of each of its physical cores.
        nodes: NUMA nodes that its cores are on; empty where the system lists none.
        sockets: sockets that its cores are on.
        memory_nodes: NUMA nodes to bind its memory to; empty where binding is of no use, because the
            nodes of its cores have no memory or are not listed.
    """

    cores: tuple[tuple[int, ...], ...]
    nodes: tuple[int, ...]
    sockets: tuple[int, ...]
    memory_nodes: tuple[int, ...]

    @property
    def cpus(self) -> tuple[int, ...]:
        """Its logical CPUs, ascending."""
        return tuple(sorted(cpu for core in self.cores for cpu in core))


@dataclass(frozen=True)
class Allocation:
    """The places of all instances.

    Attributes:
        placements: one for each instance.
        notes: what the reader of a figure must know of it, one sentence each.
    """

    placements: tuple[Placement, ...]
    notes: tuple[str, ...]


def instance_counts(layout: Layout) -> tuple[int, ...]:
    """Return the numbers of instances that ``auto`` stands for, ascending, without duplicates.

    They are 1, one for each NUMA node, and as many instances of 4, 2 and 1 cores as the nodes hold.
    """
    nodes = [len(cores) for cores in _domains(layout.cores, _by_node)]
    counts = {1, len(nodes)}
    for size in CORES_EACH:
        counts.add(sum(cores // size for cores in nodes) or max(1, len(layout.cores) // size))
    return tuple(sorted(counts))


def allocate(layout: Layout, instances: int, share_cores: bool = False) -> Allocation:
    """Share out the cores.

    Args:
        instances: how many, from 1 up.
        share_cores: allow more instances than physical cores; then logical CPUs are shared out, and
            SMT siblings may belong to two instances.

    Raises:
        InputError: there are fewer cores than instances, or fewer CPUs if cores may be shared.
    """
    units = layout.cores
    shared = share_cores and instances > len(units)
    if shared:
        units = tuple(
            Core(core.socket, core.node, core.cache, (cpu,)) for core in units for cpu in core.cpus
        )
    if not 1 <= instances <= len(units):
        kind = "logical CPUs" if share_cores else "physical cores"
        raise InputError(
            f"protocol.instances={instances}: this process may use {len(units)} {kind}, and an "
            f"instance needs one of its own; choose 1 to {len(units)} instances"
        )
    shares = next(
        shares
        for first in reversed(range(len(BOUNDARIES)))
        for end in range(len(BOUNDARIES), first, -1)
        if (shares := _largest_shares(units, instances, BOUNDARIES[first:end]))
        and sum(map(len, shares)) >= (1 - IDLE) * len(units)
    )
    placements = tuple(placement_of(share, layout.memory_nodes) for share in shares)
    notes = [*_crossings(placements), *_idleness(placements, len(units))]
    if shared:
        notes.append(f"{instances} instances share {len(layout.cores)} physical cores")
    return Allocation(placements, tuple(notes))


def _domains(cores: Sequence[Core], boundary: Boundary) -> list[list[Core]]:
    """Group cores by a boundary, in their order."""
    domains: dict[tuple[int, ...], list[Core]] = {}
    for core in cores:
        domains.setdefault(boundary(core), []).append(core)
    return list(domains.values())


def _largest_shares(
    cores: Sequence[Core], instances: int, boundaries: Sequence[Boundary]
) -> list[Sequence[Core]]:
    """Return the cores of each instance; none if the first boundary cannot be kept.

    The smallest instance is as large as the first boundary allows; those after it are kept where
    instances of that size can keep them.
    """
    domains = _domains(cores, boundaries[0])
    for size in range(len(cores) // instances, 0, -1):
        if _room(domains, size) >= instances:
            return _shares(cores, instances, size, boundaries)
    return []


def _room(domains: Sequence[Sequence[Core]], size: int) -> int:
    """Return how many instances of a size the domains hold."""
    return sum(len(domain) // size for domain in domains)


def _shares(
    cores: Sequence[Core], instances: int, size: int, boundaries: Sequence[Boundary]
) -> list[Sequence[Core]]:
    """Return the cores of instances of ``size`` cores or one more."""
    domains = _domains(cores, boundaries[0]) if boundaries else []
    if _room(domains, size) < instances:
        ends, end = [0], 0
        for number in range(instances):
            end += size + (number < len(cores) - instances * size)
            ends.append(end)
        return [cores[start:end] for start, end in zip(ends, ends[1:])]
    counts = [0] * len(domains)
    for _ in range(instances):  # to the domain that leaves most cores for each of its instances
        open_ones = [
            number for number, domain in enumerate(domains) if len(domain) // size > counts[number]
        ]
        roomiest = max(
            open_ones,
            key=lambda number: (len(domains[number]) / (counts[number] + 1), -counts[number]),
        )
        counts[roomiest] += 1
    return [
        share
        for domain, count in zip(domains, counts)
        if count
        for share in _shares(domain, count, size, boundaries[1:])
    ]


def placement_of(cores: Sequence[Core], memory_nodes: frozenset[int]) -> Placement:
    """Return the place of an instance on some cores.

    Args:
        memory_nodes: the NUMA nodes that have memory (``Layout.memory_nodes``).
    """
    nodes = {core.node for core in cores} - {NO_NODE}
    return Placement(
        cores=tuple(core.cpus for core in cores),
        nodes=tuple(sorted(nodes)),
        sockets=tuple(sorted({core.socket for core in cores})),
        memory_nodes=tuple(sorted(nodes & memory_nodes)),
    )


def _crossings(placements: Sequence[Placement]) -> list[str]:
    """Return which instances cross sockets, or else nodes, although there are enough of them for each."""
    for kind, places in (
        ("sockets", [placement.sockets for placement in placements]),
        ("NUMA nodes", [placement.nodes for placement in placements]),
    ):
        if len(placements) < len({place for several in places for place in several}):
            continue
        numbers = [str(number) for number, several in enumerate(places, 1) if len(several) > 1]
        if numbers:
            return [
                f"of {len(placements)} instances, these have cores on several {kind}: "
                f"{', '.join(numbers)}"
            ]
    return []


def _idleness(placements: Sequence[Placement], units: int) -> list[str]:
    idle = units - sum(len(placement.cores) for placement in placements)
    return [f"{idle} of {units} cores are idle, so that instances are of one size"] if idle else []
