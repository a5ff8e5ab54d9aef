"""Machines made of files: what is read from /proc, /sys and the control groups."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.host.machine import (
    Topology,
    describe,
    machine_name,
    parse_cpu_list,
    read_topology,
)

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


def test_xeon_with_two_sockets_and_smt(xeon: Path) -> None:
    topology = read_topology(xeon, affinity=range(16))
    assert topology.cores == tuple((core, core + 8) for core in range(8))
    assert (topology.sockets, topology.physical_cores, topology.smt) == (2, 8, True)
    assert (topology.cpu_quota, topology.usable_cores) == (None, 8)


def test_affinity_leaves_one_socket_without_smt(xeon: Path) -> None:
    topology = read_topology(xeon, affinity=range(4, 8))
    assert topology.cores == ((4,), (5,), (6,), (7,))
    assert (topology.sockets, topology.smt) == (1, False)


def test_offline_cpus_are_left_out(xeon: Path) -> None:
    write(xeon, {"sys/devices/system/cpu/online": "0-7\n"})
    assert read_topology(xeon, affinity=range(16)).allowed_cpus == tuple(range(8))


def test_xeon_description(xeon: Path) -> None:
    description = describe(xeon, affinity=range(4))
    assert json.loads(json.dumps(description)) == description
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
    assert {name: description[name] for name in told} == told
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
    assert description["isa"] == ["AVX2", "AVX512F", "AVX512-VNNI", "AVX512-BF16"]
    assert (description["turbo"], description["governor"]) == (False, None)
    assert (description["virtual"], description["hypervisor"]) == (True, "Amazon EC2 c7a.xlarge")
    assert machine_name(description) == "amd-epyc-9r14-2c"


def test_guest_whose_clock_names_the_hypervisor(tmp_path: Path) -> None:
    clocks = "sys/devices/system/clocksource/clocksource0/available_clocksource"
    flags = "avx2 hypervisor"
    write(
        tmp_path,
        {"proc/cpuinfo": cpuinfo(1, "x", "AuthenticAMD", flags), clocks: "tsc kvm-clock \n"},
    )
    assert describe(tmp_path, affinity=[0])["hypervisor"] == "KVM"
    write(tmp_path, {clocks: "tsc hpet acpi_pm\n"})
    assert describe(tmp_path, affinity=[0])["hypervisor"] is None


def test_empty_tree_is_all_unknown(tmp_path: Path) -> None:
    description = describe(tmp_path, affinity=[3])
    known = {name for name, value in description.items() if value is not None}
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
    assert describe(xeon, affinity=range(16))["memory_limit_bytes"] == 8 << 30


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
    assert (topology.cpu_quota, topology.allowed_cpus) == (3.0, (0, 1, 2))
    assert describe(xeon, affinity=range(16))["memory_limit_bytes"] is None


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
    topology = read_topology(xeon, affinity=range(16))
    assert topology.cores == ((1, 9), (3, 11), (5,), (7,))
    assert (topology.smt, topology.sockets, topology.usable_cores) == (True, 2, 4)


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
    assert machine_name({"cpu_model": model, "cpu_vendor": None, "usable_cores": 32}) == name


@given(st.text(), st.integers(1, 512))
def test_machine_name_is_a_slug_whatever_the_model(model: str, cores: int) -> None:
    name = machine_name({"cpu_model": model, "usable_cores": cores})
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
    assert json.loads(json.dumps(description)) == description
    assert description["memory_available_bytes"] <= description["memory_total_bytes"]
