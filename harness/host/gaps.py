"""Stretches in which this process stood still: stopped, frozen with its container, or paused.

A process that stands still neither runs nor waits for a CPU, and the kernel counts both of each thread
(``/proc/self/task/*/schedstat``). So what the clock counts beyond is a gap: in it nothing of the process
was even ready to run. Waiting for a busy CPU is none, however long it is.

Threads that work at the same time would hide a gap in a long stretch. So the counters are read between
batches, never in one, and each time is compared with what was counted since the last.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from contextlib import suppress

TASKS = "/proc/self/task"
LOOK_EVERY_S = 0.05  # between two looks, if a batch takes no longer
LEAST_S = 0.1  # unexplained; less comes of waking up
LEAST_WITH_DISK_S = 1.0  # where a page was read from the disk meanwhile, which may take some time
HEARTBEAT_S = 0.1


class Gaps:
    """Finds gaps between calls of ``beat``, which whoever works calls once a batch.

    Attributes:
        seconds: of all gaps so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._team = int(os.environ.get("OMP_NUM_THREADS") or 1)
        self._files: dict[int, int] = {}
        self._list_threads()
        self._before = self._read()
        self._faults = _major_faults()
        self._at = time.monotonic()

    def beat(self) -> None:
        """Look whether there was a gap, unless the last look was just now."""
        if time.monotonic() - self._at >= LOOK_EVERY_S:
            self.look()

    def look(self, most: float | None = None) -> None:
        """Look whether there was a gap since the last look.

        Args:
            most: seconds that it may have had; None for any.
        """
        now, faults = time.monotonic(), _major_faults()
        spent = now - self._at
        active = self._read()
        gap = spent - self._explained(active, spent)
        if gap > LEAST_S:  # threads that began meanwhile have worked, too
            self._list_threads()
            active = self._read()
            gap = spent - self._explained(active, spent)
        if most is not None:
            gap = min(gap, most)
        if gap > (LEAST_S if faults == self._faults else LEAST_WITH_DISK_S):
            self.seconds += gap
        self._before, self._faults, self._at = active, faults, now

    def close(self) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def _list_threads(self) -> None:
        for tid in map(int, os.listdir(TASKS)):
            if tid not in self._files:
                with suppress(OSError):  # it has just ended
                    self._files[tid] = os.open(
                        f"{TASKS}/{tid}/schedstat", os.O_RDONLY | os.O_CLOEXEC
                    )

    def _read(self) -> dict[int, float]:
        """Return for how long each thread ran or was ready to run, in seconds."""
        found = {}
        for tid, descriptor in list(self._files.items()):
            try:
                ran, waited, *_ = os.pread(descriptor, 80, 0).split()
                found[tid] = (int(ran) + int(waited)) / 1e9
            except (OSError, ValueError):  # it has ended, or the kernel does not tell
                os.close(self._files.pop(tid))
        return found

    def _explained(self, active: dict[int, float], spent: float) -> float:
        """Return how much of the time some thread ran or was ready to run; all if that is unknown.

        The main thread and the one that leads OpenMP's team work by turns, the team beside its leader.
        """
        grown = {tid: each - self._before.get(tid, 0.0) for tid, each in active.items()}
        main = os.getpid()
        if main not in grown:
            return spent
        others = [each for tid, each in grown.items() if tid != main]
        return grown[main] + max(max(others, default=0.0), sum(others) / self._team)


class Heartbeat:
    """Finds gaps in work that has no batches, by a thread that wakes up regularly.

    Only for what is not timed to the millisecond: the thread takes some microseconds each time. It woke
    late in a gap, so work that sleeps or waits for another process makes none.
    """

    def __init__(self, gaps: Gaps) -> None:
        self._gaps = gaps
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            asleep = time.monotonic()
            ended = self._ended.wait(HEARTBEAT_S)
            self._gaps.look(most=time.monotonic() - asleep - HEARTBEAT_S)


def _major_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt
