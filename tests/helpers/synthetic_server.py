"""A worker's stage that serves queries as the stage ``serve`` does, by a network of a known time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from harness.process.jobs import Order, Trial
from harness.serving.line import Line
from harness.serving.trial import Monotonic, serve


class Busy:
    """A network that keeps its CPU for a time."""

    def __init__(self, service_s: float) -> None:
        self._service_s = service_s

    def __call__(self, data: Any) -> Busy:
        return self

    def wait_to_read(self) -> None:
        end = time.perf_counter() + self._service_s
        while time.perf_counter() < end:
            pass


def run(
    job: dict[str, Any],
    progress: Callable[[int, int, str], None],
    wait_for_order: Callable[[float], Order],
) -> list[list[float]]:
    """Serve the trials that are ordered; return the latencies of each."""
    line, service_s, latencies = Line(job["line"]), job["service_s"], []
    while isinstance(order := wait_for_order(service_s), Trial):
        served = serve(Busy(service_s), [(None, None)], line, order, job["batch"], Monotonic())
        latencies.append(served.latency_s)
    return latencies
