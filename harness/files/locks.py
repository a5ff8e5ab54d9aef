"""Locks that keep processes apart, on file systems and kernels that do not have each kind of them.

Only locks that the kernel gives back when their holder ends, in whatever way: none can go stale. (What
the holder was just starting has them until it has become its program.) The first of these that works is
used, so that two processes on one host come to the same one:

1. ``flock`` on the file itself;
2. an open file description lock (``fcntl``, Linux 3.15) on it, where a container refuses ``flock``;
3. the same two on a file of the user's own in this host's memory, named after the real path: for NFS
   without a lock daemon, Lustre without ``flock``, and some FUSE. That keeps apart the runs of one
   user on one host, and the user is told so.

Where none works there is an error: nothing goes on without a lock.

``lock_open_file`` is the first alone, for files that a process hands on open to those it starts.

Who may read a file may lock it, so a stranger can keep a lock for ever: each wait has a limit, and
tells who is waited for.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.files.holders import Holder, holder_of

MISSING = {  # what a call says that does not lock here; a folder of NFS says EBADF
    errno.EBADF,
    errno.EINVAL,
    errno.ENOLCK,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EPERM,
}
LOCAL = (
    Path("/dev/shm"),
    Path("/tmp"),
    Path(f"/run/user/{os.geteuid()}"),
)  # the same for each of a user's processes: no variable counts
USUAL_LIMIT_S = 3600.0  # for what holds a lock for seconds, such as an import
FIRST_LOOK_S, LAST_LOOK_S = (
    0.01,
    1.0,
)  # from one try to the next: a second costs a measurement nothing
RANGE = struct.Struct("hhqqi")  # struct flock of 64-bit Linux
SQLITE_KEEPS_OFF = 1 << 62  # where a record lock is tried: far behind all that SQLite locks
ADVICE = (
    "choose a folder on a disk of this host (run.results, run.cache), mount it with locks, or start "
    "the container with a seccomp profile that allows flock and fcntl"
)


class StillHeld(HarnessError):
    """Another process kept a lock for longer than is waited.

    Attributes:
        holder: that process, where it can be seen.
    """

    def __init__(self, message: str, holder: Holder | None) -> None:
        super().__init__(message)
        self.holder = holder


@dataclass(frozen=True)
class Wait:
    """How a lock is waited for.

    Attributes:
        limit_s: how long, in seconds; 0 is no limit.
        key: of the configuration, which sets that.
        tell: is called with the holder, or "a process that cannot be seen from here", and the seconds
            waited so far: before the wait and about every second of it.
    """

    limit_s: float = USUAL_LIMIT_S
    key: str = ""
    tell: Callable[[str, float], None] = lambda holder, seconds: None


class Lock:
    """One hold of this process on a path; the kernel gives it back when the process ends."""

    def __init__(self, path: Path) -> None:
        """Open the file, made where it is not there; nothing is locked yet.

        Args:
            path: a file, or a folder that is there.
        """
        self.path = path
        self._file = _opened(path)
        self._local: int | None = None  # the file that stands for it, once that is needed

    def take(self, shared: bool = False, wait: Wait | None = None) -> bool:
        """Lock it, or change between shared and alone; False if another process has it.

        Args:
            wait: for that process, letting go of a share meanwhile: two that share it would wait for
                each other. None: not at all.

        Raises:
            StillHeld: it was not to be had within the limit.
            HarnessError: nothing locks here.
        """
        if self._take_now(shared):
            return True
        if wait is None:
            return False
        began, pause, told = time.monotonic(), FIRST_LOOK_S, -LAST_LOOK_S
        while True:
            waited = time.monotonic() - began
            if waited - told >= LAST_LOOK_S:
                wait.tell(self._holder_named(), waited)
                told = waited
            if wait.limit_s and waited >= wait.limit_s:
                raise self._still_held(wait)
            time.sleep(min(pause, wait.limit_s - waited) if wait.limit_s else pause)
            pause = min(2 * pause, LAST_LOOK_S)
            if self._take_now(shared):
                return True

    def holder(self) -> Holder | None:
        """Return a process that has it, where one can be seen."""
        return holder_of(self._file if self._local is None else self._local)

    def _holder_named(self) -> str:
        return str(self.holder() or "a process that cannot be seen from here")

    def _still_held(self, wait: Wait) -> StillHeld:
        longer = f", or wait longer with {wait.key}=SECONDS" if wait.key else ""
        return StillHeld(
            f"{self.path} is locked by {self._holder_named()}, after {wait.limit_s:g} s of waiting: "
            f"see what that does and end it{longer}; start again after that",
            self.holder(),
        )

    def _take_now(self, shared: bool) -> bool:
        while True:
            held = self._try(shared)
            if not held or self._is_at_its_path():
                return held
            os.close(self._file)  # whoever held it before has deleted it
            self._file = _opened(self.path)

    def close(self) -> None:
        """Let go."""
        os.close(self._file)
        if self._local is not None:
            os.close(self._local)
            self._local = None

    def _try(self, shared: bool) -> bool:
        refused = ""
        if self._local is None:
            held, refused = _lock(self._file, shared)
            if held is not None:
                return held
            folder = local_folder()
            name = hashlib.sha256(os.fsencode(os.path.realpath(self.path))).hexdigest()[:32]
            self._local = _opened(folder / name)
        held, again = _lock(self._local, shared)
        if held is None:
            raise HarnessError(f"{self.path} cannot be locked ({refused or again}): {ADVICE}")
        if refused:
            _tell(self.path, refused)
        return held

    def _is_at_its_path(self) -> bool:
        if self._local is not None:
            return True  # that file is never deleted
        try:
            return os.path.samestat(os.fstat(self._file), os.stat(self.path))
        except FileNotFoundError:
            return False


@contextmanager
def held(path: Path, wait: Wait | None = Wait()) -> Iterator[bool]:
    """Hold a path alone while the block runs; yields False if ``wait`` is None and another has it.

    Raises:
        StillHeld: as ``Lock.take``.
    """
    lock = Lock(path)
    try:
        yield lock.take(wait=wait)
    finally:
        lock.close()


def lock_open_file(file: int, shared: bool = False, wait: bool = False) -> bool | None:
    """Lock an open file by ``flock``; whoever inherits the descriptor holds the lock too.

    It needs nothing of the harness, so that Ray can send it to a node as it is.

    Args:
        file: the descriptor.
        wait: for a process that has it, without a limit.

    Returns:
        True if it is locked, False if another process has it, None where ``flock`` does not work.

    Raises:
        OSError: the call failed in another way.
    """
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, how if wait else how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in MISSING:
            return None
        raise
    return True


def weakness(folder: Path) -> str | None:
    """Say what does not lock in a folder that is there, and what is done instead; None if all does.

    Raises:
        HarnessError: nothing can be done instead.
    """
    refused = _refused_in(folder)
    if refused:
        again = _refused_in(local_folder())
        if again:
            raise HarnessError(f"nothing can be locked ({again}): {ADVICE}")
        return _instead(refused)
    if not has_record_locks(folder):
        return "no record locks (fcntl): the history of nights is locked as a whole instead"
    return None


def _refused_in(folder: Path) -> str:
    with tempfile.TemporaryFile(dir=folder) as file:
        _, refused = _lock(file.fileno(), shared=False)
    return refused


def has_record_locks(folder: Path) -> bool:
    """Say whether ``fcntl`` locks work in a folder: SQLite has no others."""
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, SQLITE_KEEPS_OFF)
        except OSError:
            return False
    return True


def local_folder() -> Path:
    """Return a folder on this host that is this user's own.

    Raises:
        HarnessError: there is none.
    """
    name = f"inc-bench-locks-{os.geteuid()}"
    for parent in LOCAL:
        folder = parent / name
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
        except OSError:
            continue
        private = not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and private:
            return folder
    places = " or ".join(str(parent / name) for parent in LOCAL)
    raise HarnessError(f"there is no place for locks: {places} must be yours alone; {ADVICE}")


def _opened(path: Path) -> int:
    if path.is_dir():
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    path.parent.mkdir(parents=True, exist_ok=True)  # it may have been deleted with its last holder
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _lock(file: int, shared: bool) -> tuple[bool | None, str]:
    """Try to lock an open file; return whether it is, None and the reasons if nothing locks it."""
    refused = []
    for name, call in (("flock", _flock), ("fcntl", _description_lock)):
        try:
            call(file, shared)
        except BlockingIOError:
            return False, ""
        except OSError as error:
            if error.errno == errno.EACCES and call is _description_lock:
                return False, ""  # POSIX lets a file system say so as well
            if error.errno not in {*MISSING, errno.EACCES}:
                raise
            refused.append(f"{name}: {error.strerror}")
        else:
            return True, ""
    return None, ", ".join(refused)


def _flock(file: int, shared: bool) -> None:
    # a change between shared and alone lets go of it first, also where it then fails
    fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def _description_lock(file: int, shared: bool) -> None:
    if not shared:  # as flock does by itself
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, RANGE.pack(fcntl.F_UNLCK, os.SEEK_SET, 0, 1, 0))
    kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, RANGE.pack(kind, os.SEEK_SET, 0, 1, 0))


_told: set[str] = set()


def _tell(path: Path, refused: str) -> None:
    text = _instead(refused)
    if text not in _told:
        _told.add(text)
        print(f"note: {path}: {text}", file=sys.stderr, flush=True)


def _instead(refused: str) -> str:
    return (
        f"no locks on this file system ({refused}): they are in {local_folder()} instead, which keeps "
        "apart your runs on this host, not those of others or of other hosts"
    )
