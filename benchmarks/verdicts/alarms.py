"""What a detector says of a series as its nights come in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.verdicts.noise import Floats

SAME = 5  # nights by which the place of one and the same shift may move


@dataclass(frozen=True)
class Alarm:
    """The report of a slowdown.

    Attributes:
        night: index of the last value that the detector had seen.
        place: index of the first slower value as the detector says; None where it does not say.
    """

    night: int
    place: int | None = None


# A detector returns the alarms that it raises from night ``first`` on. It sees the past only: the alarms
# of a series are those of its beginning and those of later nights.
Detector = Callable[[Floats, int], list[Alarm]]

Search = Callable[[Floats], list[int]]


def nightly(search: Search, window: int) -> Detector:
    """Return the detector that searches the latest nights each night, and reports a place once.

    Args:
        search: returns the places where the values that it gets became slower.
        window: how many of the latest nights it gets.
    """

    def detect(times: Floats, first: int) -> list[Alarm]:
        known: list[int] = []
        alarms = []
        for count in range(first, len(times) + 1):
            start = max(count - window, 0)
            places = [start + place for place in search(times[start:count])]
            news = [place for place in places if not any(abs(place - old) <= SAME for old in known)]
            known += places
            if count > first:  # what the first night finds is older than the watch
                alarms += [Alarm(count - 1, place) for place in news]
        return alarms

    return detect
