"""Findings about the CPU, its limits, clock and memory, and the threads of a worker on it."""

from __future__ import annotations

from harness.doctor.finding import (
    BAD,
    GIB,
    OK,
    UNKNOWN,
    WARN,
    Finding,
    in_gib,
    level,
)
from harness.doctor.kernel_findings import written
from harness.facts.machine_facts import Instance, Machine, ThreadSettings, in_ranges
from harness.host.system_files import CPUS
from harness.host.topology import Topology

MEMORY_NEEDED, MEMORY_WANTED = 2 * GIB, 6 * GIB  # 64 images of 224 x 224 in fp32 peak at 4.3 GiB
BUSY = 0.25  # load per usable core from which other work spoils times
BURSTABLE = ("t2", "t3", "t3a", "t4g")  # families of EC2 whose CPU time is rationed by credits
UNTOLD = "each of them counts as a core: where two are threads of one, give threads.count"

INT8 = (  # the first that the CPU has, best first
    ("AMX-INT8", OK, "AMX-INT8 tiles; oneDNN 2.5 uses them with Linux 5.16 or later", ""),
    ("AVX512-VNNI", OK, "AVX512-VNNI: four int8 products per lane in one instruction", ""),
    ("AVX-VNNI", OK, "AVX-VNNI: as AVX512-VNNI, half as wide", ""),
    (
        "AVX512BW",
        WARN,
        "AVX512 without VNNI: three instructions instead of one",
        "expect a smaller gain from int8 than on a CPU with VNNI",
    ),
    (
        "AVX2",
        WARN,
        "AVX2 without VNNI: three instructions instead of one",
        "expect a smaller gain from int8 than on a CPU with VNNI",
    ),
)


def machine_findings(machine: Machine, topology: Topology) -> list[Finding]:
    """Judge the CPU, its limits, its clock and what else runs on it."""
    return [
        _cpu(machine),
        *_instructions(machine),
        _cores(machine, topology),
        _allowed(topology),
        _quota(topology),
        _clock(machine),
        _platform(machine),
        _load(machine),
        *_instance(machine.ec2),
    ]


def thread_findings(settings: ThreadSettings) -> list[Finding]:
    """Show the policy's outcome and its warnings."""
    if settings.count is None:
        value = f"policy {settings.policy}: MXNet's own, half of the allowed CPUs, not bound"
    else:
        value = f"policy {settings.policy}, {settings.count} thread(s)"
    shown = " ".join(
        f"{name}={text}" for name, text in settings.environment.items() if name != "LD_PRELOAD"
    )
    findings = [Finding(OK, "threads", value)]
    if settings.allocator is not None:
        findings.append(Finding(OK, "allocator", settings.allocator))
    if shown:
        findings.append(Finding(OK, "environment", shown))
    advice = "leave threads.count at null"
    return findings + [Finding(WARN, "threads", text, advice) for text in settings.warnings]


def memory_findings(machine: Machine) -> list[Finding]:
    """Judge the memory that is free, within the control groups' limits."""
    available, limit = machine.memory_available_bytes, machine.memory_limit_bytes
    if available is None:
        return [Finding(UNKNOWN, "memory", "not readable", "see that some GiB are free")]
    value = f"{in_gib(available)} free of {in_gib(machine.memory_total_bytes)}"
    value += f", limited to {in_gib(limit)} by the control group" if limit else ""
    advice = f"ImageNet wants {in_gib(MEMORY_WANTED)}: free some or lower workload.batch_size"
    return [Finding(level(available, MEMORY_NEEDED, MEMORY_WANTED), "memory", value, advice)]


def _cpu(machine: Machine) -> Finding:
    model, microcode = machine.cpu_model, machine.microcode
    if model is None:
        return Finding(UNKNOWN, "CPU", "not readable", "name the folder of results with machine=")
    caches = machine.cache_bytes or {}
    sizes = (f"{name} {size >> 10:,} KiB" for name, size in caches.items() if name != "L1i")
    told = [model, f"microcode {microcode}" if microcode else "", ", ".join(sizes)]
    return Finding(OK, "CPU", "; ".join(filter(None, told)))


def _instructions(machine: Machine) -> list[Finding]:
    isa = machine.isa
    if isa is None:
        return [Finding(UNKNOWN, "int8 kernels", "instruction sets are not readable")]
    bf16 = [name for name in isa if name.endswith("BF16")]
    told = f"{', '.join(isa)} (bf16: {', '.join(bf16) or 'none'}, not measured here)"
    listed = Finding(OK, "instructions", told)
    for name, mark, meaning, advice in INT8:
        if name in isa:
            return [listed, Finding(mark, "int8 kernels", meaning, advice)]
    advice = "use a CPU with AVX2 or later; int8 pays off with VNNI"
    return [listed, Finding(WARN, "int8 kernels", "no AVX2", advice)]


