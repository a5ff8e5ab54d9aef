"""Which run is measured on which machine, and what happens when a machine is lost.

Knows nothing of Ray: a cluster is whatever starts attempts and tells events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.errors import HarnessError, InputError

WAITING = "waiting"
RUNNING = "running"
ARRIVED = "arrived"
REFUSED = "refused"
LOST = "lost"
OPEN = (WAITING, RUNNING)

PROGRESS = "progress"  # of events; the others are ARRIVED, REFUSED and LOST
MOST_ATTEMPTS = 3
TICK_S = 1.0


@dataclass(frozen=True)
class Machine:
    """A node of the cluster.

    Attributes:
        node: its id; one that comes back after a loss has another.
        type: machines of one type can stand in for each other.
    """

    node: str
    type: str
    address: str


@dataclass
class Attempt:
    """An attempt to measure a run on one machine."""

    node: str
    address: str
    state: str = RUNNING
    reason: str = ""


@dataclass
class Job:
    """One run of the fleet: every attempt has the same run id, so that it can arrive only once.

    Attributes:
        node: the machine that it was planned for.
        code: of the run that arrived, 0 or 3.
        reason: why it is refused or lost.
    """

    run: str
    type: str
    node: str
    state: str = WAITING
    code: int | None = None
    reason: str = ""
    attempts: list[Attempt] = field(default_factory=list)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Job:
        """Return a job of an earlier driver; one that had not arrived waits again."""
        job = cls(**{**stored, "attempts": [Attempt(**attempt) for attempt in stored["attempts"]]})
        for attempt in job.attempts:
            job.node = attempt.node  # what was measured there goes on there
            if attempt.state == RUNNING:
                attempt.state, attempt.reason = LOST, "the driver ended"
        if job.state != ARRIVED:
            job.state, job.reason = WAITING, ""
        return job


@dataclass(frozen=True)
class Event:
    """A cluster's message about an attempt (its number in the job, from 0).

    Attributes:
        kind: PROGRESS, ARRIVED with ``pack`` and ``code``, REFUSED (no other machine would fare
            better), or LOST.
        text: a line of progress, or the reason.
    """

    run: str
    attempt: int
    kind: str
    text: str = ""
    code: int = 0
    pack: bytes = b""


class Cluster(Protocol):
    """Where attempts run."""

    def machines(self) -> Sequence[Machine]:
        """Return the machines that are alive and chosen."""
        ...

    def start(self, run: str, attempt: int, machine: Machine) -> None:
        """Begin an attempt; its events follow."""
        ...

    def stop(self, run: str, attempt: int) -> None:
        """End an attempt that is no longer needed."""
        ...

    def events(self, timeout_s: float) -> Iterable[Event]:
        """Return the events since the last call; wait for the first one up to a time limit."""
        ...


@dataclass
class Schedule:
    """Starts attempts until every job has ended.

    Attributes:
        keep: takes a pack in; raises InputError or HarnessError where it is not whole.
        save: called after every change of a job.
        wait_s: how long a run waits for a machine of its type to appear.
        clock: seconds, rising.
    """

    jobs: list[Job]
    cluster: Cluster
    keep: Callable[[Job, bytes], None]
    save: Callable[[], None]
    note: Callable[[str], None]
    wait_s: float
    clock: Callable[[], float]
    _gone: set[str] = field(default_factory=set)  # nodes that lost an attempt
    _losses: dict[str, int] = field(default_factory=dict)  # of each run
    _since: dict[str, float] = field(default_factory=dict)  # when a run began to lack a machine

    def drive(self) -> None:
        """Return when every run has arrived, was refused, or is given up as lost."""
        while any(job.state in OPEN for job in self.jobs):
            machines = self.cluster.machines()
            self._miss(machines)
            self._start(machines)
            self._give_up(machines)
            if any(job.state in OPEN for job in self.jobs):
                for event in self.cluster.events(TICK_S):
                    self._handle(event)

    def _miss(self, machines: Sequence[Machine]) -> None:
        """End attempts whose machine the cluster has lost."""
        alive = {machine.node for machine in machines}
        for job in self.jobs:
            for number, attempt in enumerate(job.attempts):
                if attempt.state == RUNNING and attempt.node not in alive:
                    self._lose(job, number, "the cluster no longer has this node")

    def _start(self, machines: Sequence[Machine]) -> None:
        busy = {
            attempt.node
            for job in self.jobs
            for attempt in job.attempts
            if attempt.state == RUNNING
        }
        free = [machine for machine in machines if machine.node not in busy | self._gone]
        for job in self.jobs:
            fitting = [machine for machine in free if machine.type == job.type]
            if job.state != WAITING or not fitting:
                continue
            tried = [attempt.node for attempt in job.attempts]
            measured = {
                attempt.node
                for other in self.jobs
                for attempt in other.attempts
                if attempt.state == ARRIVED
            }
            # its own machine first, then those whose own run is not waiting for them; then those that
            # measured no run of this fleet yet, since a machine counts once for its type
            wanted = {other.node for other in self.jobs if other.state == WAITING and other != job}
            machine = min(
                fitting,
                key=lambda machine: (
                    machine.node != job.node,
                    machine.node in wanted,
                    machine.node in tried,
                    machine.node in measured,
                ),
            )
            if machine.node in wanted and machine.node != job.node:
                continue
            free.remove(machine)
            job.attempts.append(Attempt(machine.node, machine.address))
            job.state = RUNNING
            self._since.pop(job.run, None)
            again = "again " if len(job.attempts) > 1 else ""
            self.note(f"run {job.run} begins {again}on {_shown(machine.type, machine.address)}")
            self.save()
            self.cluster.start(job.run, len(job.attempts) - 1, machine)

    def _give_up(self, machines: Sequence[Machine]) -> None:
        """Give up runs for which no machine of their type has come back in time."""
        usable = {machine.type for machine in machines if machine.node not in self._gone}
        for job in self.jobs:
            if job.state != WAITING or job.type in usable:
                self._since.pop(job.run, None)
                continue
            if job.run not in self._since:
                self._since[job.run] = self.clock()
                self.note(f"run {job.run} waits up to {self.wait_s:g} s for a machine {job.type}")
            if self.clock() - self._since[job.run] >= self.wait_s:
                last = f"; the last one: {job.attempts[-1].reason}" if job.attempts else ""
                self._end(job, LOST, f"no machine {job.type} within {self.wait_s:g} s{last}")

    def _handle(self, event: Event) -> None:
        job = next(job_ for job_ in self.jobs if job_.run == event.run)
        attempt = job.attempts[event.attempt]
        if event.kind == PROGRESS:
            if attempt.state == RUNNING:
                self.note(f"{_shown(job.type, attempt.address)} | {event.text}")
        elif event.kind == LOST:
            self._lose(job, event.attempt, event.text)
        elif job.state not in OPEN:
            self.note(f"run {job.run}: what came late from {attempt.address} is left out")
        elif event.kind == ARRIVED:
            self._arrive(job, event)
        elif attempt.state == RUNNING:
            attempt.state, attempt.reason = REFUSED, event.text
            self._end(job, REFUSED, event.text)

    def _arrive(self, job: Job, event: Event) -> None:
        attempt = job.attempts[event.attempt]
        try:
            self.keep(job, event.pack)
        except (InputError, HarnessError) as error:
            attempt.state, attempt.reason = LOST, str(error)  # it is whole where it was measured
            reason = f"measured, but not taken in: {error}"
            if any(other.state == RUNNING for other in job.attempts):  # this one came late
                self.save()
                self.note(
                    f"run {job.run}: from {attempt.address}, {reason}; another attempt goes on"
                )
            else:
                self._end(job, LOST, reason)
            return
        attempt.state, attempt.reason = ARRIVED, ""
        for number, other in enumerate(job.attempts):
            if other.state == RUNNING:  # a lost machine's result came after all, and first
                other.state, other.reason = LOST, "another attempt arrived first"
                self.cluster.stop(job.run, number)
        job.code = event.code
        self._end(job, ARRIVED, "")

    def _lose(self, job: Job, number: int, reason: str) -> None:
        attempt = job.attempts[number]
        if attempt.state != RUNNING:
            return
        attempt.state, attempt.reason = LOST, reason
        self._gone.add(attempt.node)
        if job.state not in OPEN:
            self.save()
            return
        self._losses[job.run] = self._losses.get(job.run, 0) + 1
        if self._losses[job.run] >= MOST_ATTEMPTS:
            self._end(job, LOST, f"lost on {MOST_ATTEMPTS} machines; the last one: {reason}")
            return
        job.state = WAITING
        self.note(
            f"lost {_shown(job.type, attempt.address)} ({reason}): run {job.run} is tried again on "
            "another machine of that type"
        )
        self.save()

    def _end(self, job: Job, state: str, reason: str) -> None:
        job.state, job.reason = state, reason
        self.save()
        self.note(f"run {job.run} of {job.type}: {state}{f': {reason}' if reason else ''}")


def _shown(type_: str, address: str) -> str:
    return f"{type_} at {address}"
