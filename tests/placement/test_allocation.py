"""Which cores and memory instances get: a large machine made of files, and any layout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.host.topology import read_topology
from harness.placement.allocation import Allocation, allocate, instance_counts
from harness.placement.layout import Core, Layout, read_layout

PER_NODE = 16  # cores of a sub-NUMA cluster


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def spelled(cpus: Iterable[int]) -> str:
    return ",".join(map(str, sorted(cpus)))


def write_xeon(root: Path, offline: Iterable[int] = (), hole: int = 0, memory: str = "0-3") -> None:
    """Write 2 sockets of 32 cores with 2 threads, each socket as two clusters of 16 cores.

    Core c has the CPUs c and 64 + hole + c: ``hole`` numbers between the threads belong to no CPU.
    """
    online = {*range(64), *range(64 + hole, 128 + hole)} - set(offline)
    for core in range(64):
        node, socket = core // PER_NODE, core // 32
        pair = {core, 64 + hole + core}
        cluster = range(PER_NODE * node, PER_NODE * (node + 1))
        shared = ({*cluster, *(64 + hole + other for other in cluster)}) & online
        for cpu in pair & online:
            folder = f"sys/devices/system/cpu/cpu{cpu}"
            write(
                root,
                {
                    f"{folder}/topology/thread_siblings_list": spelled(pair & online),
                    f"{folder}/topology/physical_package_id": str(socket),
                    f"{folder}/cache/index0/level": "1",
                    f"{folder}/cache/index3/level": "3",
                    f"{folder}/cache/index3/shared_cpu_list": spelled(shared),
                },
            )
        write(root, {f"sys/devices/system/node/node{node}/cpulist": spelled(shared)})
    write(
        root,
        {
            "sys/devices/system/cpu/online": spelled(online),
            "sys/devices/system/node/has_memory": memory,
            "proc/self/status": f"Mems_allowed_list:\t{memory}\n",
        },
    )


def cores_of(allocation: Allocation) -> list[list[int]]:
    """Return the first CPU of each core, by instance."""
    return [[cpus[0] for cpus in placement.cores] for placement in allocation.placements]


def test_two_sockets_with_sub_numa_clusters(tmp_path: Path) -> None:
    write_xeon(tmp_path)
    layout = read_layout(read_topology(tmp_path, affinity=range(128)), tmp_path)
    assert instance_counts(layout) == (1, 4, 16, 32, 64)
    for count in (1, 2, 4, 8, 16, 32, 64):
        allocation = allocate(layout, count)
        size = 64 // count
        assert cores_of(allocation) == [
            list(range(size * number, size * (number + 1))) for number in range(count)
        ]
        assert allocation.notes == ()
        for number, placement in enumerate(allocation.placements):
            first, last = size * number, size * (number + 1) - 1
            nodes = tuple(range(first // 16, last // 16 + 1))
            assert placement.nodes == placement.memory_nodes == nodes
            assert placement.sockets == tuple(range(first // 32, last // 32 + 1))
            assert set(placement.cpus) == {
                cpu + thread for cpu in range(first, last + 1) for thread in (0, 64)
            }


def test_offline_cpus_holes_and_a_cpuset(tmp_path: Path) -> None:
    """Whole core 5 and one thread of core 20 are offline, and the cpuset lacks cores 40 to 47.

    Threads have the numbers from 100 on. Left are 15, 16, 8 and 16 cores of the four clusters.
    """
    write_xeon(tmp_path, offline={5, 105, 120}, hole=36)
    cpuset = {*range(40), *range(48, 64), *range(100, 140), *range(148, 164)}
    affinity = cpuset - {5, 105, 120}  # the kernel keeps it within both
    layout = read_layout(read_topology(tmp_path, affinity=affinity), tmp_path)
    assert instance_counts(layout) == (1, 4, 13, 27, 55)

    (everything,) = allocate(layout, 1).placements
    assert set(everything.cpus) == affinity and everything.memory_nodes == (0, 1, 2, 3)
    assert (20,) in everything.cores and (21, 121) in everything.cores

    clusters = [[*range(5), *range(6, 16)], [*range(16, 32)], [*range(32, 40)], [*range(48, 64)]]
    four = allocate(layout, 4)  # in a cluster each they would have 8 or 9 of 55 cores
    assert cores_of(four) == [
        clusters[0][:13],
        clusters[1][:13],
        [*range(32, 40), *range(48, 52)],
        [*range(52, 64)],
    ]
    assert [placement.nodes for placement in four.placements] == [(0,), (1,), (2, 3), (3,)]
    assert [placement.memory_nodes for placement in four.placements] == [(0,), (1,), (2, 3), (3,)]
    assert four.notes == (
        "of 4 instances, these have cores on several NUMA nodes: 3",
        "5 of 55 cores are idle, so that instances are of one size",
    )

    thirteen = allocate(layout, 13)
    expected = [
        [[0, 1, 2, 3, 4], [6, 7, 8, 9, 10], [11, 12, 13, 14, 15]],
        [[16, 17, 18, 19], [20, 21, 22, 23], [24, 25, 26, 27], [28, 29, 30, 31]],
        [[32, 33, 34, 35], [36, 37, 38, 39]],
        [[48, 49, 50, 51], [52, 53, 54, 55], [56, 57, 58, 59], [60, 61, 62, 63]],
    ]
    assert cores_of(thirteen) == [share for node in expected for share in node]
    assert thirteen.notes == ()
    nodes = [placement.nodes for placement in thirteen.placements]
    assert nodes == [(0,)] * 3 + [(1,)] * 4 + [(2,)] * 2 + [(3,)] * 4

    twenty_seven = allocate(layout, 27)
    assert [len(share) for share in cores_of(twenty_seven)] == [3] + [2] * 26
    assert {len(placement.nodes) for placement in twenty_seven.placements} == {1}
    assert cores_of(allocate(layout, 55)) == [[core] for node in clusters for core in node]


def test_memory_only_of_nodes_that_have_it(tmp_path: Path) -> None:
    write_xeon(tmp_path, memory="0,2")
    layout = read_layout(read_topology(tmp_path, affinity=range(128)), tmp_path)
    assert [place.memory_nodes for place in allocate(layout, 4).placements] == [(0,), (), (2,), ()]
    assert [place.memory_nodes for place in allocate(layout, 2).placements] == [(0,), (2,)]
    write(tmp_path, {"proc/self/status": "Mems_allowed_list:\t2-3\n"})
    layout = read_layout(read_topology(tmp_path, affinity=range(128)), tmp_path)
    assert [place.memory_nodes for place in allocate(layout, 4).placements] == [(), (), (2,), ()]


def test_a_quota_leaves_the_first_cores(tmp_path: Path) -> None:
    write_xeon(tmp_path)
    group = "sys/fs/cgroup"
    mount = "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
    write(tmp_path, {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": mount})
    write(tmp_path, {f"{group}/cpu.max": "650000 100000\n"})
    layout = read_layout(read_topology(tmp_path, affinity=range(128)), tmp_path)
    assert instance_counts(layout) == (1, 3, 6)
    assert cores_of(allocate(layout, 3)) == [[0, 1], [2, 3], [4, 5]]


def test_a_number_that_would_leave_much_idle_crosses_boundaries(tmp_path: Path) -> None:
    write_xeon(tmp_path)
    layout = read_layout(read_topology(tmp_path, affinity=range(128)), tmp_path)
    three = allocate(layout, 3)
    assert [len(share) for share in cores_of(three)] == [22, 21, 21]
    assert three.notes == ("of 3 instances, these have cores on several sockets: 2",)
    six = allocate(layout, 6)  # three on each socket
    assert [placement.sockets for placement in six.placements] == [(0,)] * 3 + [(1,)] * 3
    assert six.notes == ("of 6 instances, these have cores on several NUMA nodes: 2, 5",)


def test_cores_that_cannot_be_shared_evenly_are_idle(tmp_path: Path) -> None:
    write_xeon(tmp_path)
    allowed = {*range(12), *range(16, 32)}
    layout = read_layout(read_topology(tmp_path, affinity=allowed), tmp_path)
    two = allocate(layout, 2)
    assert [len(share) for share in cores_of(two)] == [12, 13]
    assert [placement.nodes for placement in two.placements] == [(0,), (1,)]
    assert two.notes == ("3 of 28 cores are idle, so that instances are of one size",)


def test_a_node_of_one_core_is_not_an_instance_of_its_own() -> None:
    layout = Layout(tuple(Core(0, node, -1, (node,)) for node in range(3)))
    assert cores_of(allocate(layout, 2)) == [[0, 1], [2]]


def test_caches_within_a_node_are_kept_too() -> None:
    """As on a CPU with a cache for each group of 8 cores."""
    layout = Layout(tuple(Core(0, 0, cpu // 8 * 8, (cpu,)) for cpu in range(24)))
    assert cores_of(allocate(layout, 3)) == [[*range(8)], [*range(8, 16)], [*range(16, 24)]]
    layout = Layout(tuple(Core(0, 0, cpu // 8 * 8, (cpu,)) for cpu in range(23)))
    assert cores_of(allocate(layout, 3))[1:] == [[*range(8, 16)], [*range(16, 23)]]


def test_cores_are_shared_only_where_that_is_allowed() -> None:
    layout = Layout((Core(0, 0, -1, (0, 2)), Core(0, 0, -1, (1, 3))))
    with pytest.raises(InputError, match=r"may use 2 physical cores.*choose 1 to 2"):
        allocate(layout, 3)
    three = allocate(layout, 3, share_cores=True)
    assert [place.cpus for place in three.placements] == [(0, 2), (1,), (3,)]
    assert three.notes == ("3 instances share 2 physical cores",)
    with pytest.raises(InputError, match=r"may use 4 logical CPUs.*choose 1 to 4"):
        allocate(layout, 5, share_cores=True)
    assert allocate(layout, 2, share_cores=True) == allocate(layout, 2)


def test_a_system_that_lists_nothing(tmp_path: Path) -> None:
    layout = read_layout(read_topology(tmp_path, affinity={3, 8}), tmp_path)
    assert instance_counts(layout) == (1, 2)
    two = allocate(layout, 2)
    assert [place.cpus for place in two.placements] == [(3,), (8,)]
    assert [place.memory_nodes for place in two.placements] == [(), ()]


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Return up to 4 sockets of up to 4 nodes of up to 9 cores of 1 or 2 threads, in any numbering."""
    sockets = draw(
        st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=4), min_size=1, max_size=4)
    )
    threads = [
        (socket, node, draw(st.integers(1, 2)))
        for socket, nodes in enumerate(sockets)
        for node, count in enumerate(nodes)
        for _ in range(count)
    ]
    total = sum(count for _, _, count in threads)
    numbers = iter(draw(st.permutations(range(total * 2)))[:total])
    cores = [
        Core(socket, 10 * socket + node, -1, tuple(sorted(next(numbers) for _ in range(count))))
        for socket, node, count in threads
    ]
    return Layout(tuple(sorted(cores)), frozenset(core.node for core in cores if core.node % 10))


