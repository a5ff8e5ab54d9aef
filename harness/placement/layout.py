"""How the cores that this process may use lie: sockets, NUMA nodes and shared caches."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness.host.system_files import CPUS, ROOT, parse_cpu_list, read_text
from harness.host.topology import Topology

NODES = "sys/devices/system/node"
NO_NODE = -1  # of a CPU on a machine that lists no nodes


@dataclass(frozen=True, order=True)
class Core:
    """A physical core.

    Attributes:
        socket: number of its socket; 0 where the system does not list it.
        node: number of its NUMA node, or NO_NODE. A sub-NUMA cluster is a node.
        cache: lowest CPU that shares its last-level cache; -1 where the system does not list it.
        cpus: its logical CPUs that this process may use, ascending.
    """

    socket: int
    node: int
    cache: int
    cpus: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """The cores to share out.

    Attributes:
        cores: as many as can run at full speed at once, ordered so that neighbours share the most.
        memory_nodes: NUMA nodes with memory that this process may use.
    """

    cores: tuple[Core, ...]
    memory_nodes: frozenset[int] = frozenset()


def read_layout(topology: Topology, root: Path = ROOT) -> Layout:
    """Return the layout of the cores of a topology.

    A CPU quota or a smaller cpuset leaves the first ``topology.usable_cores`` of them, so that one
    instance is what one process is.

    Args:
        topology: from ``read_topology``; it holds neither offline CPUs nor CPUs outside the cpuset.
    """
    node_of = _nodes(root)
    cores = sorted(
        Core(
            socket=_socket(root, cpus[0]),
            node=node_of.get(cpus[0], NO_NODE),
            cache=_cache(root, cpus[0]),
            cpus=cpus,
        )
        for cpus in topology.cores[: topology.usable_cores]
    )
    return Layout(cores=tuple(cores), memory_nodes=frozenset(_memory_nodes(root)))


def _nodes(root: Path) -> dict[int, int]:
    """Return the NUMA node of each CPU."""
    nodes = {}
    for folder in sorted((root / NODES).glob("node*")):
        if re.fullmatch(r"node\d+", folder.name):
            for cpu in parse_cpu_list(read_text(folder / "cpulist") or ""):
                nodes[cpu] = int(folder.name[4:])
    return nodes


def _memory_nodes(root: Path) -> set[int]:
    """Return the NUMA nodes that have memory and whose memory the cpuset allows."""
    nodes = parse_cpu_list(read_text(root / NODES / "has_memory") or "")
    status = read_text(root / "proc/self/status") or ""
    allowed = re.search(r"^Mems_allowed_list:\s*(\S+)", status, re.MULTILINE)
    return nodes & parse_cpu_list(allowed[1]) if allowed else nodes


def _socket(root: Path, cpu: int) -> int:
    text = read_text(root / CPUS / f"cpu{cpu}/topology/physical_package_id") or ""
    return int(text) if text.isdecimal() else 0


def _cache(root: Path, cpu: int) -> int:
    """Return the lowest CPU that shares the last-level cache of a CPU; -1 if it is not listed."""
    caches = (root / CPUS / f"cpu{cpu}/cache").glob("index*")
    levels = {int(read_text(folder / "level") or 0): folder for folder in caches}
    if not levels or max(levels) < 3:  # the first levels belong to one core
        return -1
    shared = parse_cpu_list(read_text(levels[max(levels)] / "shared_cpu_list") or "")
    return min(shared, default=-1)
