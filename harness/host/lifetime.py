"""How long a process lives, and how many of a kind: tied to its parent, alone on its host."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.host import locks

SET_PARENT_DEATH_SIGNAL = 1  # of prctl


def die_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel to send this process a signal when its parent is gone (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, number)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)


@contextmanager
def alone_on_host(note: Callable[[str], None]) -> Iterator[None]:
    """Let one night, or one run of a fleet, measure on this host at a time, whoever started it.

    The lock is on the root folder itself: every process of the host sees the same one, nothing is
    written, and the kernel gives it back when its holder ends in whatever way.

    Args:
        note: is told once if another holds the lock.
    """
    text = "another night or a fleet measures on this host: waiting for it"
    with locks.held(Path("/"), waiting=lambda: note(text)):
        yield