@given(layouts(), st.data())
def test_instances_are_disjoint_and_of_one_size(layout: Layout, data: st.DataObject) -> None:
    count = data.draw(
        st.one_of(st.integers(1, len(layout.cores)), st.sampled_from(instance_counts(layout)))
    )
    allocation = allocate(layout, count)
    shares = [placement.cores for placement in allocation.placements]
    sizes = {len(share) for share in shares}
    assert len(shares) == count and max(sizes) - min(sizes) <= 1
    used = [core for share in shares for core in share]
    assert len(set(used)) == len(used)  # no core twice
    assert set(used) <= {core.cpus for core in layout.cores}  # whole cores of those allowed
    unused = [core.cpus for core in layout.cores if core.cpus not in used]
    told = [note for note in allocation.notes if "are idle" in note]
    idle = f"{len(unused)} of {len(layout.cores)} cores are idle, so that instances are of one size"
    assert told == ([idle] if unused else [])
    assert len(unused) <= len(layout.cores) / 8
    node_of = {core.cpus: core.node for core in layout.cores}
    for placement in allocation.placements:
        nodes = {node_of[core] for core in placement.cores}
        assert placement.nodes == tuple(sorted(nodes))
        assert set(placement.memory_nodes) == nodes & layout.memory_nodes


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))
def test_no_node_is_crossed_where_all_are_of_one_size(
    sockets: int, nodes: int, size: int, instances: int
) -> None:
    cores = (
        Core(socket, nodes * socket + node, -1, (size * (nodes * socket + node) + core,))
        for socket in range(sockets)
        for node in range(nodes)
        for core in range(size)
    )
    in_a_node = min(instances, size)
    allocation = allocate(Layout(tuple(cores)), sockets * nodes * in_a_node)
    assert allocation.notes == ()
    assert {len(placement.nodes) for placement in allocation.placements} == {1}


@given(layouts(), st.data())
def test_shared_cores_are_disjoint_cpus(layout: Layout, data: st.DataObject) -> None:
    cpus = [cpu for core in layout.cores for cpu in core.cpus]
    count = data.draw(st.integers(1, len(cpus)))
    placed = [place.cpus for place in allocate(layout, count, share_cores=True).placements]
    used = [cpu for place in placed for cpu in place]
    assert len(placed) == count and min(map(len, placed)) >= 1
    assert len(set(used)) == len(used) and set(used) <= set(cpus)


@given(layouts())
def test_counts_of_auto_are_possible_and_ascend(layout: Layout) -> None:
    counts = instance_counts(layout)
    assert counts[0] == 1 and counts[-1] == len(layout.cores)
    assert list(counts) == sorted(set(counts))