def _cores(machine: Machine, topology: Topology) -> Finding:
    nodes = machine.numa_nodes
    value = (
        f"{machine.sockets} socket(s), {machine.cores} cores, "
        f"{machine.threads_per_core} thread(s) per core"
    )
    value += f", {nodes} NUMA node(s)" if nodes else ""
    if topology.unassigned_cpus:
        value += f"; which CPUs share a core is not told of {in_ranges(topology.unassigned_cpus)}"
        return Finding(WARN, "cores", value, UNTOLD)
    if topology.sockets > 1:
        advice = "as published is one socket: numactl --cpunodebind=0 --membind=0 ./run.sh ..."
        return Finding(WARN, "cores", f"{value}; would use {topology.sockets} sockets", advice)
    return Finding(OK, "cores", value)


def _allowed(topology: Topology) -> Finding:
    sizes = set(map(len, topology.cores))
    per_core = "one CPU per core" if sizes == {1} else f"{in_ranges(sorted(sizes))} CPUs per core"
    value = (
        f"{len(topology.allowed_cpus)} ({in_ranges(topology.allowed_cpus)}) on "
        f"{topology.physical_cores} core(s), {per_core}"
    )
    return Finding(OK, "allowed CPUs", value)


def _quota(topology: Topology) -> Finding:
    quota = topology.cpu_quota
    if quota is None:
        return Finding(OK, "CPU quota", "none")
    value = f"{quota:g} CPUs for {topology.physical_cores} core(s)"
    if quota >= topology.physical_cores or quota == topology.usable_cores:
        return Finding(OK, "CPU quota", value)
    advice = "the kernel stops threads in mid-run: lift the limit, or pin whole CPUs instead"
    return Finding(WARN, "CPU quota", value, advice)


def _clock(machine: Machine) -> Finding:
    governor, turbo = machine.governor, machine.turbo
    told = [
        f"governor {governor or 'unknown'}",
        f"turbo {'unknown' if turbo is None else 'on' if turbo else 'off'}",
    ]
    if machine.max_mhz or machine.mhz:
        now, most = machine.mhz, machine.max_mhz
        told.append(f"up to {most:.0f} MHz" if most else f"now {now:.0f} MHz")
    value = ", ".join(told)
    if governor is None:
        advice = "hidden from this system (virtual or a container): repeat runs to see the scatter"
        return Finding(UNKNOWN, "clock", value, advice)
    if governor != "performance":
        advice = "sudo cpupower frequency-set --governor performance"
        fix = written(
            "performance",
            governor.split(",")[0],
            f"/{CPUS}/cpu*/cpufreq/scaling_governor",
            "the clock no longer follows the load",
        )
        return Finding(WARN, "clock", value, advice, (fix,))
    return Finding(OK, "clock", value)


def _platform(machine: Machine) -> Finding:
    kernel, system = machine.kernel, machine.os
    told = [f"Linux {kernel}" if kernel else "", system or ""]
    if machine.virtual:
        told.append(f"virtual ({machine.hypervisor or 'hypervisor not named'})")
    value = ", ".join(filter(None, told))
    return Finding(OK if value else UNKNOWN, "system", value or "not readable")


def _load(machine: Machine) -> Finding:
    load, cores = machine.load_1min, machine.usable_cores
    if load is None:
        return Finding(UNKNOWN, "other work", "load not readable", "stop other work before a run")
    mark = WARN if load > BUSY * cores else OK
    value = f"load {load:.2f} in the last minute on {cores} usable core(s)"
    return Finding(mark, "other work", value, "wait for other work to end: it makes times longer")


def _instance(instance: Instance | None) -> list[Finding]:
    """Judge an EC2 instance: is its CPU time rationed, and may EC2 take it back."""
    if instance is None or instance.instance_type is None:
        return []
    kind = instance.instance_type
    place = instance.availability_zone or instance.region
    value = ", ".join(filter(None, [kind, place, instance.purchase]))
    if kind.partition(".")[0] in BURSTABLE:
        advice = "it slows down when its CPU credits are spent: measure on a type without credits"
        return [Finding(WARN, "EC2", f"{value}; burstable", advice)]
    if instance.interruption is not None:
        advice = "start the run elsewhere: EC2 is about to take this instance back"
        return [Finding(BAD, "EC2", f"{value}; {instance.interruption}", advice)]
    if instance.purchase == "spot":
        advice = "EC2 may take it back at two minutes' notice; run.id=ID goes on with the run"
        return [Finding(OK, "EC2", f"{value}; {advice}")]
    return [Finding(OK, "EC2", value)]
