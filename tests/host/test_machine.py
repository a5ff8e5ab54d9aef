"""Machines made of files: what is read from /proc, /sys and the control groups."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.facts.machine_facts import Machine
from harness.facts.typed import changed, decode
from harness.host.machine import describe, machine_name
from harness.host.memory import free_memory
from harness.host.system_files import parse_cpu_list
from harness.host.topology import Topology, allowed_cpus, read_topology
from helpers import sample_records

V2_MOUNT = "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
XEON = "Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz"
XEON_FLAGS = "fpu sse4_1 avx avx2 avx512f avx512bw avx512_vnni"


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def cpus_of(root: Path, cores: Iterable[tuple[int, tuple[int, ...]]]) -> None:
    """Write the topology of cores, each a socket and its CPUs."""
    seen: list[int] = []
    for socket, cpus in cores:
        for cpu in cpus:
            folder = f"sys/devices/system/cpu/cpu{cpu}/topology"
            write(root, {f"{folder}/thread_siblings_list": ",".join(map(str, cpus)) + "\n"})
            write(root, {f"{folder}/physical_package_id": f"{socket}\n"})
            seen.append(cpu)
    write(root, {"sys/devices/system/cpu/online": f"{min(seen)}-{max(seen)}\n"})


def cpuinfo(count: int, model: str, vendor: str, flags: str) -> str:
    block = (
        f"vendor_id\t: {vendor}\ncpu family\t: 6\nmodel\t\t: 106\nmodel name\t: {model}\n"
        f"stepping\t: 6\nmicrocode\t: 0xd0003a5\ncpu MHz\t\t: 2900.000\nflags\t\t: {flags}\n"
    )
    return "\n".join(f"processor\t: {cpu}\n{block}" for cpu in range(count))


@pytest.fixture
def xeon(tmp_path: Path) -> Path:
    """Two sockets of 4 cores with SMT: CPUs 0-3 and 8-11 on socket 0, 4-7 and 12-15 on 1."""
    cpus_of(tmp_path, ((core // 4, (core, core + 8)) for core in range(8)))
    cpu0 = "sys/devices/system/cpu/cpu0"
    write(
        tmp_path,
        {
            "proc/cpuinfo": cpuinfo(16, XEON, "GenuineIntel", XEON_FLAGS),
            "proc/meminfo": "MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 600 kB\nSwapTotal: 4 kB\n",
            "proc/self/limits": (
                "Limit                     Soft Limit           Hard Limit           Units     \n"
                "Max cpu time              unlimited            unlimited            seconds   \n"
                "Max open files            1024                 1048576              files     \n"
                "Max nice priority         0                    0                    \n"
            ),
            "proc/loadavg": "0.42 0.30 0.20 1/200 999\n",
            "proc/sys/kernel/osrelease": "6.1.0\n",
            "proc/sys/kernel/hostname": "lab\n",
            "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
            f"{cpu0}/cache/index0/level": "1\n",
            f"{cpu0}/cache/index0/type": "Data\n",
            f"{cpu0}/cache/index0/size": "48K\n",
            f"{cpu0}/cache/index1/level": "3\n",
            f"{cpu0}/cache/index1/type": "Unified\n",
            f"{cpu0}/cache/index1/size": "54M\n",
            f"{cpu0}/cpufreq/scaling_governor": "powersave\n",
            f"{cpu0}/cpufreq/cpuinfo_max_freq": "3500000\n",
            "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance\n",
            "sys/devices/system/cpu/intel_pstate/no_turbo": "0\n",
            "sys/devices/system/node/node0/cpulist": "0-3,8-11\n",
            "sys/devices/system/node/node1/cpulist": "4-7,12-15\n",
        },
    )
    return tmp_path


def most_cpus(topology: Topology) -> int:
    """Return how many CPUs the fullest core has; more than 1 is SMT."""
    return max(map(len, topology.cores))


def test_xeon_with_two_sockets_and_smt(xeon: Path) -> None:
    topology = read_topology(xeon, affinity=range(16))
    assert topology.cores == tuple((core, core + 8) for core in range(8))
    assert (topology.sockets, topology.physical_cores, most_cpus(topology)) == (2, 8, 2)
    assert (topology.cpu_quota, topology.usable_cores) == (None, 8)


def test_affinity_leaves_one_socket_without_smt(xeon: Path) -> None:
    topology = read_topology(xeon, affinity=range(4, 8))
    assert topology.cores == ((4,), (5,), (6,), (7,))
    assert (topology.sockets, most_cpus(topology)) == (1, 1)


LXCFS = {"sys/devices/system/cpu/online": "0-3\n"}  # as many as are allowed, numbered from 0


def test_the_affinity_counts_where_online_is_renumbered(tmp_path: Path) -> None:
    cpus_of(tmp_path, ((0, (cpu,)) for cpu in range(8)))
    write(tmp_path, LXCFS)
    topology = read_topology(tmp_path, affinity={1, 2, 5, 6})
    assert topology.cores == ((1,), (2,), (5,), (6,))
    assert (topology.usable_cores, topology.unassigned_cpus) == (4, ())
    assert describe(tmp_path, affinity={1, 2, 5, 6}).cores == 4


def test_renumbered_cpuinfo_tells_no_cores(tmp_path: Path) -> None:
    """Its four CPUs are 1, 2, 5 and 6 in truth; two of them happen to have numbers of others."""
    text = "\n".join(f"processor\t: {n}\nphysical id\t: 0\ncore id\t: 0\n" for n in range(4))
    write(tmp_path, {**LXCFS, "proc/cpuinfo": text})
    topology = read_topology(tmp_path, affinity={1, 2, 5, 6})
    assert topology.cores == ((1,), (2,), (5,), (6,))
    assert topology.unassigned_cpus == (1, 2, 5, 6)


def test_a_cpu_without_a_topology_is_a_core_of_its_own(tmp_path: Path) -> None:
    """Such as one that was plugged in later, with a number far away."""
    cpus_of(tmp_path, [(0, (0, 1)), (0, (2, 3))])
    topology = read_topology(tmp_path, affinity={0, 1, 2, 3, 1500, 2047})
    assert topology.cores == ((0, 1), (2, 3), (1500,), (2047,))
    assert (topology.usable_cores, topology.unassigned_cpus) == (4, (1500, 2047))


@pytest.mark.parametrize("sys_tree", ["missing", "empty"])
def test_without_sys_and_cpuinfo_each_cpu_is_a_core(tmp_path: Path, sys_tree: str) -> None:
    if sys_tree == "empty":
        write(tmp_path, {"sys/devices/system/cpu/online": ""})
        write(tmp_path, {f"sys/devices/system/cpu/cpu{cpu}/online": "" for cpu in range(4)})
    topology = read_topology(tmp_path, affinity={0, 3})
    assert topology.cores == ((0,), (3,)) and topology.unassigned_cpus == (0, 3)


def test_siblings_that_are_offline_or_not_allowed_do_not_count(tmp_path: Path) -> None:
    cpus_of(tmp_path, [(0, (0, 4)), (0, (1, 5)), (0, (2, 6)), (0, (3, 7))])
    topology = read_topology(tmp_path, affinity={0, 1, 5, 6})
    assert topology.cores == ((0,), (1, 5), (6,))
    assert (topology.usable_cores, most_cpus(topology)) == (3, 2)


def test_siblings_that_contradict_each_other_are_one_core(tmp_path: Path) -> None:
    """No CPU is in two cores, whichever of them says that they belong together."""
    cpus_of(tmp_path, [(0, (0,)), (0, (1,)), (0, (2,))])
    listed = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    write(tmp_path, {listed.format(1): "0-1,900\n"})
    topology = read_topology(tmp_path, affinity={0, 1, 2})
    assert topology.cores == ((0, 1), (2,))


def test_hybrid_cores(tmp_path: Path) -> None:
    """Two cores with two threads, four with one."""
    cpus_of(tmp_path, [(0, (0, 1)), (0, (2, 3)), *((0, (cpu,)) for cpu in range(4, 8))])
    topology = read_topology(tmp_path, affinity=range(8))
    assert topology.cores == ((0, 1), (2, 3), (4,), (5,), (6,), (7,))
    assert topology.usable_cores == 6


def test_sparse_numbers_and_more_cpus_than_a_mask_of_1024(tmp_path: Path) -> None:
    cores = [(n % 2, (2 * n, 2 * n + 3000)) for n in range(800)]
    cpus_of(tmp_path, cores)
    topology = read_topology(tmp_path, affinity=[cpu for _, cpus in cores for cpu in cpus])
    assert (topology.physical_cores, len(topology.allowed_cpus)) == (800, 1600)
    assert (topology.sockets, topology.unassigned_cpus) == (2, ())


def test_allowed_cpus_where_the_call_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "sched_getaffinity", refuse)
    write(tmp_path, {"proc/self/status": "Name:\tx\nCpus_allowed_list:\t1-2,1030\n"})
    write(tmp_path, {"proc/77/status": "Cpus_allowed_list:\t2\n"})
    assert allowed_cpus(root=tmp_path) == {1, 2, 1030}
    assert allowed_cpus(77, root=tmp_path) == {2}
    with pytest.raises(PermissionError):
        allowed_cpus(78, root=tmp_path)


MACHINE = decode(sample_records.MACHINE, Machine)
GIB = 1 << 30


def memory(available: int, groups: Mapping[str, str], version: int) -> dict[str, str]:
    """Return the files of a process in group /a/b that has MemAvailable GiB and these groups' files."""
    kind = "cgroup2 cgroup2 rw" if version == 2 else "cgroup cgroup rw,memory"
    return {
        "proc/meminfo": f"MemTotal: {64 << 20} kB\nMemAvailable: {available << 20} kB\n",
        "proc/self/cgroup": "0::/a/b\n" if version == 2 else "5:memory:/a/b\n",
        "proc/self/mountinfo": f"30 20 0:26 / /sys/fs/cgroup rw - {kind}\n",
        **{f"sys/fs/cgroup/{name}": text for name, text in groups.items()},
    }


