"""What disturbed the rounds of a night, and whether times were disturbed too much to count.

A run counts by the faster half of its rounds (``harness.stats.night_noise``), so the times of a row are
disturbed if that half must hold a disturbed round: if more than half of its rounds were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from harness.storage.record import RoundRecord
from harness.table.samples import counted


@dataclass(frozen=True)
class Cause:
    """One kind of disturbance over a night.

    Attributes:
        kind: as the records name it, such as ``core_load``.
        timings: how many that count had it.
        worst: its largest value; ``limit`` is what an undisturbed timing stays below.
        what: what happened, in words.
        remedy: what to do about it.
    """

    kind: str
    timings: int
    worst: float
    limit: float
    what: str
    remedy: str


@dataclass(frozen=True)
class Disturbances:
    """The disturbances of a night, over the timings that count.

    Attributes:
        rounds: of ``of_rounds``, those with a disturbed timing.
        timings: of ``of_timings``, the disturbed ones; a timing is a row in a round.
        causes: the most frequent first.
    """

    rounds: int = 0
    of_rounds: int = 0
    timings: int = 0
    of_timings: int = 0
    causes: tuple[Cause, ...] = ()


def is_too_disturbed(disturbed: int, rounds: int) -> bool:
    """Return whether the times of a row do not count, of so many rounds."""
    return disturbed > rounds // 2


def disturbed_rounds(timings: Iterable[RoundRecord]) -> Counter[str]:
    """Return in how many of its rounds each method was disturbed."""
    return Counter(timing.method for timing in counted(timings) if timing.disturbed)


def summarise(timings: Iterable[RoundRecord]) -> Disturbances:
    """Return what disturbed the timings that count."""
    counting = counted(timings)
    disturbed = [timing for timing in counting if timing.disturbed]
    causes: dict[str, Cause] = {}
    for timing in disturbed:
        for one in {each.kind: each for each in timing.disturbed}.values():
            what, _, remedy = one.advice.partition(": ")
            known = causes.get(one.kind)
            timings_before, worst = (known.timings, known.worst) if known else (0, 0.0)
            causes[one.kind] = Cause(
                one.kind, timings_before + 1, max(worst, one.value), one.limit, what, remedy
            )
    return Disturbances(
        len({timing.round for timing in disturbed}),
        len({timing.round for timing in counting}),
        len(disturbed),
        len(counting),
        tuple(sorted(causes.values(), key=lambda cause: (-cause.timings, cause.kind))),
    )
