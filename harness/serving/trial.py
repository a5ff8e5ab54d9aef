"""One trial: an instance serves its share of the queries, by the loop that times every batch."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.process.jobs import Trial
from harness.process.timing import Scores, timed_pass
from harness.serving.arrivals import arrival_times
from harness.serving.line import Line

SPIN_S = 2e-4  # before a moment: a sleep ends up to this much late


class Clock(Protocol):
    """Time as an instance sees it, in seconds."""

    def now(self) -> float: ...

    def wait_until(self, moment: float) -> None: ...


class Monotonic:
    """CLOCK_MONOTONIC, which is the same clock in all processes of a machine."""

    def now(self) -> float:
        return time.perf_counter()

    def wait_until(self, moment: float) -> None:
        """Sleep until shortly before a moment, and then look at the clock until it has come."""
        left = moment - time.perf_counter()
        if left > SPIN_S:
            time.sleep(left - SPIN_S)
        while time.perf_counter() < moment:
            pass


@dataclass
class Served:
    """What one instance served in a trial; the lists are by query.

    Attributes:
        latency_s: from the arrival of a query to its answer.
        batch_sizes: queries in each batch.
        forward_s: of each batch.
    """

    latency_s: list[float] = field(default_factory=list)
    batch_sizes: list[int] = field(default_factory=list)
    forward_s: list[float] = field(default_factory=list)


def serve(
    net: Callable[[Any], Scores],
    samples: Sequence[Any],
    line: Line,
    trial: Trial,
    batch_size: int,
    clock: Clock,
) -> Served:
    """Serve queries of a trial until all are taken, or too many are late.

    Args:
        net: gives the scores of a batch's data.
        samples: batches of ``batch_size`` images in memory, which queries get in turn. A batch with
            fewer queries is run at its whole size, since MXNet prepares a network for one shape.
        line: shared with the other instances.
        batch_size: queries of a batch at most.
    """
    start = trial.began_at
    arrivals = [start + after for after in arrival_times(trial.queries, trial.rate, trial.seed)]
    served = Served()
    waiting = range(0)

    def arriving() -> Iterator[Any]:
        nonlocal waiting
        for sample in itertools.cycle(samples):
            batch = line.take(arrivals, clock.now(), batch_size, trial.delay_s)
            if batch is None or line.late > trial.most_late:
                return
            clock.wait_until(batch.complete_at)
            waiting = batch.queries
            yield sample

    def answer(scores: Any, label: Any) -> None:
        now = clock.now()
        latencies = [now - arrivals[query] for query in waiting]
        late = sum(latency > trial.target_s for latency in latencies)
        if late:
            line.add_late(late)
        served.latency_s += latencies
        served.batch_sizes.append(len(latencies))

    served.forward_s = timed_pass(net, arriving(), answer).forward_s
    return served
