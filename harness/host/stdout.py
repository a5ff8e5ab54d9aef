"""Capture what C code in this process writes to standard output."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

STDOUT = 1


@contextmanager
def captured_stdout() -> Iterator[list[str]]:
    """Redirect descriptor 1 to a file, since oneDNN writes from C; the list gets its lines at the end."""
    lines: list[str] = []
    with tempfile.TemporaryFile() as file:
        _flush()
        kept = os.dup(STDOUT)
        os.dup2(file.fileno(), STDOUT)
        try:
            yield lines
        finally:
            _flush()
            os.dup2(kept, STDOUT)
            os.close(kept)
        file.seek(0)
        lines += file.read().decode(errors="replace").splitlines()


def _flush() -> None:
    sys.stdout.flush()
    ctypes.CDLL(None).fflush(None)
