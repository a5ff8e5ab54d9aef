"""The timed region: one forward pass and its synchronisation, with nothing of the harness in it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.stats.steady import FEWEST_TO_SETTLE, stable_from

LOOK_EVERY = 5  # batches between two looks at whether the times have settled


class Scores(Protocol):
    """A network's output: an array whose computation may still be going on."""

    def wait_to_read(self) -> None: ...


@dataclass
class PassTimes:
    """Seconds of each batch, in order; the three add up to the wall clock of the loop.

    Attributes:
        began_at: when the first batch was requested, in seconds of CLOCK_MONOTONIC, which is the same
            clock in all processes of a machine.
        data_s: fetching it: read, converted, normalised, and ready in memory.
        forward_s: the forward pass from the call until its scores can be read.
        rest_s: the metric and whatever else happened before the next batch was asked for.
    """

    began_at: float = 0.0
    data_s: list[float] = field(default_factory=list)
    forward_s: list[float] = field(default_factory=list)
    rest_s: list[float] = field(default_factory=list)


def timed_pass(
    net: Callable[[Any], Scores],
    batches: Iterable[tuple[Any, Any] | list[Any]],
    consume: Callable[[Any, Any], None],
) -> PassTimes:
    """Run every batch through ``net`` once and time each part of it by the monotonic clock.

    Python's garbage collector is off inside the timed region, as it is in ``timeit``: when it runs
    depends on what was allocated before, not on the network.

    Args:
        net: gives the scores of a batch's data.
        batches: (data, label) each; their data must be computed, not pending.
        consume: gets the scores and the label of each batch after it was timed.
    """
    clock = time.perf_counter  # CLOCK_MONOTONIC on Linux
    requested = clock()
    times = PassTimes(began_at=requested)
    for data, label in batches:
        gc.disable()
        began = clock()
        scores = net(data)
        scores.wait_to_read()
        ended = clock()
        gc.enable()
        consume(scores, label)
        done = clock()
        times.data_s.append(began - requested)
        times.forward_s.append(ended - began)
        times.rest_s.append(done - ended)
        requested = done
    return times


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
