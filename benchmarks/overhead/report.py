"""What was found, held against the targets, as Markdown; nothing is measured here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tabulate import tabulate

from benchmarks.overhead.jobs import LoopTimes
from harness.facts.machine_facts import Machine

TIMED_REGION_US = 50.0  # at most, a batch
TIMED_REGION_SHARE = 0.001  # at most, of the fp32 fused runtime
PREPARATION_SPEEDUP = 1.8  # at least, over one pass of the published loader
WARM_S = 0.1  # what finding that nothing is to be done may take
MB = 1e6


@dataclass(frozen=True)
class Line:
    """One finding; ``met`` is None where nothing was promised."""

    what: str
    found: str
    wanted: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Loading:
    """One record's way from JPEG to batches, the fastest of several passes each.

    Attributes:
        name: of the record.
        images: how many it has.
        published_s: one pass of the published loader, its process's start included.
        published_loop_s: the same without the start.
        prepare_s: into the cache, the processes' start included.
        warm_s: finding it there.
        published_read_s: reading all batches from the published loader's memory.
        cache_read_s: reading all batches from the cache.
        published_bytes: peak memory of the published loader's process.
        prepare_bytes: that of the largest preparing process.
    """

    name: str
    images: int
    published_s: float
    published_loop_s: float
    prepare_s: float
    warm_s: float
    published_read_s: float
    cache_read_s: float
    published_bytes: int
    prepare_bytes: int

    @property
    def speedup(self) -> float:
        return self.published_s / self.prepare_s


def loop_lines(times: LoopTimes) -> list[Line]:
    """Return what the timed loop costs; ``times`` is what ``loop.run`` returned."""
    null = 1e6 * np.asarray(times.null_s)
    middle, tail = np.median(null), np.percentile(null, 99)
    share = middle / (1e6 * np.median(times.forward_s))
    around = np.asarray(times.data_s) + np.asarray(times.rest_s)
    return [
        Line(
            f"null model in the timed region, median of {len(null)} batches",
            f"{middle:.2f} us",
            f"< {TIMED_REGION_US:g} us",
            bool(middle < TIMED_REGION_US),
        ),
        Line("the same, 99th percentile", f"{tail:.2f} us"),
        Line(
            "null model / fp32 fused, medians of a batch",
            f"{100 * share:.4f} %",
            f"< {100 * TIMED_REGION_SHARE:g} %",
            bool(share < TIMED_REGION_SHARE),
        ),
        Line("fp32 fused, a batch", f"{1e3 * np.median(times.forward_s):.2f} ms"),
        Line("null model, whole loop", f"{1e6 * np.median(times.null_loop_s):.2f} us"),
        Line("outside the timed region, a batch", f"{1e3 * np.median(around):.2f} ms"),
        Line("of that, reading the data", f"{1e3 * np.median(times.data_s):.2f} ms"),
        Line("of that, the metric", f"{1e3 * np.median(times.rest_s):.2f} ms"),
    ]


def loading_lines(found: Loading) -> list[Line]:
    """Return what one record's way costs."""

    def rate(seconds: float) -> str:
        return f"{found.images / seconds:.0f} images/s"

    name = f"{found.name}, {found.images} images"
    return [
        Line(f"{name}: published loader, one pass", rate(found.published_s)),
        Line(f"{name}: the same without MXNet's start", rate(found.published_loop_s)),
        Line(f"{name}: from JPEG into the cache", rate(found.prepare_s)),
        Line(
            f"{name}: cache / published loader, both with their start",
            f"{found.speedup:.2f}",
            f">= {PREPARATION_SPEEDUP:g}",
            found.speedup >= PREPARATION_SPEEDUP,
        ),
        Line(
            f"{name}: with its start / published without",
            f"{found.published_loop_s / found.prepare_s:.2f}",
        ),
        Line(
            f"{name}: when warm", f"{found.warm_s:.4f} s", f"< {WARM_S:g} s", found.warm_s < WARM_S
        ),
        Line(f"{name}: batches of the published loader", rate(found.published_read_s)),
        Line(f"{name}: batches from the cache", rate(found.cache_read_s)),
        Line(f"{name}: peak of the published loader", f"{found.published_bytes / MB:.0f} MB"),
        Line(f"{name}: peak of a preparing process", f"{found.prepare_bytes / MB:.0f} MB"),
    ]


def to_markdown(machine: Machine, threads: Mapping[str, str], lines: list[Line]) -> str:
    """Return the table under the environment that it was measured in."""
    said = {True: "met", False: "NOT MET", None: ""}
    body = [[line.what, line.found, line.wanted, said[line.met]] for line in lines]
    table = tabulate(body, ["what", "found", "wanted", "target"], tablefmt="pipe")
    settings = " ".join(f"{key}={value}" for key, value in sorted(threads.items()))
    cpu = f"{machine.cpu_model}, {machine.cores} cores"
    return f"# Overhead of the harness\n\n- CPU: {cpu}\n- Threads: {settings}\n\n{table}\n"
