"""A real terminal of a given size, and what a command writes to it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path

COMMANDS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LINES = 40


def in_terminal(
    command: Sequence[str], folder: Path, width: int, errors: bool = False, **variables: str
) -> str:
    """Return the text that a command writes to a terminal, without colours and ends of lines.

    Args:
        folder: where it is started.
        width: of the terminal, in columns.
        errors: its stderr is the terminal, too.
        variables: of its environment, besides those of this process.
    """
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, width, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    environment |= {"TERM": "xterm", **variables}
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=its,
        stdout=its,
        stderr=its if errors else subprocess.DEVNULL,
        env=environment,
    ) as process:
        os.close(its)
        text = COMMANDS.sub("", b"".join(_parts(mine)).decode())
    os.close(mine)
    assert process.returncode == 0, text
    return "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").split("\n"))


def _parts(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            part = os.read(terminal, 1 << 16)
        except OSError:  # all of its other ends are closed
            return
        if not part:
            return
        yield part
