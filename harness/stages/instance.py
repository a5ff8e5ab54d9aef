"""Be one of several processes that run one row's saved model at the same time.

Each warms up, says that it is ready, and waits until all are. Then it runs batches until the moment that
the parent names, by the loop that times every batch (``harness/process/timing.py``). Which of them count
is worked out afterwards, from when each began and ended (``harness/stats/window.py``).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from harness.host.memory import memory_by_node
from harness.host.watch import Watch
from harness.methods.row_model import bound_cpus, held_batches, load_network
from harness.process.jobs import InstanceJob, Order, RunUntil
from harness.process.timing import LOOK_EVERY, endless, ignore, timed_pass, warm_up
from harness.storage.stage_facts import InstanceFacts, InstanceTimed, Stretch


def run(
    job: InstanceJob,
    progress: Callable[[int, int, str], None],
    wait_for_order: Callable[[float], Order],
) -> InstanceFacts:
    """Run the batch sizes of a job, each beside the other instances.

    Batches are made before the warm-up and held in memory, as MLPerf's rules have samples loaded
    (https://github.com/mlcommons/inference_policies), so that instances wait for no disk.
    """
    timed: list[InstanceTimed] = []
    for size in job.sizes:
        net = load_network(job.model, size)
        batches = held_batches(job.model, size)
        warmup, settled = warm_up(net, batches, job.warmup_s)
        recent = warmup[-LOOK_EVERY:] or timed_pass(net, batches[:1], ignore).forward_s
        order = wait_for_order(statistics.median(recent))
        assert isinstance(order, RunUntil)
        with Watch(job.cpus, bound=bound_cpus(job.model)) as watch:
            chosen = begun_before(order.moment, batches)
            times = timed_pass(net, chosen, lambda scores, label: watch.beat())
        progress(len(timed) + 1, len(job.sizes), "batch sizes")
        busy = watch.facts.conditions.busy
        timed.append(
            InstanceTimed(
                batch_size=size,
                began_at=times.began_at,
                data_s=times.data_s,
                forward_s=times.forward_s,
                rest_s=times.rest_s,
                settled=settled,
                cpus=sorted({thread.cpu for thread in busy if thread.worker}),
                conditions=Stretch.measured(watch.facts.conditions),
                disturbed=watch.facts.disturbed,
                misplaced=watch.facts.misplaced,
            )
        )
    return InstanceFacts(timed=timed, openmp=watch.facts.openmp, memory_by_node=memory_by_node())


def begun_before(moment: float, batches: Iterable[Any]) -> Iterator[Any]:
    """Yield batches, over again, until a second of CLOCK_MONOTONIC; one at least."""
    for batch in endless(batches):
        yield batch
        if time.monotonic() >= moment:
            return
