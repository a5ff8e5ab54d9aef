"""A worker: reads one job from stdin, does one stage, answers over the pipe it was given."""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any

from harness.errors import HarnessError, InputError, NoSolution, TuningTimeout

KINDS: dict[type[Exception], str] = {
    InputError: "input",
    NoSolution: "no solution",
    TuningTimeout: "timeout",
    HarnessError: "failed",
}


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent is gone (Linux: PR_SET_PDEATHSIG)."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)


class Reporter:
    """Sends messages to the parent, one JSON object per line."""

    def __init__(self, descriptor: int) -> None:
        self._out = os.fdopen(descriptor, "w", encoding="utf-8")

    def send(self, event: str, **fields: Any) -> None:
        self._out.write(json.dumps({"event": event, **fields}) + "\n")
        self._out.flush()

    def progress(self, done: int, total: int, what: str) -> None:
        self.send("progress", done=done, total=total, what=what)


def main() -> None:
    faulthandler.enable()
    descriptor, parent = (int(argument) for argument in sys.argv[1:])
    die_with_parent(parent)
    reporter = Reporter(descriptor)
    try:
        job = json.load(sys.stdin)
        stage = importlib.import_module(f"harness.stages.{job['stage']}")
        value = stage.run(job, reporter.progress)
    except Exception as error:
        traceback.print_exc()
        kind = next((name for cls, name in KINDS.items() if isinstance(error, cls)), "failed")
        message = str(error) if type(error) in KINDS else _one_line(error)
        reporter.send("error", kind=kind, message=message, trials=getattr(error, "trials", None))
    else:
        reporter.send("result", value=value)


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # MXNet puts a C++ stack trace before its message
    text = lines[-1] if lines else ""
    return f"{type(error).__name__}: {text}"[:300]


if __name__ == "__main__":
    main()
