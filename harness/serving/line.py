"""Queries in one line for several processes: whoever is free takes the next ones, in their order.

The line is two numbers in memory that the processes share, and a lock on it: nothing is sent when a
query arrives. All processes know when that is, so the one that takes a query waits for it.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

TAKEN, LATE = 0, 1  # where the numbers are


@dataclass(frozen=True)
class Batch:
    """Queries that are served together.

    Attributes:
        queries: their numbers in the order of arrival.
        complete_at: when no other query can join them, on the clock of the arrivals.
    """

    queries: range
    complete_at: float


class Line:
    """A line of queries.

    Attributes:
        descriptor: of its memory; the line is shared with processes that inherit it.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, mmap.PAGESIZE)
        self._numbers = memoryview(self._memory).cast("Q")

    def close(self) -> None:
        """Leave the line to the processes that inherited it."""
        self._numbers.release()
        self._memory.close()
        os.close(self.descriptor)

    @classmethod
    def new(cls) -> Line:
        """Return a line in memory that is freed when no process has it open."""
        descriptor = os.memfd_create("line")
        os.ftruncate(descriptor, mmap.PAGESIZE)
        return cls(descriptor)

    def reset(self) -> None:
        """Begin at the first query; no process may be serving."""
        self._numbers[TAKEN] = self._numbers[LATE] = 0

    @property
    def late(self) -> int:
        """The number of queries that were served too late."""
        return self._numbers[LATE]

    def take(
        self, arrivals: Sequence[float], now: float, largest: int, delay_s: float
    ) -> Batch | None:
        """Take the queries of the next batch; None if there are no more.

        A batch is complete when it has ``largest`` queries, or when its first one has waited
        ``delay_s`` seconds.

        Args:
            arrivals: of all queries, ascending, on the clock of ``now``.
        """
        with self._locked():
            first = self._numbers[TAKEN]
            if first >= len(arrivals):
                return None
            last = first + largest - 1
            full_at = arrivals[last] if last < len(arrivals) else math.inf
            complete_at = max(now, min(full_at, arrivals[first] + delay_s))
            end = first + 1
            while end < len(arrivals) and end <= last and arrivals[end] <= complete_at:
                end += 1
            self._numbers[TAKEN] = end
        return Batch(range(first, end), complete_at)

    def add_late(self, queries: int) -> None:
        """Count queries that were served too late."""
        with self._locked():
            self._numbers[LATE] += queries

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)
