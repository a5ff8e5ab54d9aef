"""Simulated years in which nothing happens but noise: rows that are red, and the time of judging."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.verdicts.figures import Figure
from benchmarks.verdicts.parallel import mapped
from benchmarks.verdicts.years import HOSTS, QUIET, SOFTWARE, Course, Year

PART = "Years of identical code"
JUDGING = "Time of judging"
NIGHTS = 365  # of a year


def measured(repeats: int, seed: int) -> Iterator[Figure]:
    """Yield red rows a year by host and how often the software is new.

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


def time_of_judging(repeats: int, seed: int) -> Iterator[Figure]:
    """Yield the seconds of a processor that judging many nights takes.

    Args:
        repeats: nights.
    """
    began = time.process_time()
    Year(QUIET, "nightly", Course(), repeats, seed).judge()
    yield Figure(JUDGING, f"{repeats} nights", None, "CPU s", time.process_time() - began, most=60)


def red_rows(task: tuple[str, str, int, int]) -> int:
    """Return the red rows of a year; each is acknowledged the morning after and counts once.

    Args:
        task: host, how often the software is new, nights, seed.
    """
    host, software, nights, seed = task
    judged = Year(HOSTS[host], software, Course(), nights, seed).judge()
    return sum(len(night.regressions) for night in judged)
