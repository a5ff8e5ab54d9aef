"""The splits of a machine that a run measures, and how the workers of each are started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import InputError
from harness.facts.machine_facts import ThreadSettings
from harness.host import threads
from harness.host.topology import Topology, read_topology
from harness.placement.allocation import Placement, allocate, instance_counts, placement_of
from harness.placement.layout import Layout, read_layout
from harness.storage.configuration import Configuration
from harness.storage.record import Split


@dataclass(frozen=True)
class PlacedSplit:
    """A split, and the place of each of its instances.

    Attributes:
        notes: what the reader of its figures must know, one sentence each.
    """

    split: Split
    placements: tuple[Placement, ...]
    notes: tuple[str, ...] = ()


def placed_splits(config: Configuration, topology: Topology) -> list[PlacedSplit]:
    """Return the splits that a configuration asks for, without duplicates.

    ``protocol.instances`` shares all cores out; ``threads.sweep`` gives one process its first cores.

    Raises:
        InputError: there are fewer cores than an instance each, or than threads.
    """
    protocol, sweep = config.protocol, config.threads.sweep or ()
    if not protocol.instances and not sweep:
        return []
    layout = read_layout(topology)
    counts = protocol.instances or ()
    if counts == "auto":
        counts = instance_counts(layout)
    splits = [_shared_out(layout, count, bool(protocol.share_cores)) for count in counts]
    splits += [_first_cores(layout, count) for count in sweep]
    return list({placed.split: placed for placed in splits}.values())


def _shared_out(layout: Layout, instances: int, share_cores: bool) -> PlacedSplit:
    allocation = allocate(layout, instances, share_cores)
    total = sum(len(placement.cores) for placement in allocation.placements)
    return PlacedSplit(Split(instances, total), allocation.placements, allocation.notes)


def _first_cores(layout: Layout, count: int) -> PlacedSplit:
    cores = len(layout.cores)
    if count > cores:
        raise InputError(
            f"threads.sweep={count}: this process may use {cores} core(s), and each thread gets one of "
            f"its own; use numbers from 1 to {cores}"
        )
    placement = placement_of(layout.cores[:count], layout.memory_nodes)
    return PlacedSplit(Split(1, count), (placement,))


def instance_settings(
    config: Configuration, placement: Placement
) -> tuple[ThreadSettings, list[int]]:
    """Return the thread settings of an instance, and the CPU of each thread of an engine."""
    topology = read_topology(affinity=placement.cpus)
    section = {**config.threads.stored, "count": len(placement.cores)}
    settings = threads.resolve(section, topology, threads.find_kmp_library())
    return settings, threads.engine_cpus(settings, topology) or []


def notes_of(splits: Sequence[PlacedSplit]) -> tuple[str, ...]:
    """Return what the reader must know of splits, each sentence with the split that it is of."""
    return tuple(f"{placed.split}: {note}" for placed in splits for note in placed.notes)
