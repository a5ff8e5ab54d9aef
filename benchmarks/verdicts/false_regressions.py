"""Simulated years in which nothing happens but noise: rows that are red, and the time of judging."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.verdicts.figures import Figure
from benchmarks.verdicts.parallel import mapped
from benchmarks.verdicts.years import HOSTS, QUIET, SOFTWARE, Course, Year

PART = "Years of identical code"
NIGHTS = 365  # of a year
JUDGED = 400  # nights that one machine's history has when judging is timed


def measured(repeats: int, seed: int) -> Iterator[Figure]:
    """Yield red rows a year by host and how often the software is new, and seconds of judging.

    Args:
        repeats: nights of each case, in years of at most ``NIGHTS``.
    """
    years, length = max(round(repeats / NIGHTS), 1), min(repeats, NIGHTS)
    cases = [(host, software) for host in HOSTS for software in SOFTWARE]
    tasks = [(*case, length, seed + year) for case in cases for year in range(years)]
    counts = mapped(red_rows, tasks)
    for at, (host, software) in enumerate(cases):
        red = sum(counts[at * years : (at + 1) * years])
        new = "fixed" if software == "fixed" else f"new {software}"
        a_year = red * NIGHTS / (years * length)
        yield Figure(PART, host, None, f"{new} software: red rows a year", a_year, most=0.99)
    nights = min(repeats, JUDGED)
    began = time.perf_counter()
    Year(QUIET, "nightly", Course(), nights, seed).judge()
    yield Figure(PART, f"{nights} nights", None, "s", time.perf_counter() - began, most=60)


def red_rows(task: tuple[str, str, int, int]) -> int:
    """Return the red rows of a year; each is acknowledged the morning after and counts once.

    Args:
        task: host, how often the software is new, nights, seed.
    """
    host, software, nights, seed = task
    judged = Year(HOSTS[host], software, Course(), nights, seed).judge()
    return sum(len(night.regressions) for night in judged)
