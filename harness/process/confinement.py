"""The confinement of a worker before it reads input: native code parses weights and records.

Done in the worker itself while it has one thread, which user namespaces insist on. Nothing of it
touches threads or affinity, so nothing that is timed. Where the kernel does not allow a part, the
worker runs without it, and the record says so.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypedDict

from harness import PROJECT
from harness.process import landlock, seccomp
from harness.process.variables import CERTIFICATES, MODELS, TO_WORKERS

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS of linux/prctl.h
CAPABILITIES = 0x20080522  # version 3 of linux/capability.h
ANY_OWNER = 1 << 1  # CAP_DAC_OVERRIDE: a container's root writes into folders that are a user's
FILE_BYTES = 1 << 36  # of one file that a worker writes, unless its job needs more
NO_NETWORK = "none"
MEMORY = "INC_BENCH_MEMORY_BYTES"  # the variable with a worker's limit, unless its job has one
ROOT_WARNING = (
    "This runs as root. Workers keep one right of root: to read and write any owner's files. Where "
    "Landlock is missing they reach all of them. Use an account with few files."
)

SYSTEM = (  # programs, libraries and what they look up; of /etc nothing that holds secrets
    *("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/opt", "/nix/store"),
    *(
        "/proc",
        "/sys",
        "/run/systemd/resolve",
        "/run/resolvconf",
        "/run/NetworkManager/resolv.conf",
    ),
    *(
        f"/etc/{name}"
        for name in (
            *("alternatives", "ca-certificates", "fonts", "ld.so.cache", "ld.so.conf", "pki"),
            *("ld.so.conf.d", "ld.so.preload", "localtime", "machine-id", "mime.types", "ssl"),
            *("os-release", "timezone", "passwd", "group", "nsswitch.conf", "hosts", "host.conf"),
            *("resolv.conf", "gai.conf", "services", "protocols", "OpenCL", "crypto-policies"),
        )
    ),
)
DEVICES = tuple(f"/dev/{name}" for name in ("full", "null", "random", "urandom", "zero"))
SHARED_MEMORY = "/dev/shm"  # OpenMP's runtimes and multiprocessing's locks
WRITTEN = ("workspace", "shared", "target")  # keys of a job that name what its stage writes
RawJob = Mapping[str, Any]  # as JSON has it: its decoder is native code, too
KEPT_BACK = (".git", "results")  # of the project: no stage needs more of it than its job names


@dataclass(frozen=True)
class Reach:
    """The files, memory and network that a worker may use.

    Attributes:
        network: leave it the network, as a download needs.
        memory_bytes: the most private memory that it may hold; None or 0: no limit.
        file_bytes: the most that it may write into one file.
        read: files and folders that it reads, besides the system's and the environment's.
        write: files and folders that it changes.
    """

    network: bool = False
    memory_bytes: int | None = None
    file_bytes: int = FILE_BYTES
    read: tuple[str, ...] = field(default=())
    write: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, job: RawJob) -> Reach:
        """Return the reach that a job needs, from its key ``confine`` and the paths that it names.

        Each absolute path in it may be read. What its ``WRITTEN`` keys name may be written, and so may
        the cache of models, if it asks for a download.
        """
        options = {"memory_bytes": int(os.environ.get(MEMORY, 0)), **job.get("confine", {})}
        named = [(key, text) for key, text in _texts(job) if os.path.isabs(text)]
        write = [path for key, path in named if key in WRITTEN]
        if options.get("network") or job.get("workload", {}).get("download"):
            models = os.path.join(os.environ.get("INC_BENCH_CACHE", ""), MODELS)
            write += [models] if os.path.isabs(models) else []
        read = (*options.get("read", ()), *(path for _, path in named))
        return cls(**{**options, "read": read}, write=tuple(write))

    def rights(self) -> Iterator[tuple[str, int]]:
        """Yield each path with the rights that Landlock leaves."""
        paths = os.environ.get("LD_LIBRARY_PATH", "").split(":")
        paths += os.environ.get("LD_PRELOAD", "").replace(" ", ":").split(":")
        project = str(PROJECT)
        within = (entry.path for entry in os.scandir(project) if entry.name not in KEPT_BACK)
        imports = (path for path in sys.path if os.path.realpath(path) != os.path.realpath(project))
        certificates = (os.environ.get(name, "") for name in CERTIFICATES if name in TO_WORKERS)
        places = (sys.prefix, sys.base_prefix, *certificates)
        for path in (*SYSTEM, *within, *imports, *places, *paths, *self.read):
            if path:
                yield path, landlock.READ
        yield project, landlock.LIST
        for path in DEVICES:
            yield path, landlock.USE
        yield SHARED_MEMORY, landlock.SHARE
        for path in (os.getcwd(), *self.write):
            yield path, landlock.CHANGE


class Confined(TypedDict):
    """What holds of a worker. Records of before have no root, files and system_calls: nothing held.

    Attributes:
        network: ``NO_NETWORK``, or why it is there.
        core_bytes, file_bytes, memory_bytes: limits; None is no limit.
        root: whether the process is root's.
        files: Landlock's version, or why all are in reach.
        system_calls: "filtered", or why they are not.
    """

    network: str
    user_namespace: bool
    no_new_privileges: bool
    core_bytes: int | None
    file_bytes: int | None
    memory_bytes: int | None
    root: bool
    files: str
    system_calls: str


def confine(reach: Reach = Reach()) -> Confined:
    """Confine this process and its children; it must have only one thread.

    What is temporary goes to its working directory from now on.
    """
    os.environ["TMPDIR"] = os.getcwd()
    left = "asked for a download" if reach.network else _leave_network()
    libc = ctypes.CDLL(None, use_errno=True)
    has_namespace = _is_in_namespace()
    no_new_privileges = libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
    core_bytes = _limit(resource.RLIMIT_CORE, 0)
    file_bytes = _limit(resource.RLIMIT_FSIZE, reach.file_bytes)
    memory_bytes = _limit(resource.RLIMIT_DATA, reach.memory_bytes) if reach.memory_bytes else None
    root = os.geteuid() == 0
    if root and not has_namespace:
        _keep_capabilities(ANY_OWNER)
    no_landlock = landlock.restrict(reach.rights())
    no_filter = seccomp.refuse_calls(sockets=reach.network or left is None)
    return {
        # even without a namespace there is none if the filter refuses sockets
        "network": left if left and (reach.network or no_filter) else NO_NETWORK,
        "user_namespace": has_namespace,
        "no_new_privileges": no_new_privileges,
        "core_bytes": core_bytes,
        "file_bytes": file_bytes,
        "memory_bytes": memory_bytes,
        "root": root,
        "files": f"missing: {no_landlock}" if no_landlock else f"Landlock {landlock.version()}",
        "system_calls": f"missing: {no_filter}" if no_filter else "filtered",
    }


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the texts in a job, each with its key."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, name)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner, key)


def _leave_network() -> str | None:
    """Move into a network namespace with no interface that is up; return why not, if it failed.

    With the capability for it the namespace alone is enough. Otherwise a user namespace gives that
    capability; there this user stays who it is, and gives up all that the namespace granted.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) == 0:
        return None
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        return f"shared: {os.strerror(ctypes.get_errno())}"
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with suppress(OSError), open(f"/proc/self/{name}", "wb", buffering=0) as file:
            file.write(text.encode())  # without it this user has another name, and the same rights
    _keep_capabilities(0)
    return None


def _keep_capabilities(kept: int) -> None:
    """Give up all of this process's capabilities but some."""
    header = (ctypes.c_uint32 * 2)(CAPABILITIES, 0)
    ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0))


def _is_in_namespace() -> bool:
    with open("/proc/self/uid_map", "rb") as file:
        return file.read().split()[-1:] == [b"1"]


def _limit(which: int, wanted: int) -> int | None:
    """Lower a limit, never raise it; return the limit in force, or None if the call is refused."""
    try:
        _, hard = resource.getrlimit(which)
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(which, (value, value))
    except OSError:
        return None
    return value