@pytest.mark.parametrize(
    ("groups", "free"),
    [
        ({}, 50),
        ({"a/b": (8, 3, 0)}, 5),
        ({"a/b": (8, 8, 2)}, 2),  # files that were read can go
        ({"a/b": (8, 9, 0)}, 0),  # over its limit
        ({"a": (8, 7, 0), "a/b": (16, 1, 0)}, 1),  # what others of the group above use counts
        ({"a": (None, 40, 0), "a/b": (16, 1, 0)}, 15),
        ({"a/b": (100, 1, 0)}, 50),
        ({"a/b": (8, 1, 3)}, 8),  # more cached than used: read at two moments
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_free_memory_is_the_least_of_all_groups(
    tmp_path: Path, groups: dict[str, tuple[int | None, int, int]], free: int, version: int
) -> None:
    names = ("memory.max", "memory.current") if version == 2 else (
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
    )  # fmt: skip
    nothing = "max" if version == 2 else "9223372036854771712"
    files = {}
    for group, (limit, usage, cached) in groups.items():
        files[f"{group}/{names[0]}"] = nothing if limit is None else f"{limit * GIB}\n"
        files[f"{group}/{names[1]}"] = f"{usage * GIB}\n"
        of_all = "total_" if version == 1 else ""
        files[f"{group}/memory.stat"] = (
            f"inactive_file {0 if version == 1 else cached * GIB}\nanon 5\n"
            f"{of_all}active_file 0\n{of_all}inactive_file {cached * GIB}\n"
        )
    write(tmp_path, memory(50, files, version))
    assert free_memory(tmp_path) == free * GIB
    assert describe(tmp_path, affinity=[0]).memory_available_bytes == free * GIB


def test_free_memory_that_only_a_group_tells(tmp_path: Path) -> None:
    files = memory(50, {"a/b/memory.max": f"{GIB}\n", "a/b/memory.current": "0\n"}, 2)
    write(tmp_path, {**files, "proc/meminfo": "MemTotal: 9 kB\n"})
    assert free_memory(tmp_path) == GIB
    write(tmp_path, {"sys/fs/cgroup/a/b/memory.max": "max\n"})
    assert free_memory(tmp_path) is None


def test_xeon_description(xeon: Path) -> None:
    description = describe(xeon, affinity=range(4))
    assert decode(json.loads(json.dumps(description.stored)), Machine) == description
    told = {
        "cpu_model": XEON,
        "cpu_family": 6,
        "cpu_model_number": 106,
        "microcode": "0xd0003a5",
        "isa": ["SSE4.1", "AVX", "AVX2", "AVX512F", "AVX512BW", "AVX512-VNNI"],
        "cache_bytes": {"L1d": 48 << 10, "L3": 54 << 20},
        "sockets": 2,
        "cores": 8,
        "threads_per_core": 2,
        "numa_nodes": 2,
        "allowed_cpus": [0, 1, 2, 3],
        "allowed_cores": 4,
        "usable_cores": 4,
        "memory_total_bytes": 1000 * 1024,
        "memory_available_bytes": 600 * 1024,
        "memory_limit_bytes": None,
        "swap_total_bytes": 4096,
        "limits": {"cpu_s": None, "open_files": 1024},
        "governor": "performance, powersave",
        "turbo": True,
        "mhz": 2900.0,
        "max_mhz": 3500.0,
        "load_1min": 0.42,
        "virtual": False,
        "hypervisor": None,
        "os": "Debian GNU/Linux 12 (bookworm)",
        "hostname": "lab",
    }
    assert {name: description.stored[name] for name in told} == told
    assert machine_name(description) == "intel-xeon-platinum-8375c-4c"


def test_amd_in_a_virtual_machine(tmp_path: Path) -> None:
    cpus_of(tmp_path, [(0, (0, 1)), (0, (2, 3))])
    flags = "avx2 avx512f avx512_vnni avx512_bf16 hypervisor"
    write(
        tmp_path,
        {
            "proc/cpuinfo": cpuinfo(4, "AMD EPYC 9R14", "AuthenticAMD", flags),
            "sys/devices/system/cpu/cpufreq/boost": "0\n",
            "sys/class/dmi/id/sys_vendor": "Amazon EC2\n",
            "sys/class/dmi/id/product_name": "c7a.xlarge\n",
        },
    )
    description = describe(tmp_path, affinity=range(4))
    assert description.isa == ["AVX2", "AVX512F", "AVX512-VNNI", "AVX512-BF16"]
    assert (description.turbo, description.governor) == (False, None)
    assert (description.virtual, description.hypervisor) == (True, "Amazon EC2 c7a.xlarge")
    assert machine_name(description) == "amd-epyc-9r14-2c"


def test_guest_whose_clock_names_the_hypervisor(tmp_path: Path) -> None:
    clocks = "sys/devices/system/clocksource/clocksource0/available_clocksource"
    flags = "avx2 hypervisor"
    write(
        tmp_path,
        {"proc/cpuinfo": cpuinfo(1, "x", "AuthenticAMD", flags), clocks: "tsc kvm-clock \n"},
    )
    assert describe(tmp_path, affinity=[0]).hypervisor == "KVM"
    write(tmp_path, {clocks: "tsc hpet acpi_pm\n"})
    assert describe(tmp_path, affinity=[0]).hypervisor is None


def test_empty_tree_is_all_unknown(tmp_path: Path) -> None:
    description = describe(tmp_path, affinity=[3])
    known = {name for name, value in description.stored.items() if value is not None}
    counted = {"sockets", "cores", "threads_per_core"}
    assert known == counted | {"allowed_cpus", "allowed_cores", "usable_cores"}
    assert machine_name(description) == "unknown-1c"


def test_cores_from_cpuinfo_where_sys_is_hidden(tmp_path: Path) -> None:
    text = "\n".join(
        f"processor\t: {cpu}\nphysical id\t: {cpu % 2}\ncore id\t\t: {cpu // 4}\n"
        for cpu in range(8)
    )
    write(tmp_path, {"proc/cpuinfo": text})
    topology = read_topology(tmp_path, affinity=range(8))
    assert topology.cores == ((0, 2), (1, 3), (4, 6), (5, 7))
    assert topology.sockets == 2


def test_container_with_one_and_a_half_cpus(xeon: Path) -> None:
    """A container's own group is the top of what it sees."""
    write(
        xeon,
        {
            "proc/self/cgroup": "0::/\n",
            "proc/self/mountinfo": V2_MOUNT,
            "sys/fs/cgroup/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/memory.max": "8589934592\n",
        },
    )
    topology = read_topology(xeon, affinity=range(16))
    assert (topology.cpu_quota, topology.usable_cores) == (1.5, 1)
    assert describe(xeon, affinity=range(16)).memory_limit_bytes == 8 << 30


@pytest.mark.parametrize(
    ("outer", "inner", "quota"),
    [
        ("200000 100000", "max 100000", 2.0),
        ("200000 100000", "400000 100000", 2.0),
        ("max 100000", "50000 100000", 0.5),
        ("max 100000", "max 100000", None),
    ],
)
def test_tightest_quota_of_all_ancestors(
    xeon: Path, outer: str, inner: str, quota: float | None
) -> None:
    write(
        xeon,
        {
            "proc/self/cgroup": "0::/user.slice/job.scope\n",
            "proc/self/mountinfo": V2_MOUNT,
            "sys/fs/cgroup/user.slice/cpu.max": outer,
            "sys/fs/cgroup/user.slice/job.scope/cpu.max": inner,
        },
    )
    topology = read_topology(xeon, affinity=range(16))
    assert topology.cpu_quota == quota
    assert topology.usable_cores == (8 if quota is None else max(1, int(quota)))


def test_version_1_groups_of_a_container(xeon: Path) -> None:
    """Docker without a group namespace: the mount shows a part of the host's tree."""
    mount = "33 31 0:28 /docker/abc /sys/fs/cgroup/{0} rw - cgroup cgroup rw,{0}\n"
    names = ("cpu,cpuacct", "memory", "cpuset")
    write(
        xeon,
        {
            "proc/self/cgroup": "".join(f"4:{name}:/docker/abc\n" for name in names) + "0::/x\n",
            "proc/self/mountinfo": "".join(mount.format(name) for name in names),
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "300000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/cpuset/cpuset.effective_cpus": "0-2\n",
        },
    )
    topology = read_topology(xeon, affinity=range(16))
    assert (topology.cpu_quota, topology.cpuset_size, topology.usable_cores) == (3.0, 3, 3)
    assert describe(xeon, affinity=range(16)).memory_limit_bytes is None


def test_version_1_without_a_quota(xeon: Path) -> None:
    write(
        xeon,
        {
            "proc/self/cgroup": "1:cpu:/\n",
            "proc/self/mountinfo": "33 31 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert read_topology(xeon, affinity=range(16)).cpu_quota is None


def test_cpuset_of_odd_cpus(xeon: Path) -> None:
    write(
        xeon,
        {
            "proc/self/cgroup": "0::/odd\n",
            "proc/self/mountinfo": V2_MOUNT,
            "sys/fs/cgroup/cpuset.cpus.effective": "0-15\n",
            "sys/fs/cgroup/odd/cpuset.cpus.effective": "1,3,5,7,9,11\n",
        },
    )
    topology = read_topology(xeon, affinity=range(1, 12, 2))
    assert topology.cores == ((1, 9), (3, 11), (5,), (7,))
    assert (most_cpus(topology), topology.sockets, topology.usable_cores) == (2, 2, 4)


def test_a_cpuset_bounds_the_time_and_names_no_cpus(xeon: Path) -> None:
    """The kernel keeps the affinity within it; a file that says otherwise has other numbers."""
    write(
        xeon,
        {
            "proc/self/cgroup": "0::/odd\n",
            "proc/self/mountinfo": V2_MOUNT,
            "sys/fs/cgroup/odd/cpuset.cpus.effective": "0-2\n",
        },
    )
    topology = read_topology(xeon, affinity=range(4, 8))
    assert topology.cores == ((4,), (5,), (6,), (7,))
    assert (topology.cpuset_size, topology.usable_cores) == (3, 3)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (XEON, "intel-xeon-platinum-8375c-32c"),
        ("AMD EPYC", "amd-epyc-32c"),
        ("AMD EPYC 7763 64-Core Processor", "amd-epyc-7763-32c"),
        ("AMD Ryzen 7 PRO 7840U w/ Radeon 780M Graphics", "amd-ryzen-7-pro-7840u-32c"),
        ("13th Gen Intel(R) Core(TM) i7-13700K", "13th-gen-intel-core-i7-13700k-32c"),
        ("Intel Xeon Processor (Skylake, IBRS)", "intel-xeon-skylake-ibrs-32c"),
        ("@@", "unknown-32c"),
        (None, "unknown-32c"),
    ],
)
def test_machine_names(model: str | None, name: str) -> None:
    assert machine_name(changed(MACHINE, cpu_model=model, usable_cores=32)) == name


@given(st.text(), st.integers(1, 512))
def test_machine_name_is_a_slug_whatever_the_model(model: str, cores: int) -> None:
    name = machine_name(changed(MACHINE, cpu_model=model, usable_cores=cores))
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert name.endswith(f"-{cores}c")


@given(st.sets(st.integers(0, 200)), st.floats(0.1, 300) | st.none())
def test_usable_cores_are_at_least_one_and_within_both_limits(
    cpus: set[int], quota: float | None
) -> None:
    topology = Topology(tuple(sorted(cpus)), tuple((cpu,) for cpu in sorted(cpus)), 1, quota)
    assert 1 <= topology.usable_cores <= max(1, len(cpus))
    assert quota is None or topology.usable_cores <= max(1, quota)


@given(st.sets(st.integers(0, 300)))
def test_cpu_lists(cpus: set[int]) -> None:
    assert parse_cpu_list(",".join(map(str, sorted(cpus)))) == cpus
    assert parse_cpu_list("2-4,7,9-10\n") == {2, 3, 4, 7, 9, 10}


def test_this_machine() -> None:
    topology = read_topology()
    assert set(topology.allowed_cpus) <= os.sched_getaffinity(0)
    assert sorted(cpu for core in topology.cores for cpu in core) == list(topology.allowed_cpus)
    description = describe()
    assert decode(json.loads(json.dumps(description.stored)), Machine) == description
    assert description.memory_available_bytes <= description.memory_total_bytes
