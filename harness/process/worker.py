"""A worker: reads one job from stdin, runs one stage, and answers over an inherited pipe."""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import importlib
import json
import os
import resource
import sys
import traceback
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, get_type_hints

from harness.errors import (
    HarnessError,
    InputError,
    NoSolution,
    Refused,
    TuningTimeout,
    is_refused_call,
    of_system,
    one_line,
)
from harness.host.kernel.perf_events import count_this_process
from harness.process.confinement import RawJob, Reach, confine
from harness.process.lifetime import Keeper, die_with_parent, end_group_with_this
from harness.process.own_modules import find_own_modules
from harness.storage import outcomes

if TYPE_CHECKING:
    from harness.process.jobs import Order

KINDS: dict[type[Exception], str] = {
    InputError: outcomes.INPUT,
    NoSolution: outcomes.NO_SOLUTION,
    Refused: outcomes.REFUSED,
    TuningTimeout: outcomes.TIMEOUT,
    HarnessError: outcomes.FAILED,
}
NO_MEMORY = ("bad_alloc", "Failed to allocate", "Cannot allocate memory")  # in MXNet's words
WITH_MXNET = (
    "inspect",
    "instance",
    "measure",
    "optimize",
    "profile",
    "recover",
    "roof",
    "serve",
    "validate",
)


class Reporter:
    """Sends messages to the parent, one JSON object per line."""

    def __init__(self, descriptor: int) -> None:
        self._out = os.fdopen(descriptor, "w", encoding="utf-8")
        self.answered = False

    def send(self, event: str, **fields: Any) -> None:
        self._out.write(json.dumps({"event": event, **fields}) + "\n")
        self._out.flush()
        self.answered = event != "progress"

    def progress(self, done: int, total: int, what: str) -> None:
        """Send whole numbers: a user's method may count in parts, or in NumPy's numbers."""
        self.send("progress", done=max(0, int(done)), total=max(0, int(total)), what=str(what))


def wait_for_order(reporter: Reporter, batch_s: float) -> Order:
    """Say that this worker is ready, wait, and return the order that its parent gives.

    Args:
        batch_s: how long a batch took so far, in seconds.

    Raises:
        HarnessError: the parent has closed the pipe.
    """
    from msgspec import convert

    from harness.process.jobs import Order

    reporter.send("ready", batch_s=batch_s)
    line = sys.stdin.readline()
    if not line:
        raise HarnessError("the parent gives no more orders: start the run again")
    order: Order = convert(json.loads(line), Order)
    return order


def bind(binding: Mapping[str, Any]) -> None:
    """Keep this process, and the threads that it will start, on its CPUs and on its nodes' memory.

    Where memory cannot be bound, it comes from the node of the CPU that touches it first, and the log
    says why. Where it was is measured (``memory_by_node``).
    """
    from harness.placement.memory_binding import bind_memory

    os.sched_setaffinity(0, binding["cpus"])
    if binding["nodes"]:
        reason = bind_memory(binding["nodes"])
        if reason is not None:
            print(f"memory is not bound to nodes {binding['nodes']}: {reason}", file=sys.stderr)


def stage_module(stage: str) -> str:
    """Return the module of a stage: a name in ``harness.stages``, or a dotted path."""
    return stage if "." in stage else f"harness.stages.{stage}"


def has_engine(job: RawJob) -> bool:
    """Say whether a job is on a model of an engine's, in whose environment MXNet is not."""
    return bool(job.get("model", {}).get("engine"))


def wants_memory(error: BaseException | None) -> bool:
    """Return whether an error, or one of its causes, looks like a lack of memory."""
    while error is not None:
        said = str(error)
        if isinstance(error, MemoryError) or any(sign in said for sign in NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def memory_advice() -> str:
    """Return advice on a lack of memory, with the limit of this process."""
    most, _ = resource.getrlimit(resource.RLIMIT_DATA)
    limit = (
        "" if most == resource.RLIM_INFINITY else f" (this process may hold {most / 1e9:.1f} GB)"
    )
    return f": memory is short{limit}; if the model is one to trust, raise run.memory_gb"


def end_at_once(reporter: Reporter, keeper: Keeper | None) -> None:
    """End this process, if it has answered, without destroying MXNet's objects.

    That costs up to a second. Registered first, this is the last of what runs at exit; all is
    written and told by now, but for what Python and C still hold of what was printed.
    """
    if reporter.answered:
        sys.stdout.flush()
        sys.stderr.flush()
        ctypes.CDLL(None).fflush(None)
        if keeper is not None:
            keeper.dismiss()
        os._exit(0)


def main() -> None:
    faulthandler.enable()
    find_own_modules()
    descriptor, parent = (int(argument) for argument in sys.argv[1:])
    die_with_parent(parent)
    keeper = end_group_with_this()
    reporter = Reporter(descriptor)
    atexit.register(end_at_once, reporter, keeper)
    try:
        job = json.loads(sys.stdin.readline())
        if job.get("binding"):
            bind(job["binding"])
        count_this_process()  # while it may: a confined process opens no counters
        confined = confine(Reach.of(job))
        die_with_parent(parent)  # again: a new user namespace may have undone it
        if job["stage"] in WITH_MXNET and not has_engine(job):
            from harness.process.compat import import_mxnet  # other stages need none of it

            import_mxnet()
        from harness.facts.typed import decode, plain  # not before this process is confined

        stage = importlib.import_module(stage_module(job["stage"]))
        faulthandler.disable()  # MXNet has put a handler of its own before it, which says less
        faulthandler.enable()
        takes = get_type_hints(stage.run)
        orders = [partial(wait_for_order, reporter)] if "wait_for_order" in takes else []
        value = stage.run(decode(job, takes["job"]), reporter.progress, *orders)
        reporter.send("result", value=plain(value), confined=confined)
    except Exception as error:
        traceback.print_exc()
        kinds = (name for cls, name in KINDS.items() if isinstance(error, cls))
        kind = next(kinds, outcomes.FAILED)
        if type(error) in KINDS or is_refused_call(error):
            message = str(of_system(error) if isinstance(error, OSError) else error)
        else:
            message = f"{type(error).__name__}: {one_line(error)}"
        if wants_memory(error):
            message = message.rstrip(".: ") + memory_advice()
        reporter.send("error", kind=kind, message=message, trials=getattr(error, "trials", None))


if __name__ == "__main__":
    main()
