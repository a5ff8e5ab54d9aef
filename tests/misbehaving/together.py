"""A worker's stage that waits for orders, and does what its job asks for before it is ready or after."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from harness.errors import HarnessError
from harness.process.jobs import Order

FOR_EVER_S = 10**6


def run(
    job: dict[str, Any],
    progress: Callable[[int, int, str], None],
    wait_for_order: Callable[[float], Order],
) -> Any:
    """Get the orders of ``job["orders"]``; return what they were, and the CPUs of this process."""
    act(job["before"])
    got = []
    for number in range(job["orders"]):
        got.append(wait_for_order(job["batch_s"] + number).moment)
    act(job["after"])
    return {"moments": got, "cpus": sorted(os.sched_getaffinity(0))}


def act(what: str) -> None:
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "fail":
        raise HarnessError("it does not want to")
    elif what == "hang":
        time.sleep(FOR_EVER_S)
