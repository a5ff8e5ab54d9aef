"""Counters of the CPU for this process and all that it starts: cycles, instructions, APERF and MPERF.

They are opened once, while the process has one thread and before it is confined: threads that start
later are counted with it. Cycles and instructions are those in user space, which is what the kernel
allows everyone by default; APERF, MPERF and the time stamp counter need more rights. What the kernel,
a container or a hypervisor refuses is not there. See perf_event_open(2).
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.host.system_files import ROOT, read_text, to_integer

CALL = 298  # perf_event_open of x86-64
HARDWARE = 0  # PERF_TYPE_HARDWARE
CYCLES, INSTRUCTIONS = 0, 1  # PERF_COUNT_HW_*
ATTRIBUTES = "<IIQQQQQIIQ"  # struct perf_event_attr, its first version
TIMES = 0b11  # PERF_FORMAT_TOTAL_TIME_ENABLED and _RUNNING
INHERIT, NO_KERNEL, NO_HYPERVISOR = 1 << 1, 1 << 5, 1 << 6
CLOSE_ON_EXEC = 1 << 3  # PERF_FLAG_FD_CLOEXEC
REGISTERS = "sys/bus/event_source/devices/msr"
RATIO = ("aperf", "mperf", "tsc")


@dataclass(frozen=True)
class Event:
    """A counter, by its numbers in ``perf_event_attr``.

    Attributes:
        user_only: leave out what the kernel does for the process.
    """

    type: int
    config: int
    user_only: bool = False


def known_events(root: Path = ROOT) -> dict[str, Event]:
    """Return the counters that the kernel may have, by their names here.

    Args:
        root: of the file system, so that a copied tree can stand for a machine.
    """
    events = {
        "cycles": Event(HARDWARE, CYCLES, True),
        "instructions": Event(HARDWARE, INSTRUCTIONS, True),
    }
    registers = to_integer(read_text(root / REGISTERS / "type"))
    codes = {
        name: re.fullmatch(
            "event=(0x[0-9a-f]+)", read_text(root / REGISTERS / f"events/{name}") or ""
        )
        for name in RATIO
    }
    if registers is not None and all(codes.values()):
        events |= {name: Event(registers, int(code[1], 16)) for name, code in codes.items() if code}
    return events


def open_events(events: Mapping[str, Event]) -> dict[str, int]:
    """Return descriptors of the counters that the kernel gives; never raises.

    They count this thread and the threads and processes that it starts from now on.
    """
    if platform.machine() != "x86_64":
        return {}
    opened = {}
    call = ctypes.CDLL(None, use_errno=True).syscall
    for name, event in events.items():
        flags = INHERIT | (NO_KERNEL | NO_HYPERVISOR if event.user_only else 0)
        attributes = struct.pack(
            ATTRIBUTES, event.type, struct.calcsize(ATTRIBUTES), event.config, 0, 0, TIMES, flags,
            0, 0, 0,
        )  # fmt: skip
        descriptor = call(CALL, attributes, 0, -1, -1, ctypes.c_ulong(CLOSE_ON_EXEC))
        if descriptor >= 0:
            opened[name] = descriptor
    return opened


def read_events(descriptors: Mapping[str, int]) -> dict[str, float]:
    """Return the counts of opened events; of each also NAME_s, the CPU seconds that it counted in.

    Where there are more events than counters they take turns; counts are scaled up to all of the time.
    """
    counts: dict[str, float] = {}
    for name, descriptor in descriptors.items():
        with suppress(OSError, struct.error):
            count, enabled, running = struct.unpack("<QQQ", os.read(descriptor, 24))
            counts[name] = count * enabled / running if running else 0.0
            counts[f"{name}_s"] = enabled / 1e9
    return counts


_own: dict[str, int] = {}  # the descriptors of this process


def count_this_process() -> None:
    """Start to count this process, for ``own_counts``."""
    if not _own:
        _own.update(open_events(known_events()))


def own_counts() -> dict[str, float]:
    """Return the counts of this process, as ``read_events``; none where it is not counted."""
    return read_events(_own)
