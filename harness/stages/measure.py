"""Time one row's saved model for one round: warm up until the times settle, then some batches."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from harness.host.watch import Watch
from harness.methods.row_model import batches_of, bound_cpus, load_network
from harness.process.jobs import MeasureJob
from harness.process.timing import timed_pass
from harness.stats.steady import FEWEST_TO_SETTLE, stable_from
from harness.storage.stage_facts import RoundFacts, Stretch, Timed

LOOK_EVERY = 5  # batches between two looks at whether the times have settled


def run(job: MeasureJob, progress: Callable[[int, int, str], None]) -> RoundFacts:
    """Time the batch sizes of a job.

    Every size has a network of its own, since MXNet converts the weights again when it changes, and
    times the same batches in every round: the first ones, over again where there are too few.
    """
    model = job.model
    timed: list[Timed] = []
    for size, count in job.sizes:
        net = load_network(model)
        whole = model.images.images // size * size
        batches = batches_of(model, size, whole)
        warmup, settled = warm_up(net, batches, job.warmup_s)
        with Watch(job.cpus, bound=bound_cpus(model)) as watch:
            chosen = itertools.islice(endless(batches), count)
            times = timed_pass(net, chosen, lambda scores, label: watch.beat())
        progress(len(timed) + 1, len(job.sizes), "batch sizes")
        timed.append(
            Timed(
                batch_size=size,
                forward_s=times.forward_s,
                data_s=times.data_s,
                warmup_s=warmup,
                settled=settled,
                conditions=Stretch.measured(watch.facts.conditions),
                disturbed=watch.facts.disturbed,
                misplaced=watch.facts.misplaced,
            )
        )
    return RoundFacts(timed=timed, openmp=watch.facts.openmp)


def warm_up(
    net: Callable[[Any], Any], batches: Iterable[Any], seconds: float
) -> tuple[list[float], bool]:
    """Run batches until their times are steady (``stable_from``), for ``seconds`` at the most.

    Returns:
        the forward time of each, in seconds, and whether they had become steady.
    """
    times: list[float] = []
    until = time.monotonic() + seconds
    for batch in endless(batches):
        if time.monotonic() >= until:
            break
        times += timed_pass(net, [batch], ignore).forward_s
        look = len(times) >= FEWEST_TO_SETTLE and len(times) % LOOK_EVERY == 0
        if look and stable_from(times) is not None:
            return times, True
    return times, False


def endless(batches: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from batches


def ignore(scores: Any, label: Any) -> None:
    """Accuracy is not measured here."""
