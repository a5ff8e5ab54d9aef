"""Thread policies: the environment that sets them in a worker, and the OpenMP that results.

OpenMP reads its variables once, when its library is loaded, so they are set before ``exec``.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import itertools
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import HarnessError, InputError
from harness.facts.faults import MISSING
from harness.facts.machine_facts import (
    BLOCKTIME,
    PROC_BIND,
    SYSTEM,
    OpenMP,
    ThreadOptions,
    ThreadSettings,
    spell_cpus,
)
from harness.facts.override_key import spell
from harness.facts.typed import decode, fault
from harness.host.libraries.allocator import find_allocator, require_preloadable
from harness.host.libraries.loaded import library_with, mapped_libraries
from harness.host.topology import Topology

OWN_KEYS = {
    "omp": ("proc_bind", "places", "sweep"),
    "kmp": ("affinity", "blocktime", "sweep"),
    "none": (),
}
SWEEP = "sweep"  # thread counts that are measured besides the policy: no part of it
KMP_NAME = "libiomp5.so"
KMP_AFFINITY = "KMP_AFFINITY"
KMP_UNBOUND = {"none", "disabled"}  # types of affinity that bind no thread
PRELOAD = "LD_PRELOAD"
INTERVAL = r"\d+(?::[1-9]\d*(?::-?[1-9]\d*)?)?"
PLACE = rf"\{{({INTERVAL}(?:,{INTERVAL})*)\}}(?::([1-9]\d*)(?::(-?\d+))?)?"
ABSTRACT = r"(?:threads|cores|ll_caches|numa_domains|sockets)(?:\([1-9]\d*\))?"


def resolve(section: object, topology: Topology, kmp_library: Path | None) -> ThreadSettings:
    """Turn a policy's options into a worker's environment.

    Args:
        section: the section ``threads`` of a configuration: the keys of conf/threads/<policy>.yaml.
        kmp_library: path of libiomp5.so; only the policy kmp needs it.

    Raises:
        InputError: an option is unknown or not allowed, or the library is missing.
    """
    options = _options(section)
    policy, count = options.policy, options.count
    environment: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
    if policy != "none":
        count = topology.usable_cores if count is None else count
        environment = {"OMP_NUM_THREADS": str(count), "OPENBLAS_NUM_THREADS": str(count)}
        cpus = one_cpu_per_thread(topology, count)
        environment |= _omp(options, cpus) if policy == "omp" else _kmp(options, cpus, kmp_library)
        warnings = (*_crowding(count, topology), *_unassigned(topology))
    allocator = find_allocator(options.allocator or SYSTEM)
    if allocator is not None:
        environment[PRELOAD] = ":".join(filter(None, (environment.get(PRELOAD), str(allocator))))
    return ThreadSettings(
        policy=policy,
        count=count,
        environment=environment,
        warnings=warnings,
        asked=options,
        allocator=None if allocator is None else str(allocator),
    )


def engine_cpus(settings: ThreadSettings, topology: Topology) -> list[int] | None:
    """Return the CPU of each thread of an engine that OpenMP's variables do not reach.

    They are in the places of MXNet's threads under the same settings, where these list places by CPU;
    none where its threads are not bound.

    Returns:
        None: the settings hold a KMP_AFFINITY of which only libiomp5 knows what it comes to.
    """
    bind, count = settings.environment.get("OMP_PROC_BIND"), settings.count
    if count is None or bind == "FALSE":
        return []
    affinity = settings.environment.get(KMP_AFFINITY)
    if affinity is not None:
        listed = _kmp_cpus(affinity)
        return list(itertools.islice(itertools.cycle(listed), count)) if listed else listed
    places = listed_places(settings.environment.get("OMP_PLACES", ""))
    if not places:
        return one_cpu_per_thread(topology, count)
    if bind in ("MASTER", "PRIMARY"):
        places = places[:1]
    elif bind == "SPREAD" and len(places) > count:
        places = [places[number * len(places) // count] for number in range(count)]
    # threads of one place share it out
    turns = [itertools.cycle(sorted(place)) for place in places]
    return [next(turns[number % len(turns)]) for number in range(count)]


def _kmp_cpus(affinity: str) -> list[int] | None:
    """Return the CPUs that a KMP_AFFINITY lists, in order; none where it binds no thread.

    Returns:
        None: it lists none, but has libiomp5 choose them (compact, scatter and the like).
    """
    words = re.sub(r"proclist=\[[^\]]*\]", "", affinity.lower()).split(",")
    if not affinity or not KMP_UNBOUND.isdisjoint(words):
        return []
    proclist = re.search(r"proclist=\[(\d+(?:,\d+)*)\]", affinity.lower())
    if proclist is None or "explicit" not in words:
        return None
    return [int(number) for number in proclist[1].split(",")]


def _options(section: object) -> ThreadOptions:
    """Return a section as the options of its policy.

    Raises:
        InputError: an option is unknown or not allowed.
    """
    assert isinstance(section, Mapping), "the configuration was checked"
    policy = section.get("policy")
    if policy in OWN_KEYS:
        keys = ("policy", "count", "allocator", *OWN_KEYS[policy])
        for key, value in section.items():
            if key not in keys:
                raise InputError(
                    f"threads.{key}={spell(value)}: policy {policy} takes {', '.join(keys)}; "
                    "choose another policy with threads=NAME"
                )
    if policy == "none" and section.get("count") is not None:
        raise InputError(
            f"threads.count={spell(section['count'])}: policy none sets nothing, so it cannot set a "
            "number of threads; use threads=omp or threads=kmp"
        )
    if section.get("allocator") == SYSTEM:  # as in plans of before there was the key
        section = {key: value for key, value in section.items() if key != "allocator"}
    wrong = fault(section, ThreadOptions, "threads")
    if wrong is not None:
        value = None if wrong.value is MISSING else wrong.value
        raise _value_error(wrong.at, value, wrong.expected)
    return decode({k: value for k, value in section.items() if k != SWEEP}, ThreadOptions)


def find_kmp_library() -> Path | None:
    """Return libiomp5.so of the installed package intel-openmp, or None."""
    try:
        files = importlib.metadata.files("intel-openmp") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    installed = [Path(str(file.locate())) for file in files if file.name == KMP_NAME]
    candidates = (*installed, Path(sys.prefix) / "lib" / KMP_NAME)
    return next((path.resolve() for path in candidates if path.is_file()), None)


def loaded_openmp() -> OpenMP:
    """Return which OpenMP library MXNet uses in this process, and its settings.

    With LD_PRELOAD both libgomp and libiomp5 are mapped. The search is that of the dynamic linker
    for libmxnet.so: first the global scope, where LD_PRELOAD comes first, then libmxnet's
    dependencies.

    Raises:
        HarnessError: MXNet is not imported, or uses no OpenMP library.
    """
    mapped = mapped_libraries()
    mxnet = next((path for path in mapped if Path(path).name == "libmxnet.so"), None)
    if mxnet is None:
        raise HarnessError("libmxnet.so is not loaded: import mxnet before asking for its OpenMP")
    scopes = (ctypes.CDLL(None), ctypes.CDLL(mxnet, mode=os.RTLD_NOLOAD | os.RTLD_NOW))
    serving = next(filter(None, (library_with("GOMP_parallel", scope) for scope in scopes)), None)
    if serving is None:
        raise HarnessError(f"no library gives OpenMP to {mxnet}")
    library = ctypes.CDLL(serving)
    blocktime = getattr(library, "kmp_get_blocktime", None)
    return OpenMP(
        library=serving,
        runtime=re.split(r"[-.]", Path(serving).name)[0],
        max_threads=int(library.omp_get_max_threads()),
        places=_places(library),
        blocktime_ms=None if blocktime is None else int(blocktime()),
        mapped=[path for path in mapped if re.search(r"lib[gi]?omp\d?[-.]", Path(path).name)],
    )


def openmp_mismatches(environment: Mapping[str, str], loaded: OpenMP) -> list[str]:
    """Return how MXNet's OpenMP differs from the environment's settings, one sentence each.

    Args:
        environment: the process's environment.
        loaded: from ``loaded_openmp`` in that process.
    """
    mismatches = []
    preloaded = KMP_NAME in environment.get("LD_PRELOAD", "")
    if preloaded != (loaded.runtime == "libiomp5"):
        mismatches.append(
            f"MXNet runs on {loaded.library} although LD_PRELOAD is "
            f"{environment.get('LD_PRELOAD') or 'not set'}"
        )
    threads = environment.get("OMP_NUM_THREADS")
    if threads and int(threads) != loaded.max_threads:
        mismatches.append(
            f"OMP_NUM_THREADS is {threads} and MXNet uses {loaded.max_threads} threads"
        )
    configured = {
        cpu for place in listed_places(environment.get("OMP_PLACES", "")) for cpu in place
    }
    actual = {cpu for place in loaded.places or () for cpu in place}
    if actual and configured and actual != configured:
        mismatches.append(
            f"MXNet's threads are bound to {spell_cpus(actual)} instead of {spell_cpus(configured)}: "
            "not all are allowed, or another OpenMP library bound this process before MXNet was imported"
        )
    return mismatches


def _value_error(key: str, value: object, allowed: str) -> InputError:
    return InputError(f"{key}={spell(value)}: must be {allowed}")


def one_cpu_per_thread(topology: Topology, count: int) -> list[int]:
    """Return ``count`` CPUs: first one of each core, then their SMT siblings, then over again."""
    rounds = itertools.zip_longest(*topology.cores)
    order = [cpu for round_ in rounds for cpu in round_ if cpu is not None]
    return list(itertools.islice(itertools.cycle(order), count))


def _crowding(count: int, topology: Topology) -> tuple[str, ...]:
    usable = topology.usable_cores
    if count <= usable:
        return ()
    quota = "" if topology.cpu_quota is None else f", cpu quota {topology.cpu_quota:g}"
    quota += "" if topology.cpuset_size is None else f", CPUs in the cpuset {topology.cpuset_size}"
    return (
        f"{count} threads on {usable} usable core(s) (physical cores allowed: "
        f"{topology.physical_cores}{quota}): threads will wait for each other",
    )


def _unassigned(topology: Topology) -> tuple[str, ...]:
    if not topology.unassigned_cpus:
        return ()
    cpus = spell_cpus(topology.unassigned_cpus)
    return (
        f"the system does not tell which CPUs share a core with {cpus}: each "
        "counts as a core of its own",
    )


def _omp(options: ThreadOptions, cpus: Sequence[int]) -> dict[str, str]:
    bind, places = str(options.proc_bind).upper(), options.places
    if bind not in PROC_BIND:
        raise _value_error("threads.proc_bind", options.proc_bind, ", ".join(PROC_BIND))
    if places == "auto":
        first, count = cpus[0], len(cpus)
        if list(cpus) == list(range(first, first + count)):
            places = f"{{{first}}}:{count}:1"
        else:
            places = ",".join(f"{{{cpu}}}" for cpu in cpus)
    elif not re.fullmatch(ABSTRACT, places, re.IGNORECASE) and not listed_places(places):
        expected = (
            "auto, threads, cores, sockets, or a list of CPUs such as {0}:32:1 or {0,1},{2,3}"
        )
        raise _value_error("threads.places", places, expected)
    return {"OMP_DYNAMIC": "false", "OMP_PROC_BIND": bind, "OMP_PLACES": places}


def _kmp(options: ThreadOptions, cpus: Sequence[int], library: Path | None) -> dict[str, str]:
    if library is None:
        raise InputError(
            f"threads.policy=kmp: {KMP_NAME} was not found; install the package intel-openmp into "
            "this environment (pip install intel-openmp) or use threads=omp"
        )
    require_preloadable(library, "threads.policy=kmp", "move the environment or use threads=omp")
    affinity, blocktime = options.affinity, str(options.blocktime)
    if affinity == "auto":
        affinity = f"granularity=fine,proclist=[{','.join(map(str, cpus))}],explicit"
    if not re.fullmatch(r"\d+|infinite", blocktime):
        raise _value_error("threads.blocktime", options.blocktime, BLOCKTIME)
    return {
        PRELOAD: str(library),
        KMP_AFFINITY: affinity,
        "KMP_BLOCKTIME": blocktime,
    }


def listed_places(text: str) -> list[set[int]]:
    """Return the CPUs of each place of an OMP_PLACES that lists them by number; none for others.

    The grammar is OpenMP's: ``{FIRST[:COUNT[:STRIDE]],...}[:COUNT[:STRIDE]],...`` (5.0, section 6.5).
    """
    if not re.fullmatch(f"{PLACE}(?:,{PLACE})*", text):
        return []
    places = []
    for inside, count, stride in re.findall(PLACE, text):
        place: set[int] = set()
        for part in inside.split(","):
            first, length, step = ([int(number) for number in part.split(":")] + [1, 1])[:3]
            place.update(range(first, first + length * step, step))
        for number in range(int(count or 1)):
            places.append({cpu + number * int(stride or 1) for cpu in place})
    return places


def _places(library: ctypes.CDLL) -> list[list[int]]:
    places = []
    for place in range(library.omp_get_num_places()):
        cpus = (ctypes.c_int * library.omp_get_place_num_procs(place))()
        library.omp_get_place_proc_ids(place, cpus)
        places.append(list(cpus))
    return places
