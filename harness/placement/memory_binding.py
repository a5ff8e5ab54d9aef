"""Bind the memory of this process to NUMA nodes, by the system calls of Linux.

libnuma's bindings for Python are not kept up (the latest of py-libnuma is of 2021, and it does not see
when a call fails), and ``numactl`` is seldom installed. What they would do is one call, with a mask.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterable

BIND = 2  # MPOL_BIND of linux/mempolicy.h
SET_POLICY = {"x86_64": 238, "aarch64": 237}  # numbers of set_mempolicy
GET_POLICY = {"x86_64": 239, "aarch64": 236}  # and of get_mempolicy
BITS = 64  # of an unsigned long
MOST_NODES = 1 << 10  # CONFIG_NODES_SHIFT is at most 10: a mask to be read must hold all of them


def bind_memory(nodes: Iterable[int]) -> str | None:
    """Bind what this process and its later children allocate to NUMA nodes.

    What is already allocated stays, so call it before libraries are loaded.

    Args:
        nodes: from ``Placement.memory_nodes``.

    Returns:
        None if the memory is bound, else why it is not: then it is on the node of the CPU that
        writes to it first, as far as that node has room.
    """
    wanted = set(nodes)
    if not wanted:
        return "no NUMA node with memory is listed for its cores"
    number = SET_POLICY.get(platform.machine())
    if number is None:
        return f"the system call is not known for {platform.machine()}"
    size = max(wanted) // BITS + 1
    mask = (ctypes.c_ulong * size)(*_words(wanted, size))
    libc = ctypes.CDLL(None, use_errno=True)
    # the kernel counts one bit less than it is passed
    if libc.syscall(number, BIND, mask, ctypes.c_ulong(size * BITS + 1)):
        return f"set_mempolicy: {os.strerror(ctypes.get_errno())}"
    bound = bound_nodes()
    if bound != wanted:
        return f"the kernel bound it to {sorted(bound) if bound else 'no node'} instead"
    return None


def bound_nodes() -> set[int] | None:
    """Return the NUMA nodes that this thread's memory is bound to; None if it is not, or not known."""
    number = GET_POLICY.get(platform.machine())
    if number is None:
        return None
    policy = ctypes.c_int(-1)
    mask = (ctypes.c_ulong * (MOST_NODES // BITS))()
    libc = ctypes.CDLL(None, use_errno=True)
    size = ctypes.c_ulong(MOST_NODES + 1)
    if libc.syscall(number, ctypes.byref(policy), mask, size, None, ctypes.c_ulong(0)):
        return None
    if policy.value != BIND:
        return None
    return {node for node in range(MOST_NODES) if mask[node // BITS] >> node % BITS & 1}


def _words(nodes: set[int], size: int) -> list[int]:
    return [sum(1 << node % BITS for node in nodes if node // BITS == word) for word in range(size)]
