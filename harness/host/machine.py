"""Facts of the machine as /proc, /sys and the control groups tell them. Nothing is run or imported.

Every function takes the root of the file system, so that a copied tree can stand for a machine.
Call them in the parent: in a process whose OpenMP library binds threads, the scheduler allows the
main thread one CPU only.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path("/")
CPUS = "sys/devices/system/cpu"
NO_LIMIT = 1 << 60  # control groups v1 say "no limit" with a number near 2**63
MEMORY_FILES = (  # of a control group: its limit, its usage, and how memory.stat begins its names
    ("memory.max", "memory.current", ""),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
)
CACHED = ("active_file", "inactive_file")

LIMITS = {  # of /proc/self/limits -> name; those that a measurement can run into
    "Max cpu time": "cpu_s",
    "Max data size": "data_bytes",
    "Max stack size": "stack_bytes",
    "Max resident set": "resident_bytes",
    "Max processes": "processes",
    "Max open files": "open_files",
    "Max locked memory": "locked_bytes",
    "Max address space": "address_space_bytes",
}
CLOCKS = {  # that only a hypervisor's guests have, where /sys tells nothing else of it
    "kvm-clock": "KVM",
    "xen": "Xen",
    "hyperv_clocksource_tsc_page": "Hyper-V",
}
ISA = {  # kernel's flag -> name; in rising order of what they give to int8 and bf16
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


@dataclass(frozen=True)
class Topology:
    """The CPUs that this process may use.

    Attributes:
        allowed_cpus: numbers of the logical CPUs, ascending.
        cores: one entry per physical core: its allowed logical CPUs; ordered by the first of them.
        sockets: how many sockets these cores are on.
        cpu_quota: CPU seconds per second that the control groups grant, or None without a limit.
        cpuset_size: how many CPUs the smallest of their cpusets has, or None where there is none.
        untold_cpus: the allowed CPUs of which the system tells no core: each counts as one.
    """

    allowed_cpus: tuple[int, ...]
    cores: tuple[tuple[int, ...], ...]
    sockets: int
    cpu_quota: float | None
    cpuset_size: int | None = None
    untold_cpus: tuple[int, ...] = ()

    @property
    def physical_cores(self) -> int:
        return len(self.cores)

    @property
    def smt(self) -> bool:
        """Whether some core offers more than one allowed CPU."""
        return len(self.allowed_cpus) > len(self.cores)

    @property
    def usable_cores(self) -> int:
        """How many threads can run at full speed at once: cores, cut by the limits; at least 1."""
        quota = math.inf if self.cpu_quota is None else math.floor(self.cpu_quota)
        cpuset = math.inf if self.cpuset_size is None else self.cpuset_size
        return int(max(1, min(self.physical_cores, quota, cpuset)))


def read_topology(root: Path = ROOT, affinity: Iterable[int] | None = None) -> Topology:
    """Return what this process may use.

    The affinity is the truth: the kernel keeps it within cpusets and the CPUs that are online, and
    its numbers are the machine's. The list ``online`` and /proc/cpuinfo may be renumbered (lxcfs).

    Args:
        affinity: the CPUs that the scheduler allows; None asks the kernel.
    """
    allowed = allowed_cpus(root=root) if affinity is None else set(affinity)
    told = _siblings(root, allowed)
    return Topology(
        allowed_cpus=tuple(sorted(allowed)),
        cores=_cores(root, allowed),
        sockets=_sockets(root, allowed),
        cpu_quota=_cpu_quota(root),
        cpuset_size=min(map(len, _cpusets(root)), default=None),
        untold_cpus=tuple(sorted(cpu for cpu in allowed if not told[cpu])),
    )


def allowed_cpus(task: int | str = 0, root: Path = ROOT) -> set[int]:
    """Return the CPUs that the scheduler allows a thread; of this process's where it is 0.

    A container may refuse the call; /proc tells the same.

    Raises:
        ProcessLookupError: the thread has ended.
    """
    try:
        return os.sched_getaffinity(int(task))
    except ProcessLookupError:
        raise
    except OSError:
        status = _read(root / f"proc/{task or 'self'}/status") or ""
        listed = re.search(r"^Cpus_allowed_list:\s*(\S+)", status, re.MULTILINE)
        cpus = parse_cpu_list(listed[1]) if listed else _online(root)
        if not cpus:
            raise
        return cpus


def is_renumbered(root: Path, cpus: Iterable[int], listed: Container[int]) -> bool:
    """Say whether a file of /proc gives CPUs other numbers than the machine does, as lxcfs makes them.

    It leaves out a CPU that is there; of one that was unplugged, /sys tells no topology either.

    Args:
        cpus: that this process may use.
        listed: the numbers in the file.
    """
    return any(cpu not in listed and (root / CPUS / f"cpu{cpu}/topology").is_dir() for cpu in cpus)


def total_memory(root: Path = ROOT) -> int | None:
    """Return how many bytes of memory there are for this process: the machine's, or its control group's.

    None: the system does not tell.
    """
    known = (_memory(root, "MemTotal"), _memory_limit(root))
    return min((each for each in known if each), default=None)


def free_memory(root: Path = ROOT) -> int | None:
    """Return how many bytes this process can still get, or None where nothing tells.

    That is the least of what the machine has left and, in each control group above the process, of
    its limit less what the group uses. The files that a group has read count as free: the kernel
    drops them when memory is asked for.
    """
    left = [_memory(root, "MemAvailable")]
    for group in _groups(root, "memory"):
        for limit_file, usage_file, prefix in MEMORY_FILES:
            limit, usage = (_integer(_read(group / name)) for name in (limit_file, usage_file))
            if limit is not None and limit < NO_LIMIT:
                stat = dict(re.findall(r"^(\w+) (\d+)$", _read(group / "memory.stat") or "", re.M))
                cached = sum(int(stat.get(prefix + name, 0)) for name in CACHED)
                left.append(max(0, limit - max(0, (usage or 0) - cached)))
    return min((each for each in left if each is not None), default=None)


def describe(root: Path = ROOT, affinity: Iterable[int] | None = None) -> dict[str, Any]:
    """Return what is worth keeping beside a measurement, ready for JSON.

    ``sockets``, ``cores`` and ``threads_per_core`` are the machine's; ``allowed_cpus``,
    ``allowed_cores``, ``usable_cores`` and ``cpu_quota`` this process's. Units are in the names.
    What cannot be read is None; nothing is raised for it. Of ``limits``, None is no limit.
    """
    topology = read_topology(root, affinity)
    cpu = next(iter(_cpuinfo(root)), {})
    flags = cpu["flags"].split() if "flags" in cpu else None
    allowed, online = set(topology.allowed_cpus), _online(root)
    online = online if allowed <= online else allowed  # renumbered or not there
    cores = _cores(root, online)
    first = topology.allowed_cpus[0]
    max_khz = _integer(_read(root / CPUS / f"cpu{first}/cpufreq/cpuinfo_max_freq"))
    mhz = _decimal(cpu.get("cpu MHz"))
    load = (_read(root / "proc/loadavg") or "").split()
    virtual = None if flags is None else "hypervisor" in flags
    return {
        "cpu_model": cpu.get("model name"),
        "cpu_vendor": cpu.get("vendor_id"),
        "cpu_family": _integer(cpu.get("cpu family")),
        "cpu_model_number": _integer(cpu.get("model")),
        "cpu_stepping": _integer(cpu.get("stepping")),
        "microcode": cpu.get("microcode"),
        "isa": None if flags is None else [ISA[flag] for flag in ISA if flag in flags],
        "cache_bytes": _caches(root, first),
        "sockets": _sockets(root, online),
        "cores": len(cores),
        "threads_per_core": max(map(len, cores)),
        "numa_nodes": len(list((root / "sys/devices/system/node").glob("node[0-9]*"))) or None,
        "allowed_cpus": list(topology.allowed_cpus),
        "allowed_cores": topology.physical_cores,
        "usable_cores": topology.usable_cores,
        "cpu_quota": topology.cpu_quota,
        "memory_total_bytes": _memory(root, "MemTotal"),
        "memory_available_bytes": free_memory(root),
        "memory_limit_bytes": _memory_limit(root),
        "swap_total_bytes": _memory(root, "SwapTotal"),
        "limits": _limits(root),
        "governor": _governor(root, topology.allowed_cpus),
        "turbo": _turbo(root),
        "mhz": mhz,
        "max_mhz": None if max_khz is None else max_khz / 1000,
        "load_1min": _decimal(load[0]) if load else None,
        "virtual": virtual,
        "hypervisor": _hypervisor(root) if virtual else None,
        "kernel": _read(root / "proc/sys/kernel/osrelease"),
        "os": _os_name(root),
        "hostname": _read(root / "proc/sys/kernel/hostname"),
    }


def machine_name(description: Mapping[str, Any]) -> str:
    """Return a folder name of [a-z0-9-]: the CPU model and the cores that may be used."""
    name = description.get("cpu_model") or description.get("cpu_vendor") or "unknown-cpu"
    name = re.sub(r"\((?:r|tm|c)\)", " ", name.lower())
    name = re.sub(r"@.*| w/.*| with .*", " ", name)
    name = re.sub(r"\b(?:cpu|processor|\d+-core)\b", " ", name)
    slug = re.sub(r"[^a-z0-9]+", "-", name).strip("-") or "unknown"
    return f"{slug}-{description['usable_cores']}c"


def parse_cpu_list(text: str) -> set[int]:
    """Return the numbers of a kernel CPU list such as ``0-3,8``."""
    cpus: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        cpus.update(range(int(first), int(last or first) + 1))
    return cpus


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip() or None
    except OSError:
        return None


def _integer(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"-?\d+", text) else None


def _decimal(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\d+(\.\d+)?", text) else None


def _online(root: Path) -> set[int]:
    return parse_cpu_list(_read(root / CPUS / "online") or "")


def _cpuinfo(root: Path) -> list[dict[str, str]]:
    """Return one dict per logical CPU."""
    blocks = []
    for block in (_read(root / "proc/cpuinfo") or "").split("\n\n"):
        fields = (line.partition(":") for line in block.splitlines())
        values = {name.strip(): value.strip() for name, _, value in fields}
        if "processor" in values:
            blocks.append(values)
    return blocks


def _cores(root: Path, cpus: set[int]) -> tuple[tuple[int, ...], ...]:
    """Group CPUs by the physical core they belong to; without a word on it each is its own core."""
    core_of = {cpu: {cpu} for cpu in cpus}
    for cpu, siblings in _siblings(root, cpus).items():
        for other in siblings:  # together as soon as one of them says so: no CPU is in two cores
            merged = core_of[cpu] | core_of[other]
            core_of.update(dict.fromkeys(merged, merged))
    return tuple(sorted({tuple(sorted(core)) for core in core_of.values()}))


def _siblings(root: Path, cpus: set[int]) -> dict[int, set[int]]:
    """Return those of the CPUs that share each one's core, itself included; none if untold."""
    told: dict[str, set[int]] = {}  # where /sys is hidden, /proc/cpuinfo may still tell
    for number, block in _cpuinfo_of(root, cpus).items():
        if "core id" in block:
            key = f"{block.get('physical id')}/{block['core id']}"
            told.setdefault(key, set()).add(number)
    of_cpu = {cpu: siblings for siblings in told.values() for cpu in siblings}
    found = {}
    for cpu in cpus:
        folder = root / CPUS / f"cpu{cpu}/topology"
        listed = _read(folder / "thread_siblings_list") or _read(folder / "core_cpus_list")
        siblings = parse_cpu_list(listed) if listed else of_cpu.get(cpu, set())
        found[cpu] = (siblings | {cpu}) & cpus if siblings else set()
    return found


