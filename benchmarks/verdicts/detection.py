"""Simulated slowdowns of one method: how often they are found, how soon, and what follows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.verdicts.figures import Figure
from benchmarks.verdicts.parallel import mapped
from benchmarks.verdicts.years import (
    BATCH,
    BEGIN,
    HOSTS,
    METHODS,
    QUIET,
    Change,
    Course,
    Host,
    Year,
    red,
    step,
)

SLOWDOWNS = "Slowdowns of one method"
COURSES = "What adds up, ends or comes again"
METHOD = METHODS[2]
FACTORS = (1.025, 1.03, 1.05, 1.1)
STEPS = [(place, factor) for place in ("model", "library") for factor in FACTORS]
WITHIN = 35  # nights from a change on
SERIES_A_CASE = 5  # of the steps for each series of what adds up, ends or comes again
SHORT = 50  # nights of the cases that few series have as well
# Wanted percentages: on a quiet host what was found before nights had a memory.
LEAST = {
    **{("quiet", place, factor): 100 for place, factor in STEPS},
    ("quiet", "model", 1.025): 80,
    ("quiet", "library", 1.025): 30,
    ("shared", "library", 1.05): 76.9,
}


def measured(repeats: int, seed: int) -> Iterator[Figure]:
    """Yield percentages of series and nights.

    Args:
        repeats: series of each slowdown; a series has ``BEGIN`` nights before anything happens.
    """
    for host in ("quiet", "shared"):
        tasks = [(host, seed + number) for number in range(repeats)]
        delays = mapped(delays_of, tasks)
        for at, (place, factor) in enumerate(STEPS):
            name = f"{100 * (factor - 1):.3g} % in the {place}, {host} host"
            yield from _figures(name, [series[at] for series in delays], (host, place, factor))
    series = repeats // SERIES_A_CASE
    chosen = [at for at, case in enumerate(cases()) if series or case.nights <= SHORT]
    pairs = [(at, seed + number) for at in chosen for number in range(max(series, 1))]
    nights = dict(zip(pairs, mapped(red_nights, pairs)))
    for at, case in enumerate(cases()):
        if at in chosen:
            yield from case.figures([red for (of, _), red in nights.items() if of == at])


def _figures(
    case: str, delays: Sequence[int | None], step_: tuple[str, str, float]
) -> Iterator[Figure]:
    found = 100 * sum(nights is not None for nights in delays) / len(delays)
    yield Figure(SLOWDOWNS, case, None, f"found within {WITHIN} nights %", found, LEAST.get(step_))
    typical = float(np.median([WITHIN if nights is None else nights for nights in delays]))
    most = 5 if step_[2] == 1.05 else None
    yield Figure(SLOWDOWNS, case, None, "median nights until red", typical, most=most)


def delays_of(task: tuple[str, int]) -> list[int | None]:
    """Return after how many nights each of ``STEPS`` is red; None for never.

    Args:
        task: host and seed.
    """
    host, seed = task
    year = begun(HOSTS[host], seed)
    courses = [_course(place, {METHOD: step(factor)}, BEGIN) for place, factor in STEPS]
    return [delay(year.branch(course)) for course in courses]


def red_nights(task: tuple[int, int]) -> list[int]:
    """Return the red nights of a year.

    Args:
        task: which of ``cases``, and the seed.
    """
    at, seed = task
    case = list(cases())[at]
    year = Year(QUIET, case.software, case.course, case.nights, seed)
    return red(year.judge(), METHOD, case.metric)


def begun(host: Host, seed: int) -> Year:
    """Return a year of a host whose software is new every week, up to the night of the change."""
    year = Year(host, "weekly", Course(), BEGIN + WITHIN, seed)
    for _ in range(BEGIN):
        year.next_night()
    return year


def delay(year: Year, within: int = WITHIN) -> int | None:
    """Return after how many of the next nights the changed method is first red; None for never."""
    nights = (year.next_night() for _ in range(within))
    return next((at for at, night in enumerate(nights) if red([night], METHOD)), None)


@dataclass(frozen=True)
class Case:
    """What happens to one method on a quiet host, and which nights are to be red for it.

    Attributes:
        course: how it goes.
        nights: of the year.
        first: the nights in which it may become red for the first time.
        then: those that must be red as well.
        never: those that must not be red.
    """

    name: str
    course: Course
    nights: int
    first: range
    then: Sequence[int] = ()
    never: Sequence[int] = ()
    software: str = "fixed"
    metric: str = BATCH

    def figures(self, years: Sequence[list[int]]) -> Iterator[Figure]:
        """Yield how many of some years are right, by their red nights."""
        right = 100 * sum(map(self.is_right, years)) / len(years)
        yield Figure(COURSES, self.name, None, "right %", right, least=100)
        first = float(np.median([min(nights, default=self.nights) for nights in years]))
        after = first - self.first.start
        yield Figure(COURSES, self.name, None, "median nights until red", after)

    def is_right(self, nights: list[int]) -> bool:
        """Return whether the red nights of a year are as they must be."""
        return (
            bool(nights)
            and nights[0] in self.first
            and set(self.then) <= set(nights)
            and not set(self.never) & set(nights)
        )


def cases() -> Iterator[Case]:
    """Yield the cases; nights before a step are few, since what follows it is looked at."""
    begin, soon = 20, 5
    drift, later = ({METHOD: _drift(start)} for start in (0, BEGIN))
    for place in ("model", "library"):
        yield Case(
            f"0.5 % a week in the {place}",
            _course(place, drift), 70, range(57), range(60, 70), software="weekly",
        )  # fmt: skip
        yield Case(
            f"0.5 % a week in the {place}, after {BEGIN} nights",
            _course(place, later), BEGIN + 70, range(BEGIN, BEGIN + 57), software="weekly",
        )  # fmt: skip
    lost = Course(lost={METHOD: lambda night: 5 * night}, images=10_000)
    yield Case("0.05 points a night", lost, 31, range(31), software="nightly", metric="top1")
    dearer = Course(cost={METHOD: lambda night: 2 ** (night / 70)})
    yield Case("cost doubles in 70 nights", dearer, 31, range(31), metric="cost_s")
    for place in ("model", "library"):
        kept = _course(place, {METHOD: step(1.05, begin)}, begin)
        yield Case(
            f"5 % in the {place}, nothing after it",
            kept, begin + 25, range(begin, begin + 2), range(begin + 1, begin + 25),
        )  # fmt: skip
        back, again, end = begin + 10, begin + 20, begin + 30
        slow = {METHOD: _product(step(1.05, begin, back), step(1.05, again))}
        yield Case(
            f"5 % in the {place}, reverted, and again",
            _course(place, slow, begin, back, again), end, range(begin, begin + 2),
            (*range(begin + 1, back), *range(again + 1, end)), range(back + 2, again),
        )  # fmt: skip
    second = begin + 15
    two = step(1.02, begin), step(1.02, second)
    for name, factor, acknowledged in (("", 1.0, []), (", hidden by an improvement", 0.94, []),
                                       (", after one that is known", 1.05, [10])):  # fmt: skip
        before = step(factor, 10)
        slow = {METHOD: _product(before, *two)}
        course = Course(model=slow, events=[10, begin, second], acknowledged=acknowledged)
        first = range(10, 11) if acknowledged else range(begin, second + 25)
        yield Case(f"2 % twice{name}", course, second + 25, first, range(second + 20, second + 25))
    failed = {METHOD: range(begin - 6, begin)}
    course = Course(model={METHOD: step(1.08, begin)}, failed=failed, events=[begin])
    nights = range(begin, begin + soon)
    yield Case("8 % after six failed nights", course, nights.stop, nights[:1], nights)


def _course(place: str, change: dict[str, Change], *events: int) -> Course:
    if place == "model":
        return Course(model=change, events=events)
    return Course(library=change, events=events)


def _drift(start: int) -> Change:
    return lambda night: 1.005 ** (max(night - start, 0) // 7)


def _product(*changes: Change) -> Change:
    return lambda night: math.prod(change(night) for change in changes)
