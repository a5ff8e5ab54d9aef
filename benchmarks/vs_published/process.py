"""Run a process and measure it from the outside: wall clock and memory."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_S = 0.25


@dataclass(frozen=True)
class Measured:
    """What a process, with all that it started, took.

    Attributes:
        code: its exit code; negative for a signal.
        seconds: wall clock from before ``exec`` to its end.
        peak_bytes: the largest resident set that any one of its processes reached, as the kernel
            counted it.
        together_bytes: the largest sum of the resident sets of all of them at one time, sampled;
            what they share is counted more than once.
    """

    code: int
    seconds: float
    peak_bytes: int
    together_bytes: int


def measured(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
) -> Measured:
    """Run ``command`` in ``folder`` and wait for it; what it prints is appended to ``log``."""
    with log.open("ab") as out:
        began = time.monotonic()
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=folder,
            env=dict(environment),
        )
        sampler = _Sampler(process.pid)
        try:
            sampler.start()
            # of the process and of all descendants that were waited for: the largest of them
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        finally:
            sampler.stop()
        seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    peak = usage.ru_maxrss * 1024
    return Measured(process.returncode, seconds, peak, max(peak, sampler.together))


class _Sampler(threading.Thread):
    """Adds up, now and then, the resident sets of a process and of all its descendants."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._over = pid, threading.Event()
        self.together = 0

    def run(self) -> None:
        while not self._over.wait(SAMPLE_S):
            try:
                root = psutil.Process(self._pid)
                everyone = [root, *root.children(recursive=True)]
            except psutil.Error:
                continue
            self.together = max(self.together, sum(map(_resident, everyone)))

    def stop(self) -> None:
        self._over.set()
        if self.is_alive():
            self.join()


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it has ended
        return 0