def _sockets(root: Path, cpus: set[int]) -> int:
    listed = {cpu: block.get("physical id") for cpu, block in _cpuinfo_of(root, cpus).items()}
    found = {
        _read(root / CPUS / f"cpu{cpu}/topology/physical_package_id") or listed.get(cpu)
        for cpu in cpus
    }
    return max(1, len(found - {None, "-1"}))


def _cpuinfo_of(root: Path, cpus: set[int]) -> dict[int, dict[str, str]]:
    """Return what /proc/cpuinfo says of each CPU; nothing where its numbers are not the machine's."""
    blocks = {int(block["processor"]): block for block in _cpuinfo(root)}
    return blocks if cpus <= blocks.keys() else {}


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups, and of their ancestors, v1 and v2."""
    member: dict[str, str] = {}  # controller -> path; v2 has no controller's name
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, names, path = line.split(":", 2)
        member.update(dict.fromkeys(names.split(","), path))
    for line in (_read(root / "proc/self/mountinfo") or "").splitlines():
        left, _, right = line.partition(" - ")
        kind, options = right.split()[0], right.split()[-1].split(",")
        if kind == "cgroup2":
            name = ""
        elif kind == "cgroup" and controller in options:
            name = controller
        else:
            continue
        mounted, point = left.split()[3:5]
        path = member.get(name, "/")
        inside = path == mounted or path.startswith(mounted.rstrip("/") + "/")
        top = root / point.lstrip("/")
        # a group outside the mounted part is a container's own: it sees itself as the top
        group = top / path[len(mounted.rstrip("/")) :].lstrip("/") if inside else top
        yield group
        while group != top:
            group = group.parent
            yield group


def _cpusets(root: Path) -> list[set[int]]:
    names = ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus")
    texts = (_read(group / name) for group in _groups(root, "cpuset") for name in names)
    return [parse_cpu_list(text) for text in texts if text]


def _cpu_quota(root: Path) -> float | None:
    """Return the tightest limit, in CPUs."""
    limits = []
    for group in _groups(root, "cpu"):
        pair = (_read(group / "cpu.max") or "").split() or [
            _read(group / "cpu.cfs_quota_us") or "",
            _read(group / "cpu.cfs_period_us") or "",
        ]
        quota, period = (_integer(text) for text in pair)  # v2 says "max", v1 -1, for no limit
        if quota and period and quota > 0:
            limits.append(quota / period)
    return min(limits, default=None)


def _memory_limit(root: Path) -> int | None:
    limits = []
    for group in _groups(root, "memory"):
        for name, _, _ in MEMORY_FILES:
            limit = _integer(_read(group / name))
            if limit is not None and limit < NO_LIMIT:
                limits.append(limit)
    return min(limits, default=None)


def _memory(root: Path, field: str) -> int | None:
    match = re.search(rf"^{field}:\s+(\d+) kB", _read(root / "proc/meminfo") or "", re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _caches(root: Path, cpu: int) -> dict[str, int] | None:
    """Return the bytes of each cache that one CPU sees, such as {"L1d": 49152}."""
    caches = {}
    for folder in sorted((root / CPUS / f"cpu{cpu}/cache").glob("index*")):
        level, kind = _read(folder / "level"), _read(folder / "type") or ""
        size = re.fullmatch(r"(\d+)([KMG]?)", _read(folder / "size") or "")
        if level and size:
            suffix = {"Data": "d", "Instruction": "i"}.get(kind, "")
            shift = {"": 0, "K": 10, "M": 20, "G": 30}[size[2]]
            caches[f"L{level}{suffix}"] = int(size[1]) << shift
    return caches or None


def _governor(root: Path, cpus: Iterable[int]) -> str | None:
    texts = {_read(root / CPUS / f"cpu{cpu}/cpufreq/scaling_governor") for cpu in cpus}
    return ", ".join(sorted(text for text in texts if text)) or None


def _turbo(root: Path) -> bool | None:
    off = _read(root / CPUS / "intel_pstate/no_turbo")
    boost = _read(root / CPUS / "cpufreq/boost")
    return off == "0" if off else boost == "1" if boost else None


def _hypervisor(root: Path) -> str | None:
    dmi = root / "sys/class/dmi/id"
    words = (_read(dmi / "sys_vendor"), _read(dmi / "product_name"))
    told = " ".join(filter(None, words)) or _read(root / "sys/hypervisor/type")
    clocks = root / "sys/devices/system/clocksource/clocksource0/available_clocksource"
    known = (CLOCKS.get(word) for word in (_read(clocks) or "").split())
    return told or next(filter(None, known), None)


def _limits(root: Path) -> dict[str, int | None] | None:
    """Return this process's soft limits (``ulimit``); None for one that there is not."""
    limits = {}
    for line in (_read(root / "proc/self/limits") or "").splitlines():
        words = re.split(r"\s{2,}", line)
        if words[0] in LIMITS and len(words) > 1:
            limits[LIMITS[words[0]]] = _integer(words[1])
    return limits or None


def _os_name(root: Path) -> str | None:
    match = re.search(
        r'^PRETTY_NAME="?([^"\n]*)', _read(root / "etc/os-release") or "", re.MULTILINE
    )
    return match[1] if match else None
