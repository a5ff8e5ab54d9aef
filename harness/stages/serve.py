"""Be one of several processes that answer queries with one row's saved model.

The model is warmed up once, and then serves trial after trial as the parent orders them.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.host.memory import memory_by_node
from harness.host.watch import Watch
from harness.methods.row_model import bound_cpus, held_batches, load_network
from harness.process.jobs import Order, ServeJob, Trial
from harness.process.timing import LOOK_EVERY, ignore, timed_pass, warm_up
from harness.serving.line import Line
from harness.serving.trial import Monotonic, serve
from harness.storage.served.server_record import ServedTrial, ServeFacts
from harness.storage.stage_facts import Stretch


def run(
    job: ServeJob,
    progress: Callable[[int, int, str], None],
    wait_for_order: Callable[[float], Order],
) -> ServeFacts:
    """Serve the trials that are ordered, with the other instances, from one line of queries."""
    net = load_network(job.model, job.batch)
    samples = held_batches(job.model, job.batch)
    warmup, settled = warm_up(net, samples, job.warmup_s)
    # the fastest: a search that begins at too high a rate is short, and one from too low a rate long
    batch_s = min(warmup[-LOOK_EVERY:] or timed_pass(net, samples[:1], ignore).forward_s)
    line = Line(job.line)
    trials: list[ServedTrial] = []
    openmp = None
    while isinstance(order := wait_for_order(batch_s), Trial):
        # without beats: between two batches this process may sleep
        with Watch(job.cpus, has_batches=False, bound=bound_cpus(job.model)) as watch:
            served = serve(net, samples, line, order, job.batch, Monotonic())
        busy = watch.facts.conditions.busy
        openmp = watch.facts.openmp
        trials.append(
            ServedTrial(
                latency_s=served.latency_s,
                batch_sizes=served.batch_sizes,
                forward_s=served.forward_s,
                cpus=sorted({thread.cpu for thread in busy if thread.worker}),
                conditions=Stretch.measured(watch.facts.conditions),
                disturbed=watch.facts.disturbed,
                misplaced=watch.facts.misplaced,
            )
        )
    return ServeFacts(
        batch_s=batch_s,
        settled=settled,
        trials=trials,
        openmp=openmp,
        memory_by_node=memory_by_node(),
    )
