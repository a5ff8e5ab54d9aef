"""The search for the highest rate of queries, for each row in each split of the machine."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace

from harness.placement.allocation import Placement
from harness.process.interrupt import finishing
from harness.process.jobs import Binding, NoMore, Order, Ready, SavedModel, ServeJob, Trial
from harness.run.course import serving
from harness.run.instances.placed_splits import PlacedSplit
from harness.run.instances.split_workers import run_split
from harness.run.job_result import with_faults
from harness.run.session import Session
from harness.serving.line import Line
from harness.serving.rate_search import Attempt, Rates, Search, highest_rates
from harness.storage import outcomes
from harness.storage.configuration import Server
from harness.storage.record import MethodRecord, Outcome
from harness.storage.served.server_files import load_server_records
from harness.storage.served.server_record import ServeFacts, ServerRecord, TriedRate
from harness.table.validity import outside_faults

LEAD_S = 0.5  # from an order to the first moment at which a query may arrive: the workers prepare
LEAD_PER_CPU_S = 0.02  # more for each CPU of one: its frequency may take 10 ms to read


class Trials:
    """The trials of a search, as orders to instances that are ready.

    Args:
        cpus: of the instance that has most.

    Attributes:
        tried: the trials that are over.
        rates: the result, once the search has ended.
    """

    def __init__(self, server: Server, line: Line, cpus: int) -> None:
        self._server, self._line = server, line
        self._lead_s = LEAD_S + LEAD_PER_CPU_S * cpus
        self._search: Generator[Attempt, int, Rates] | None = None
        self._attempt: Attempt | None = None
        self.tried: list[TriedRate] = []
        self.rates = Rates(None, None)

    def next_order(self, said: Sequence[Ready]) -> Order:
        """Return the next trial, or the order to end; take the result of the trial that is over."""
        try:
            self._attempt = self._next_attempt(said)
        except StopIteration as end:
            self.rates = end.value
            return NoMore()
        self._line.reset()
        return Trial(
            rate=self._attempt.rate,
            queries=self._attempt.queries,
            seed=self._server.seed,
            began_at=time.perf_counter() + self._lead_s,
            target_s=self._server.latency_ms / 1e3,
            most_late=self._attempt.allowed,
            delay_s=self._server.delay_ms / 1e3,
        )

    def _next_attempt(self, said: Sequence[Ready]) -> Attempt:
        server = self._server
        if self._search is None or self._attempt is None:
            capacity = server.batch * sum(1 / one.batch_s for one in said)
            search = Search(capacity, server.precision, server.duration_s, server.queries)
            self._search = highest_rates(search)
            return next(self._search)
        over, late = self._attempt, self._line.late
        self.tried.append(
            TriedRate(rate=over.rate, queries=over.queries, allowed=over.allowed, late=late)
        )
        return self._search.send(late)


def run_server(session: Session) -> None:
    """Find the highest rates of all rows whose outcome is ok, in every split that is not on disk yet.

    A row whose instances fail gets that as its outcome, and is left out of what follows.
    """
    server = session.protocol.server
    if server is None:
        return
    done = {
        (record.method, record.split)
        for record in load_server_records(session.folder)
        if record.outcome.kind == outcomes.OK
    }
    for row in session.folder.load_records():
        for placed in session.splits:
            if row.outcome.kind != outcomes.OK or (row.method, placed.split) in done:
                continue
            what = f"row {row.method}, {placed.split}, as a server"
            with finishing(what, session.show.note):
                record = find_rates(session, row, placed, server)
                session.folder.save(record)
            if record.outcome.kind != outcomes.OK:
                row = replace(row, outcome=record.outcome)
                session.folder.save_record(row)
                session.show.note(f"{row.label}: {placed.split}: {record.outcome}")


def find_rates(
    session: Session, row: MethodRecord, placed: PlacedSplit, server: Server
) -> ServerRecord:
    """Search for the highest rates of a row in a split; the record is not on disk yet."""
    bound = [list(placement.cpus) for placement in placed.placements]
    outcome = session.missing_engine(row) or Outcome(outcomes.OK)
    record = ServerRecord(session.plan.run, row.method, placed.split, outcome, bound, [])
    if outcome.kind != outcomes.OK:
        return record
    with closing(Line.new()) as line:
        trials = Trials(server, line, max(map(len, bound)))

        def make_job(model: SavedModel, placement: Placement, binding: Binding) -> ServeJob:
            return ServeJob(
                model=model,
                batch=server.batch,
                warmup_s=session.protocol.warmup_s,
                cpus=list(placement.cpus),
                binding=binding,
                line=line.descriptor,
            )

        step = serving(row.method, placed.split)
        title = f"searching the highest rate, {placed.split}"
        orders, inherited = trials.next_order, [line.descriptor]
        facts = run_split(
            session, row, placed, make_job, orders, step, title, ServeFacts, inherited
        )
    record = replace(record, tried=trials.tried)
    if isinstance(facts, Outcome):
        return replace(record, outcome=facts)
    record = replace(record, facts=facts)
    # a smaller batch than the workload's need not keep every thread busy
    is_whole = server.batch == session.workload.batch_size
    outcome = with_faults(record.outcome, server_faults(record, is_whole))
    if outcome.kind != outcomes.OK:
        return replace(record, outcome=outcome)
    return replace(record, highest=trials.rates.highest, shown=trials.rates.shown)


def server_faults(record: ServerRecord, is_whole: bool) -> list[str]:
    """Return the faults of instances: threads on other CPUs than they were bound to.

    Args:
        is_whole: a batch is as large as the workload's, so that every thread has work.
    """
    faults = []
    for number, (facts, bound) in enumerate(zip(record.facts or (), record.placed), 1):
        seen = (cpu for trial in facts.trials for cpu in trial.cpus)
        faults += outside_faults(number, seen, bound)
        for trial in facts.trials if is_whole else ():
            faults += [f"instance {number}: {thread}" for thread in trial.misplaced or ()]
    return list(dict.fromkeys(faults))
