"""System calls that a kernel, a container or a file system may refuse, with replacements."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

REFUSED = {errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM}


@contextmanager
def child_end(pid: int) -> Iterator[int]:
    """Yield a descriptor that becomes readable when a child ends; the child is not reaped.

    It is a pidfd (Linux 5.3; Docker allows it from 20.10 on). Where that is refused, a thread blocks
    until the child has ended and then closes the other end of a pipe.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:
        descriptor = _pipe_until_end(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _pipe_until_end(pid: int) -> int:
    read, write = os.pipe()  # no child inherits it

    def wait() -> None:
        with suppress(ChildProcessError):  # the child was reaped meanwhile
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        os.close(write)

    # a daemon: after a second Ctrl-C nobody waits for the child
    threading.Thread(target=wait, name=f"end of {pid}", daemon=True).start()
    return read


def sync(file: int) -> None:
    """Wait until an open file is on its disk; where ``fsync`` is refused, until everything is."""
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        os.sync()


def reserve(file: int, size: int) -> None:
    """Give an open file its size and reserve the space; where that is refused, only set the size."""
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        os.ftruncate(file, size)


def refused_calls(folder: Path) -> list[tuple[str, str]]:
    """Return the calls that are refused here, with the reason, and their replacements.

    Args:
        folder: where files are written; it exists and is writable.
    """
    refused = []
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        refused.append((f"pidfd_open: {error.strerror}", "a thread waits for each worker's end"))
    try:
        os.sched_getaffinity(0)
    except OSError as error:
        instead = "/proc tells which CPUs are allowed"
        refused.append((f"sched_getaffinity: {error.strerror}", instead))
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            instead = "each write waits until all of the machine's are on their disks"
            refused.append((f"fsync: {error.strerror}", instead))
        try:
            os.posix_fallocate(file.fileno(), 0, 1)
        except OSError as error:
            instead = "no room is kept for images before they are prepared"
            refused.append((f"fallocate: {error.strerror}", instead))
    return refused
