"""Who holds a lock: what the kernel tells of it in /proc, for a message to whoever waits."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
LISTED = re.compile(r"\d+: (FLOCK|OFDLCK|POSIX) +\S+ +\S+ (-?\d+) (\w+):(\w+):(\d+) ")
LONGEST_COMMAND = 120


@dataclass(frozen=True)
class Holder:
    """A process that has a lock.

    Attributes:
        uid: its user's number.
    """

    pid: int
    uid: int
    command: str

    def __str__(self) -> str:
        try:
            user = pwd.getpwuid(self.uid).pw_name
        except KeyError:  # of a container or a directory service
            user = str(self.uid)
        return f"pid {self.pid} of user {user} ({self.command})"


def holder_of(file: int) -> Holder | None:
    """Return a process that has an open file's lock, or None where none can be seen.

    A process of another container or of another host cannot, nor one that hides behind ``hidepid``.
    """
    wanted = _kernel_name(file)
    pids = [pid for pid, name in _locks(PROC / "locks") if name == wanted]
    if not pids:
        return None
    named = (found for pid in pids if pid > 0 and (found := _described(pid)))
    open_in = (found for pid in _with_descriptor(wanted) if (found := _described(pid)))
    return next(named, None) or next(open_in, None)


def _described(pid: int) -> Holder | None:
    with suppress(OSError):  # it has just ended
        folder = PROC / str(pid)
        return Holder(pid, folder.stat().st_uid, _command(folder))
    return None


def _kernel_name(file: int) -> tuple[int, int, int]:
    """Return an open file's device and inode as the list of locks has them.

    On btrfs and overlays that is not what ``fstat`` tells; the mount's own device is.
    """
    found = os.fstat(file)
    name = os.major(found.st_dev), os.minor(found.st_dev), found.st_ino
    with suppress(OSError, ValueError, StopIteration):
        lines = (PROC / "self" / "fdinfo" / str(file)).read_text().splitlines()
        said = dict(line.split(":", 1) for line in lines if ":" in line)
        mount = said["mnt_id"].strip() if "mnt_id" in said else ""
        rows = (row.split() for row in (PROC / "self" / "mountinfo").read_text().splitlines())
        major, minor = map(int, next(row[2] for row in rows if row[0] == mount).split(":"))
        name = major, minor, int(said.get("ino", found.st_ino))
    return name


def _locks(path: Path) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """Yield the process and the file of each lock that a list of the kernel's names."""
    with suppress(OSError):
        for line in path.read_text(errors="replace").splitlines():
            found = LISTED.match(line.removeprefix("lock:").strip())
            if found:
                major, minor = int(found[3], 16), int(found[4], 16)
                yield int(found[2]), (major, minor, int(found[5]))


def _with_descriptor(wanted: tuple[int, int, int]) -> Iterator[int]:
    """Yield the processes that have the file open and locked; of another user's only root sees it.

    The kernel names no process for a lock of an open file description, and a dead one for a ``flock``
    that a child has inherited.
    """
    for folder in PROC.glob("[0-9]*/fdinfo"):
        with suppress(OSError):
            for path in folder.iterdir():
                if any(name == wanted for _, name in _locks(path)):
                    yield int(folder.parent.name)
                    break


def _command(folder: Path) -> str:
    words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    said = words.strip() or (folder / "comm").read_text(errors="replace")
    command = " ".join(said.split())
    if len(command) <= LONGEST_COMMAND:
        return command
    return f"{command[:LONGEST_COMMAND].rpartition(' ')[0] or command[:LONGEST_COMMAND]} …"
