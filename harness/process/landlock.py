"""Limit for good which files this process and its children may use (Landlock).

What is open already stays usable. Within a Landlock domain a process also reads no memory, environment
or descriptor of one outside of it, root's neither, and from Linux 6.12 on it signals none.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress

CREATE, ADD, RESTRICT = 444, 445, 446  # system calls, the same on every machine
ASK_VERSION, BENEATH = 1, 1  # linux/landlock.h
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << n for n in range(6))
MAKE_DIR, MAKE_REGULAR, MAKE_FIFO, MAKE_LINK = 1 << 7, 1 << 8, 1 << 10, 1 << 12
MOVE, TRUNCATE, DEVICE_CONTROL = 1 << 13, 1 << 14, 1 << 15
HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}  # by version
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | DEVICE_CONTROL
SCOPES, SIGNALS_AND_SOCKETS = 6, 3  # from this version on; abstract Unix sockets too

LIST = READ_DIR
READ = EXECUTE | READ_FILE | READ_DIR
SHARE = READ_FILE | READ_DIR | WRITE_FILE | TRUNCATE | MAKE_REGULAR | REMOVE_FILE
USE = READ_FILE | WRITE_FILE | TRUNCATE | DEVICE_CONTROL
CHANGE = READ | SHARE | REMOVE_DIR | MAKE_DIR | MAKE_FIFO | MAKE_LINK | MOVE


def version() -> int:
    """Return the kernel's version of Landlock; 0 if it has none or refuses it."""
    return max(0, int(_call(CREATE, None, ctypes.c_size_t(0), ASK_VERSION)))


def restrict(rights: Iterable[tuple[str, int]]) -> str | None:
    """Limit this process to the given files and folders; return the reason if that failed.

    It has one thread, and gains no privileges (``PR_SET_NO_NEW_PRIVS``).

    Args:
        rights: paths, with what may be done to each and all below it: LIST, READ, SHARE, USE or
            CHANGE. What is not there is left out.
    """
    known = version()
    if not known:
        return os.strerror(ctypes.get_errno())
    handled = HANDLED[max(version for version in HANDLED if version <= known)]
    scoped = SIGNALS_AND_SOCKETS if known >= SCOPES else 0
    attributes = struct.pack("<QQQ", handled, 0, scoped)[: 24 if known >= SCOPES else 8]
    rules = _call(CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return os.strerror(ctypes.get_errno())
    try:
        for path, right in rights:
            with suppress(OSError):
                _allow(rules, path, right & handled)
        if _call(RESTRICT, rules, 0) != 0:
            return os.strerror(ctypes.get_errno())
    finally:
        os.close(rules)
    return None


def _allow(rules: int, path: str, right: int) -> None:
    file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(file).st_mode):
            right &= OF_FILES
        if right and _call(ADD, rules, BENEATH, struct.pack("<Qi", right, file), 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(file)


def _call(*arguments: object) -> int:
    return int(ctypes.CDLL(None, use_errno=True).syscall(*arguments))
