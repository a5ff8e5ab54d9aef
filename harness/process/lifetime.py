"""Processes that end with their parent, and measurements that are alone on their host."""

from __future__ import annotations

import ctypes
import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harness.files import locks

SET_PARENT_DEATH_SIGNAL = 1  # of prctl
LOOK_S = 1.0  # from one look for a parent's end to the next, where no pidfd tells of it
NOT_ALONE = "another night, bisect or fleet measures on this host"
EVERYONES = Path("/")  # any process of this host can lock it
MEASURING = "measuring"  # the name of the lock of one user's measurements


def die_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel to send this process a signal when its parent is gone (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, number)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)


@dataclass(frozen=True)
class Keeper:
    """The process that ends another one's children; see ``end_group_with_this``.

    Attributes:
        pid: its number.
        tell: a descriptor; what is written there sends it away.
    """

    pid: int
    tell: int

    def dismiss(self) -> None:
        """End and reap the keeper; the process that waits for this one ends the group then."""
        with suppress(OSError):
            os.write(self.tell, b"\0")  # a signal would not reach it from within Landlock
            os.waitpid(self.pid, 0)


def end_group_with_this() -> Keeper | None:
    """Have all children of this process end when it ends, however it ends.

    Another process of its group waits for that and then kills the group; whoever wants to leave the
    group is kept in it by ``seccomp``, where the kernel has that.

    Returns:
        that process; None in a process that does not lead its group: that is another's.
    """
    this = os.getpid()
    if os.getpgrp() != this:
        return None
    receive, tell = os.pipe()
    pid = os.fork()
    if pid:
        os.close(receive)
        return Keeper(pid, tell)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        os.closerange(0, receive)
        os.closerange(receive + 1, os.sysconf("SC_OPEN_MAX"))
        _wait_for_end(this, receive)
    finally:
        os.killpg(this, signal.SIGKILL)
        os._exit(1)


def _wait_for_end(parent: int, receive: int) -> None:
    """Wait until the parent has ended; end this process on a byte from the pipe.

    Not by a signal of the parent's death: Landlock keeps back those that come from within it.
    """
    watched, pause = [receive], None
    try:
        watched.append(os.pidfd_open(parent))
    except OSError:
        pause = LOOK_S
    while os.getppid() == parent:
        ready, _, _ = select.select(watched, [], [], pause)
        if receive in ready and os.read(receive, 1):
            os._exit(0)


@contextmanager
def alone_on_host(
    limit_s: float, tell: Callable[[str, float], None], note: Callable[[str], None]
) -> Iterator[None]:
    """Let only one night, bisect or run of a fleet measure on this host at a time, for any user.

    Two locks, which the kernel gives back when their holder ends in whatever way. One is in a folder
    of this user's own, which nobody else can take. The other, on the root folder, is the same for all
    users, and any of them can take it and never let go. So a wait for one's own night ends with an
    error, since the two would spoil each other's times; that for another user ends with a warning, and
    what that user does besides is seen as any other work that disturbs a measurement is.

    Args:
        limit_s: of each of the two waits; 0 is no limit.
        tell: is told whom this waits for, as ``locks.Wait``.
        note: is told if it goes on without being alone.

    Raises:
        StillHeld: another measurement of this user went on for longer.
    """
    wait = locks.Wait(limit_s, "run.wait_s", tell)
    with locks.held(locks.local_folder() / MEASURING, wait):
        everyones = locks.Lock(EVERYONES)
        try:
            try:
                everyones.take(wait=wait)
            except locks.StillHeld as error:
                if error.holder is not None and error.holder.uid == os.geteuid():
                    raise
                note(f"warning: this measurement is not alone on this host: {error}")
            yield
        finally:
            everyones.close()
