"""The facts of a machine, its threads and its software, as plans and records keep them.

Units are in the names. None means that a value is not known, unless an attribute says otherwise. A
field that is None by default may be missing in what earlier versions wrote.
"""

# No ``from __future__ import annotations``: msgspec evaluates the annotations, on Python 3.9 too.
import re
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Optional, Union

import msgspec
from msgspec import Meta

from harness.facts.typed import Count, Facts, JsonObject, Number, Positive, Texts

Text = Annotated[str, Meta(min_length=1)]
PROC_BIND = ("TRUE", "FALSE", "MASTER", "PRIMARY", "CLOSE", "SPREAD")
ENGINE_PACKAGES = ("onnxruntime", "openvino", "nncf", "torch", "neural-compressor", "onnx")
SYSTEM = "system"  # the C library's allocator: nothing is preloaded
ALLOCATORS = ("tcmalloc", "jemalloc")
BLOCKTIME = "milliseconds, a whole number from 0, or infinite"


class Description(Facts, frozen=True, kw_only=True):
    """Facts that are written whole: null stands for a value that is not known."""

    nulls: ClassVar[bool] = True


class Instance(Description, frozen=True, kw_only=True):
    """The EC2 instance that a machine is.

    Attributes:
        instance_id: the beginning of the SHA-256 of its id.
        ami: the image that it was started from.
        tenancy: ``host`` on a Dedicated Host; the metadata service does not tell the others apart.
        purchase: ``on-demand``, ``spot``, or another of the service's words.
        interruption: what EC2 said of taking the spot instance back; None where it said nothing.
        reason: why something is not known; None where all is.
    """

    instance_type: Optional[str] = None
    region: Optional[str] = None
    instance_id: Optional[str] = None
    ami: Optional[str] = None
    availability_zone: Optional[str] = None
    tenancy: Optional[str] = None
    purchase: Optional[str] = None
    interruption: Optional[str] = None
    reason: Optional[str] = None


class IdleState(msgspec.Struct, frozen=True, kw_only=True):
    """A C-state: how a CPU sleeps.

    Attributes:
        latency_us: how long waking takes.
        enabled: whether the kernel may choose it.
    """

    name: str
    latency_us: Optional[Count] = None
    enabled: bool


class KernelPolicies(Description, frozen=True, kw_only=True):
    """The kernel's policies that a measurement depends on, beside the governor and turbo.

    Attributes:
        huge_pages: of transparent huge pages: always, madvise or never.
        huge_page_defrag: when the kernel makes room for them.
        numa_balancing: whether pages move to the node that uses them.
        smt: as the kernel says it: on, off, forceoff, notsupported or notimplemented.
        idle_driver, idle_governor: of C-states; none where the hypervisor or the CPU decides alone.
        idle_states: of the first CPU that may be used, the lightest first.
        scaling_driver: of frequencies, such as intel_pstate.
        pstate_status: of intel_pstate or amd_pstate: active, passive or guided.
        energy_preference: what the CPU is told to prefer, such as balance_performance.
        irqbalance: whether that service runs, which moves interrupts between CPUs.
        perf_event_paranoid: what the kernel's counters are open to; above 2, to root alone.
    """

    huge_pages: Optional[str] = None
    huge_page_defrag: Optional[str] = None
    numa_balancing: Optional[bool] = None
    smt: Optional[str] = None
    idle_driver: Optional[str] = None
    idle_governor: Optional[str] = None
    idle_states: Optional[list[IdleState]] = None
    scaling_driver: Optional[str] = None
    pstate_status: Optional[str] = None
    energy_preference: Optional[str] = None
    irqbalance: Optional[bool] = None
    perf_event_paranoid: Optional[int] = None


class Machine(Description, frozen=True, kw_only=True):
    """A machine, as it is kept beside measurements.

    ``sockets``, ``cores`` and ``threads_per_core`` are the machine's; ``allowed_cpus``,
    ``allowed_cores``, ``usable_cores`` and ``cpu_quota`` those of the harness's process.

    Attributes:
        isa: instruction sets, by the names of ``harness.host.machine.ISA``.
        cache_bytes: of each cache that one CPU sees, such as {"L1d": 49152}.
        allowed_cpus: logical CPUs, ascending.
        usable_cores: how many threads run at full speed at once.
        cpu_quota: in CPUs; None without a limit.
        memory_limit_bytes: of the control groups; None without a limit.
        limits: of the process (``ulimit``); a value of None is no limit.
        turbo: whether it is on.
        mhz: the first CPU's clock when it was read.
        load_1min: the load average when it was read.
        ec2: None where it was not asked for.
        policies: None where none can be read, and in plans of before they were recorded.
    """

    cpu_model: Optional[str]
    cpu_vendor: Optional[str] = None
    cpu_family: Optional[int] = None
    cpu_model_number: Optional[int] = None
    cpu_stepping: Optional[int] = None
    microcode: Optional[str] = None
    isa: Optional[list[str]]
    cache_bytes: Optional[dict[str, Count]] = None
    sockets: Optional[Count] = None
    cores: Optional[Count]
    threads_per_core: Optional[Count] = None
    numa_nodes: Optional[Count] = None
    allowed_cpus: list[Count]
    allowed_cores: Optional[Count] = None
    usable_cores: Positive
    cpu_quota: Optional[Number] = None
    memory_total_bytes: Optional[Count] = None
    memory_available_bytes: Optional[Count] = None
    memory_limit_bytes: Optional[Count] = None
    swap_total_bytes: Optional[Count] = None
    limits: Optional[dict[str, Optional[int]]] = None
    governor: Optional[str] = None
    turbo: Optional[bool] = None
    mhz: Optional[Number] = None
    max_mhz: Optional[Number] = None
    load_1min: Optional[Number] = None
    virtual: Optional[bool] = None
    hypervisor: Optional[str] = None
    kernel: Optional[str]
    os: Optional[str]
    hostname: Optional[str] = None
    ec2: Optional[Instance] = None
    policies: Optional[KernelPolicies] = None


