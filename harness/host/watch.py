"""Watch a stretch of measuring from within its process.

``Watch`` reads counters before and after the stretch and, if told to, between two batches; never in
one. It starts a thread only for work without batches.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from harness.facts.machine_facts import Disturbance, OpenMP
from harness.host.conditions import Conditions, conditions_between, shows_workers
from harness.host.disturbances import find_disturbances
from harness.host.gaps import Gaps, Heartbeat
from harness.host.libraries.allocator import allocator_mismatches, serving_allocator
from harness.host.snapshot import take_snapshot
from harness.host.thread_activity import (
    BusyThread,
    bound_mismatches,
    busy_threads,
    list_threads,
    thread_mismatches,
)
from harness.host.threads import KMP_NAME, loaded_openmp, openmp_mismatches
from harness.host.topology import read_topology


@dataclass(frozen=True)
class Watched:
    """How a stretch ran.

    Attributes:
        openmp: the library that served MXNet; None where an engine of another kind ran.
        misplaced: from ``thread_mismatches``, or only from ``openmp_mismatches`` where the stretch does
            not show which threads worked; of an engine from ``bound_mismatches``. An allocator other
            than the one asked for is a mismatch too.
    """

    conditions: Conditions
    disturbed: list[Disturbance]
    openmp: OpenMP | None
    misplaced: list[str]


class Watch:
    """A context manager that watches its block, in this process.

    Args:
        cpus: the CPUs to watch, best the allowed ones as the parent process sees them.
        has_batches: whether the block calls ``beat`` once a batch; if not, a thread looks regularly.
        bound: the CPUs that an engine's threads were to be bound to, one a thread; None: MXNet runs,
            and its OpenMP's variables say where.

    Attributes:
        facts: there once the block has ended.
    """

    facts: Watched

    def __init__(
        self,
        cpus: Collection[int],
        has_batches: bool = True,
        bound: Sequence[int] | None = None,
    ) -> None:
        self._cpus = cpus
        self._bound = bound
        self._has_batches = has_batches
        self._cores = read_topology(affinity=cpus).cores

    def __enter__(self) -> Watch:
        team = self._team()
        self._threads, self._before = list_threads(), take_snapshot(cpus=self._cpus, starting=True)
        self._gaps = Gaps(team)
        self._heartbeat = None if self._has_batches else Heartbeat(self._gaps)
        if self._heartbeat:
            self._heartbeat.start()
        return self

    def beat(self) -> None:
        """Check, between two batches, whether the process stood still."""
        self._gaps.beat()

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if self._heartbeat:
            self._heartbeat.stop()
        else:
            self._gaps.look()
        self._gaps.close()
        after, busy = take_snapshot(cpus=self._cpus), busy_threads(self._threads, list_threads())
        allocator = serving_allocator()
        # an engine whose caller is bound to a CPU has that as the first of its team
        main_works = len(set(self._bound or ())) > 1 and any(
            thread.main and thread.worker and len(thread.allowed) == 1 for thread in busy
        )
        conditions = conditions_between(
            self._before, after, busy, self._cores, self._gaps.seconds, allocator, main_works
        )
        openmp = None if self._bound is not None else loaded_openmp()
        self.facts = Watched(
            conditions=conditions,
            disturbed=find_disturbances(conditions),
            openmp=openmp,
            misplaced=[
                *self._misplaced(openmp, busy, shows_workers(conditions)),
                *allocator_mismatches(os.environ, allocator, KMP_NAME),
            ],
        )

    def _team(self) -> int:
        """Return how many threads compute a batch side by side.

        An engine that chooses them by itself takes one a core at most. What one makes without batches
        has parts of one thread, and no team that is known.
        """
        if self._bound is None:
            return loaded_openmp().max_threads or 1
        return len(self._bound) or (len(self._cores) if self._has_batches else 1)

    def _misplaced(
        self, openmp: OpenMP | None, busy: Sequence[BusyThread], shows: bool
    ) -> list[str]:
        if openmp is None:
            return bound_mismatches(self._bound or (), busy) if shows else []
        if shows:
            return thread_mismatches(os.environ, openmp, busy, self._cores)
        return openmp_mismatches(os.environ, openmp)
