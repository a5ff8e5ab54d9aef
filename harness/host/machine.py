"""Description of the machine for a record, and its name.

Nothing is run or imported: all comes from files. Call ``describe`` in the parent: in a process whose
OpenMP library binds threads, the scheduler allows the main thread one CPU only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from harness.facts.machine_facts import Instance, Machine
from harness.host.kernel.policies import read_policies
from harness.host.memory import free_memory, group_memory_limit, memory_field
from harness.host.system_files import CPUS, ROOT, read_text, to_decimal, to_integer
from harness.host.topology import (
    count_sockets,
    cpuinfo_blocks,
    group_cores,
    online_cpus,
    read_topology,
)

LIMITS = {  # in /proc/self/limits -> name; those that can affect a measurement
    "Max cpu time": "cpu_s",
    "Max data size": "data_bytes",
    "Max stack size": "stack_bytes",
    "Max resident set": "resident_bytes",
    "Max processes": "processes",
    "Max open files": "open_files",
    "Max locked memory": "locked_bytes",
    "Max address space": "address_space_bytes",
}
CLOCKS = {  # clock sources of guests -> hypervisor, where /sys does not name it
    "kvm-clock": "KVM",
    "xen": "Xen",
    "hyperv_clocksource_tsc_page": "Hyper-V",
}
ISA = {  # the kernel's flag -> name; in rising order of use to int8 and bf16
    "sse4_1": "SSE4.1",
    "avx": "AVX",
    "avx2": "AVX2",
    "avx_vnni": "AVX-VNNI",
    "avx512f": "AVX512F",
    "avx512bw": "AVX512BW",
    "avx512_vnni": "AVX512-VNNI",
    "avx512_bf16": "AVX512-BF16",
    "avx512_fp16": "AVX512-FP16",
    "amx_tile": "AMX-TILE",
    "amx_int8": "AMX-INT8",
    "amx_bf16": "AMX-BF16",
}


def describe(
    root: Path = ROOT, affinity: Iterable[int] | None = None, ec2: Instance | None = None
) -> Machine:
    """Return the facts of this machine; those that cannot be read are None.

    Args:
        root: of the file system, so that a copied tree can stand for a machine.
        affinity: the CPUs that the scheduler allows; None asks the kernel.
        ec2: the instance that it is (``harness.host.ec2``); None where that was not asked.
    """
    topology = read_topology(root, affinity)
    cpu = next(iter(cpuinfo_blocks(root)), {})
    flags = cpu["flags"].split() if "flags" in cpu else None
    allowed, online = set(topology.allowed_cpus), online_cpus(root)
    online = online if allowed <= online else allowed  # the list is renumbered or missing
    cores = group_cores(root, online)
    first = topology.allowed_cpus[0]
    max_khz = to_integer(read_text(root / CPUS / f"cpu{first}/cpufreq/cpuinfo_max_freq"))
    mhz = to_decimal(cpu.get("cpu MHz"))
    load = (read_text(root / "proc/loadavg") or "").split()
    virtual = None if flags is None else "hypervisor" in flags
    return Machine(
        cpu_model=cpu.get("model name"),
        cpu_vendor=cpu.get("vendor_id"),
        cpu_family=to_integer(cpu.get("cpu family")),
        cpu_model_number=to_integer(cpu.get("model")),
        cpu_stepping=to_integer(cpu.get("stepping")),
        microcode=cpu.get("microcode"),
        isa=None if flags is None else [ISA[flag] for flag in ISA if flag in flags],
        cache_bytes=_caches(root, first),
        sockets=count_sockets(root, online),
        cores=len(cores),
        threads_per_core=max(map(len, cores)),
        numa_nodes=len(list((root / "sys/devices/system/node").glob("node[0-9]*"))) or None,
        allowed_cpus=list(topology.allowed_cpus),
        allowed_cores=topology.physical_cores,
        usable_cores=topology.usable_cores,
        cpu_quota=topology.cpu_quota,
        memory_total_bytes=memory_field(root, "MemTotal"),
        memory_available_bytes=free_memory(root),
        memory_limit_bytes=group_memory_limit(root),
        swap_total_bytes=memory_field(root, "SwapTotal"),
        limits=_limits(root),
        governor=_governor(root, topology.allowed_cpus),
        turbo=_turbo(root),
        mhz=mhz,
        max_mhz=None if max_khz is None else max_khz / 1000,
        load_1min=to_decimal(load[0]) if load else None,
        virtual=virtual,
        hypervisor=_hypervisor(root) if virtual else None,
        kernel=read_text(root / "proc/sys/kernel/osrelease"),
        os=_os_name(root),
        hostname=read_text(root / "proc/sys/kernel/hostname"),
        ec2=ec2,
        policies=read_policies(root, first),
    )


def machine_name(machine: Machine) -> str:
    """Return a folder name of [a-z0-9-]: the CPU model and the cores that may be used."""
    name = machine.cpu_model or machine.cpu_vendor or "unknown-cpu"
    name = re.sub(r"\((?:r|tm|c)\)", " ", name.lower())
    name = re.sub(r"@.*| w/.*| with .*", " ", name)
    name = re.sub(r"\b(?:cpu|processor|\d+-core)\b", " ", name)
    slug = re.sub(r"[^a-z0-9]+", "-", name).strip("-") or "unknown"
    return f"{slug}-{machine.usable_cores}c"


def _caches(root: Path, cpu: int) -> dict[str, int] | None:
    """Return the bytes of each cache that one CPU sees, such as {"L1d": 49152}."""
    caches = {}
    for folder in sorted((root / CPUS / f"cpu{cpu}/cache").glob("index*")):
        level, kind = read_text(folder / "level"), read_text(folder / "type") or ""
        size = re.fullmatch(r"(\d+)([KMG]?)", read_text(folder / "size") or "")
        if level and size:
            suffix = {"Data": "d", "Instruction": "i"}.get(kind, "")
            shift = {"": 0, "K": 10, "M": 20, "G": 30}[size[2]]
            caches[f"L{level}{suffix}"] = int(size[1]) << shift
    return caches or None


def _governor(root: Path, cpus: Iterable[int]) -> str | None:
    texts = {read_text(root / CPUS / f"cpu{cpu}/cpufreq/scaling_governor") for cpu in cpus}
    return ", ".join(sorted(text for text in texts if text)) or None


def _turbo(root: Path) -> bool | None:
    off = read_text(root / CPUS / "intel_pstate/no_turbo")
    boost = read_text(root / CPUS / "cpufreq/boost")
    return off == "0" if off else boost == "1" if boost else None


def _hypervisor(root: Path) -> str | None:
    dmi = root / "sys/class/dmi/id"
    words = (read_text(dmi / "sys_vendor"), read_text(dmi / "product_name"))
    product = " ".join(filter(None, words)) or read_text(root / "sys/hypervisor/type")
    clocks = root / "sys/devices/system/clocksource/clocksource0/available_clocksource"
    known = (CLOCKS.get(word) for word in (read_text(clocks) or "").split())
    return product or next(filter(None, known), None)


def _limits(root: Path) -> dict[str, int | None] | None:
    """Return this process's soft limits (``ulimit``); None means no limit."""
    limits = {}
    for line in (read_text(root / "proc/self/limits") or "").splitlines():
        words = re.split(r"\s{2,}", line)
        if words[0] in LIMITS and len(words) > 1:
            limits[LIMITS[words[0]]] = to_integer(words[1])
    return limits or None


def _os_name(root: Path) -> str | None:
    match = re.search(
        r'^PRETTY_NAME="?([^"\n]*)', read_text(root / "etc/os-release") or "", re.MULTILINE
    )
    return match[1] if match else None
