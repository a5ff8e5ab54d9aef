"""Simulated years in which nothing happens but noise: rows that are red, and the time of judging."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.verdicts.figures import Figure
from benchmarks.verdicts.years import HOSTS, QUIET, SOFTWARE, Course, Host, Year

PART = "Years of identical code"
NIGHTS = 365  # of a year
JUDGED = 400  # nights that one machine's history has when judging is timed


def measured(repeats: int, seed: int) -> Iterator[Figure]:
    """Yield red rows a year by host and how often the software is new, and seconds of judging.

    Args:
        repeats: nights of each case, in years of at most ``NIGHTS``.
    """
    for case, host in HOSTS.items():
        for software, stays in SOFTWARE.items():
            what = "fixed" if stays > NIGHTS else f"new {software}"
            value = false_a_year(host, software, repeats, seed)
            yield Figure(PART, case, None, f"{what} software: red rows a year", value, most=0.99)
    nights = min(repeats, JUDGED)
    began = time.perf_counter()
    Year(QUIET, "nightly", Course(), nights, seed).judge()
    yield Figure(PART, f"{nights} nights", None, "s", time.perf_counter() - began, most=60)


def false_a_year(host: Host, software: str, nights: int, seed: int) -> float:
    """Return the red rows a year; each is acknowledged the morning after and counts once."""
    years = max(round(nights / NIGHTS), 1)
    length = min(nights, NIGHTS)
    judged = (Year(host, software, Course(), length, seed + year).judge() for year in range(years))
    red = sum(len(night.regressions) for year in judged for night in year)
    return red * NIGHTS / (years * length)
