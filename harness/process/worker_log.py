"""The log of a worker's prints, which stays small however much it prints."""

from __future__ import annotations

import fcntl
import os
import re
from collections import deque
from contextlib import suppress
from pathlib import Path

HEAD_BYTES = TAIL_BYTES = 1 << 20  # of what one process prints, its beginning and its end are kept
ROTATED_BYTES = HEAD_BYTES + TAIL_BYTES  # a log of more than this becomes NAME.1, which is replaced
BLOCK_BYTES = 1 << 16
PIPE_BYTES = 1 << 20  # as much as an unprivileged process may ask for
# What a terminal that shows the log would obey, as UTF-8: C0 but for line ends and tabs, C1, and
# changes of direction. The names of operators that a worker prints come from files.
COMMANDS = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]"
)


class WorkerLog:
    """The pipe that a process prints to, and its log.

    Processes of one stage append to one log. With what is kept of each and the one rotated log, that
    is at most 2 * (ROTATED_BYTES + HEAD_BYTES + TAIL_BYTES) = 8 MiB, for processes that do not run
    at the same time. The beginning is written as it comes, the end when the process has ended.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > ROTATED_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self.read, self.write = os.pipe()
        with suppress(OSError):  # the user's pipes together may have their limit
            fcntl.fcntl(self.write, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.set_blocking(self.read, False)
        self._head_left = HEAD_BYTES
        self._tail: deque[bytes] = deque()
        self._tail_bytes = self._left_out = 0
        self._open = True

    def started(self) -> None:
        """Close the end of the pipe that the process has inherited."""
        os.close(self.write)

    def take(self) -> bool:
        """Read one block from the pipe; return False if there is none now."""
        try:
            block = os.read(self.read, BLOCK_BYTES)
        except BlockingIOError:
            return False
        head, rest = block[: self._head_left], block[self._head_left :]
        self._head_left -= len(head)
        self._write(head)
        self._tail.append(rest)
        self._tail_bytes += len(rest)
        while self._tail_bytes > TAIL_BYTES:
            cut = min(self._tail_bytes - TAIL_BYTES, len(self._tail[0]))
            kept = self._tail.popleft()[cut:]
            if kept:
                self._tail.appendleft(kept)
            self._tail_bytes -= cut
            self._left_out += cut
        return bool(block)

    def close(self) -> None:
        """Read the rest of an ended process's prints and write their end."""
        if not self._open:
            return
        self._open = False
        for _ in range(PIPE_BYTES // BLOCK_BYTES + 1):  # something of its may still be printing
            if not self.take():
                break
        os.close(self.read)
        if self._left_out:
            self._write(f"\n[... {self._left_out} bytes left out ...]\n".encode())
        self._write(b"".join(self._tail))
        os.close(self._file)

    def _write(self, text: bytes) -> None:
        text = COMMANDS.sub(b"?", text)
        with suppress(OSError):  # a full disk must not cost the measurement
            while text:
                text = text[os.write(self._file, text) :]
