"""Several workers that start together behind a barrier: all go on, or none does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.process.executor import Ended, Late, Progress, Worker, listen
from harness.process.jobs import Failure, Order, Progressed, Ready, Result

Orders = Callable[[Sequence[Ready]], Order]


@dataclass(frozen=True)
class SetEnd:
    """How the workers of a set ended.

    Attributes:
        ends: of each, in their order; of those that were stopped, too.
        failed: the position of the first that did not end well; the others were stopped for it. None
            if all ended well.
    """

    ends: list[Ended]
    failed: int | None


def run_together(
    workers: Sequence[Worker], next_order: Orders, progress: Progress, timeout_s: float = 0
) -> SetEnd:
    """Give workers the same order whenever all are ready, until all have ended; stop all if one fails.

    A KeyboardInterrupt stops them all before it goes on up.

    Args:
        workers: that take orders.
        next_order: gets what the workers said when they became ready, in the workers' order.
        progress: gets that of the first worker.
        timeout_s: of each worker; 0: no limit.
    """
    answers: dict[int, Result | Failure] = {}
    ready: dict[int, Ready] = {}
    failed, late_s = None, None
    running = set(range(len(workers)))
    try:
        for number, message in listen(workers, timeout_s):
            if isinstance(message, Ready):
                ready[number] = message
                if len(ready) == len(workers):
                    order = next_order([ready[one] for one in range(len(workers))])
                    ready.clear()
                    for worker in workers:
                        worker.order(order)
            elif isinstance(message, Progressed):
                if number == 0:
                    progress(message.done, message.total, message.what)
            elif message is not None:
                answers[number] = message
            else:
                running.remove(number)
                if not isinstance(answers.get(number), Result):
                    failed = number
                    break
    except Late:
        failed, late_s = min(running), timeout_s
    except BaseException:
        for worker in workers:
            worker.abandon()
        raise
    for number in running:
        workers[number].stop()
    ends = [
        worker.end(answers.get(number), late_s if number in running else None)
        for number, worker in enumerate(workers)
    ]
    return SetEnd(ends, failed)
