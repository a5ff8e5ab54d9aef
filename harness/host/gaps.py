"""Gaps: times in which this process stood still, stopped or frozen with its container.

A process that stands still neither runs nor waits for a CPU, and the kernel counts both for each thread
(``/proc/self/task/*/schedstat``). A gap is time of the clock beyond these counts: no thread of the
process was even ready to run. Waiting for a busy CPU is no gap, however long it takes.

Threads that work at the same time would hide a gap in a long stretch. So the counters are read between
batches, never in one, and compared with the clock since the last reading.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from contextlib import suppress

TASKS = "/proc/self/task"
LOOK_EVERY_S = 0.05  # least time between two looks
LEAST_S = 0.1  # of a gap; waking up takes less
LEAST_WITH_DISK_S = 1.0  # of a gap during which a page was read from the disk
HEARTBEAT_S = 0.1


class Gaps:
    """Finds gaps between calls of ``beat``, one a batch.

    Args:
        team: how many threads compute a batch side by side.

    Attributes:
        seconds: the length of all gaps so far.
    """

    def __init__(self, team: int) -> None:
        self.seconds = 0.0
        self._team = team
        self._files: dict[int, int] = {}
        self._list_threads()
        self._before = self._read()
        self._faults = _major_faults()
        self._at = time.monotonic()

    def beat(self) -> None:
        """Look for a gap, unless the last look was just now."""
        if time.monotonic() - self._at >= LOOK_EVERY_S:
            self.look()

    def look(self, most: float | None = None) -> None:
        """Look for a gap since the last look.

        Args:
            most: the longest gap possible, in seconds; None for any.
        """
        now, faults = time.monotonic(), _major_faults()
        spent = now - self._at
        active = self._read()
        gap = spent - self._explained(active, spent)
        if gap > LEAST_S:  # threads that started meanwhile have worked, too
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
                with suppress(OSError):  # the thread has just ended
                    self._files[tid] = os.open(
                        f"{TASKS}/{tid}/schedstat", os.O_RDONLY | os.O_CLOEXEC
                    )

    def _read(self) -> dict[int, float]:
        """Return how many seconds each thread ran or was ready to run."""
        active = {}
        for tid, descriptor in list(self._files.items()):
            try:
                ran, waited, *_ = os.pread(descriptor, 80, 0).split()
                active[tid] = (int(ran) + int(waited)) / 1e9
            except (OSError, ValueError):  # the thread has ended, or the kernel does not tell
                os.close(self._files.pop(tid))
        return active

    def _explained(self, active: dict[int, float], spent: float) -> float:
        """Return how many seconds some thread ran or was ready to run; all of them if that is unknown.

        The main thread and the leader of the team work in turn, the team beside its leader.
        """
        growth = {tid: total - self._before.get(tid, 0.0) for tid, total in active.items()}
        main = os.getpid()
        if main not in growth:
            return spent
        others = [seconds for tid, seconds in growth.items() if tid != main]
        return growth[main] + max(max(others, default=0.0), sum(others) / self._team)


class Heartbeat:
    """Finds gaps in work without batches, with a thread that wakes up regularly.

    For searches, and for servers, which sleep between two batches. The thread takes some microseconds
    each time, ten times a second. It wakes late only after a gap, so work that sleeps or waits for
    another process makes none.
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