class ThreadOptions(Facts, frozen=True, kw_only=True):
    """The keys of conf/threads/<policy>.yaml; each policy takes some of them.

    Attributes:
        allocator: None is the C library's.
        count: None is one thread per core.
        blocktime: milliseconds, or infinite.
    """

    policy: Annotated[Literal["omp", "kmp", "none"], Meta(description="omp, kmp or none")]
    count: Annotated[
        Optional[Positive],
        Meta(description="a whole number from 1 up, or null for one thread per core"),
    ] = None
    proc_bind: Annotated[  # YAML's true is a bool
        Union[bool, str], Meta(description=", ".join(PROC_BIND))
    ] = "TRUE"
    places: Annotated[Text, Meta(description='auto or a list in quotes such as "{0}:32:1"')] = (
        "auto"
    )
    affinity: Annotated[Text, Meta(description="auto or a value of KMP_AFFINITY in quotes")] = (
        "auto"
    )
    blocktime: Annotated[Union[int, str], Meta(description=BLOCKTIME)] = 1
    allocator: Annotated[
        Optional[Text], Meta(description="system, tcmalloc, jemalloc or the path of a library")
    ] = None


class ThreadSettings(Description, frozen=True, kw_only=True):
    """The settings of a policy on a machine.

    Attributes:
        count: threads; None leaves it to MXNet.
        environment: variables to set in a worker.
        warnings: reasons why the numbers will be hard to compare, one sentence each.
        asked: the options as configured.
        allocator: the path of the library that ``environment`` preloads; None: the C library's.
    """

    policy: str
    count: Optional[Count]
    environment: Texts
    warnings: tuple[str, ...] = ()
    asked: Optional[ThreadOptions] = None
    allocator: Optional[str] = None


class OpenMP(Description, frozen=True, kw_only=True):
    """The OpenMP library that serves MXNet in a process, and its settings.

    Attributes:
        library: its path.
        runtime: its name, libgomp or libiomp5.
        max_threads: threads of a parallel region.
        places: the CPUs of each place that threads are bound to; empty when they are not bound.
        blocktime_ms: of libiomp5; None for another library.
        mapped: the paths of all OpenMP libraries in the process.
    """

    library: Optional[str] = None
    runtime: Optional[str]
    max_threads: Optional[Count]
    places: Optional[list[list[int]]] = None
    blocktime_ms: Optional[int] = None
    mapped: Optional[list[str]] = None


class Versions(Description, frozen=True, kw_only=True):
    """The true versions of what is installed.

    Attributes:
        mxnet_library: as libmxnet.so says it.
        mxnet_wheel_sha256: of the file that pip installed.
        mxnet_libmxnet_sha256: of libmxnet.so, in base64 as the wheel lists it.
        mxnet_features: the build features that are enabled.
        engines: the locked versions of packages, by the environments of engines that rows ask for.
    """

    mxnet: str
    neural_compressor: str = msgspec.field(name="neural-compressor")
    numpy: Optional[str] = None
    scipy: Optional[str] = None
    pandas: Optional[str] = None
    hydra_core: Optional[str] = msgspec.field(name="hydra-core", default=None)
    omegaconf: Optional[str] = None
    mxnet_library: Optional[str] = None
    mxnet_wheel_sha256: Optional[str] = None
    mxnet_libmxnet_sha256: Optional[str] = None
    mxnet_commit: Optional[str]
    mxnet_features: Optional[list[str]] = None
    engines: Optional[dict[str, dict[str, str]]] = None

    @property
    def stored(self) -> JsonObject:
        """As of all facts, but without ``engines`` where no row asks for one, as it was before."""
        values = super().stored
        return {
            key: value for key, value in values.items() if key != "engines" or value is not None
        }

    @property
    def engine_texts(self) -> list[str]:
        """The environment of each other engine: its main packages with versions, or its name."""
        texts = []
        for name, packages in sorted((self.engines or {}).items()):
            main = [f"{one} {packages[one]}" for one in ENGINE_PACKAGES if one in packages]
            texts.append(", ".join(main) or name)
        return texts


class Disturbance(msgspec.Struct, frozen=True, kw_only=True):
    """A condition of a stretch of measuring that is beyond its limit.

    Attributes:
        kind: the name of the attribute of ``harness.host.conditions.Conditions``.
        advice: what the user can do about it.
    """

    kind: str
    value: Number
    limit: Number
    advice: str


def allocator_name(library: str) -> str:
    """Return what to call the allocator of a library: a name of ALLOCATORS, ``system``, or the file."""
    file = library.rpartition("/")[2]
    if re.match(r"(libc|libc-[\d.]+|ld-musl.*)\.so", file):
        return SYSTEM
    return next((name for name in ALLOCATORS if name in file), file)


def spell_cpus(cpus: Iterable[int]) -> str:
    """Return CPU numbers as messages show them, such as ``CPU 0,2``."""
    return "CPU " + ",".join(map(str, sorted(cpus)))


def in_ranges(numbers: Iterable[int]) -> str:
    """Return ascending numbers as the kernel writes them: 0-3,8."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{first}-{last}" if first != last else f"{first}" for first, last in runs)
