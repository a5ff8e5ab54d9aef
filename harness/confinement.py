"""What a worker gives up before it reads anything: weights, records and symbols go to native code.

Done in the worker itself while it has one thread, which user namespaces insist on. Nothing of it
touches threads, affinity or memory, so nothing that is timed. Where the kernel does not allow a part,
the worker runs without it, and the record says so.
"""

from __future__ import annotations

import ctypes
import os
import resource
from contextlib import suppress
from typing import Any

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS of linux/prctl.h
CAPABILITIES = 0x20080522  # version 3 of linux/capability.h
FILE_BYTES = 1 << 36  # of one file that a worker writes, unless its job needs more
NO_NETWORK = "none"


def confine(
    network: bool = False, memory_bytes: int | None = None, file_bytes: int = FILE_BYTES
) -> dict[str, Any]:
    """Confine this process; it must have one thread.

    Args:
        network: leave it the network, as a download needs.
        memory_bytes: the most private memory that it may hold; None: no limit.
        file_bytes: the most that it may write into one file.

    Returns:
        what holds from now on: network (``NO_NETWORK``, or why it is there), user_namespace,
        no_new_privileges, core_bytes, file_bytes and memory_bytes (None: no limit).
    """
    left = "asked for a download" if network else _leave_network()
    libc = ctypes.CDLL(None, use_errno=True)
    return {
        "network": left or NO_NETWORK,
        "user_namespace": _is_in_namespace(),
        "no_new_privileges": libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0,
        "core_bytes": _limit(resource.RLIMIT_CORE, 0),
        "file_bytes": _limit(resource.RLIMIT_FSIZE, file_bytes),
        "memory_bytes": None
        if memory_bytes is None
        else _limit(resource.RLIMIT_DATA, memory_bytes),
    }


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
    header = (ctypes.c_uint32 * 2)(CAPABILITIES, 0)
    libc.capset(header, (ctypes.c_uint32 * 6)())
    return None


def _is_in_namespace() -> bool:
    with open("/proc/self/uid_map", "rb") as file:
        return file.read().split()[-1:] == [b"1"]


def _limit(which: int, wanted: int) -> int | None:
    """Lower a limit, never raise it; return what holds, or None where the system refuses the call."""
    try:
        _, hard = resource.getrlimit(which)
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(which, (value, value))
    except OSError:
        return None
    return value
