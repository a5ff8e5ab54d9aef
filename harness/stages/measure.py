"""Time one row's saved model for one round: warm up until the times settle, then some batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from harness.host.watch import Watch
from harness.methods.row_model import batches_of, bound_cpus, load_network
from harness.process.jobs import MeasureJob
from harness.process.timing import endless, timed_pass, warm_up
from harness.storage.stage_facts import RoundFacts, Stretch, Timed


def run(job: MeasureJob, progress: Callable[[int, int, str], None]) -> RoundFacts:
    """Time the batch sizes of a job.

    Every size has a network of its own, since MXNet converts the weights again when it changes, and
    times the same batches in every round: the first ones, over again where there are too few.
    """
    model = job.model
    timed: list[Timed] = []
    for size, count in job.sizes:
        net = load_network(model, size)
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
