"""``./run.sh benchmark scale [NIGHTS ...]``: what a history of many nights costs.

Writes that many invented nights, and as many other runs. Then takes the time, the processor time and
the peak memory of whole processes: ``./run.sh history``, the same with ``rebuild=true``, and judging
one more night.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arguments import positive
from benchmarks.scale.invented import Invented
from harness import PROJECT
from harness.render.markdown_table import markdown_table

NIGHTS = (100, 300, 1000)


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds, seconds of processors, and MB at its peak."""

    step: str
    seconds: float
    cpu_s: float
    peak_mb: float


def measure(step: str, words: Sequence[str]) -> Cost:
    """Run a module of this project to its end.

    Raises:
        RuntimeError: it failed.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", *words], cwd=PROJECT, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}")
    seconds = time.monotonic() - began
    return Cost(step, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def costs(nights: int, invented: Invented, first: int) -> list[Cost]:
    """Return what each step takes with so many nights and other runs.

    Args:
        first: how many there are already.
    """
    results = invented.results
    for number in range(first, nights):
        if number != first or first == 0:  # that one was judged as the night after the last
            invented.write_night(number)
        invented.write_run(number)
    tonight = invented.write_night(nights, is_judged=False)
    place = f"run.results={results}"
    return [
        measure("history", ["harness", "history", place]),
        measure("judging a night", ["benchmarks.scale.judging", str(results), tonight.id]),
        measure("rebuild", ["harness", "history", "rebuild=true", place]),
    ]


def main(arguments: Sequence[str]) -> int:
    """Print a table of what each step costs, by how many nights there are."""
    parser = argparse.ArgumentParser(prog="./run.sh benchmark scale")
    parser.add_argument("nights", nargs="*", type=positive, default=NIGHTS, metavar="NIGHTS")
    parser.add_argument("--folder", type=Path, help="where the invented runs go (default: /tmp)")
    given = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        invented, first = Invented(Path(folder)), 0
        for nights in sorted(set(given.nights)):
            for cost in costs(nights, invented, first):
                times = (f"{value:.1f}" for value in (cost.seconds, cost.cpu_s))
                rows.append([cost.step, str(nights), *times, f"{cost.peak_mb:.0f}"])
            first = nights
    headers = ["Step", "Nights, and other runs", "s", "CPU s", "Peak MB"]
    print(markdown_table(headers, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
