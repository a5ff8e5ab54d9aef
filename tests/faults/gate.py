"""The command line with a fault in its own process: ``gate.py POINT SIGNAL WORD...``.

POINT is ``write:NAME``, while the file that will be NAME (a glob) is half-written, or
``call:MODULE:FUNCTION``, when that is called.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any


def strike() -> None:
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))


def in_a_write(glob: str) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        if fnmatch(name, f".{glob}.*.part"):
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            strike()
        real(descriptor)

    os.fsync = fsync


def in_a_call(module: str, function: str) -> None:
    owner = importlib.import_module(module)
    real = getattr(owner, function)

    def called(*arguments: Any, **named: Any) -> Any:
        strike()
        return real(*arguments, **named)

    setattr(owner, function, called)


def main() -> int:
    kind, _, where = sys.argv[1].partition(":")
    if kind == "write":
        in_a_write(where)
    else:
        in_a_call(*where.split(":"))
    from harness.cli import main

    return main(sys.argv[3:])


if __name__ == "__main__":
    raise SystemExit(main())
