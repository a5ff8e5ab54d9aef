"""Replay: histories of nights composed of rounds of identical code, with verdicts as of ``nightly``.

Rounds of an A/A run are drawn without replacement, whole, every method at once: some nights before,
one night to judge, and as many again as a suspicion takes. Every alarm is false; with one method made
slower by a known factor, every night without that alarm is a miss. What differs between days, after a
reboot or after tuning anew is not in rounds of one run; time's order is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.nightly.judge import judge
from harness.nightly.sequential_test import LOOKS, confirm
from harness.nightly.verdict import NIGHTLY, Floats, Run, Settings


@dataclass(frozen=True)
class Replays:
    """The counts of how replayed histories ended.

    Attributes:
        histories: how many.
        suspected: with a row measured again.
        alarms: with a regression confirmed in a row that was not made slower.
        found: with a regression confirmed in the row that was.
    """

    histories: int
    suspected: int
    alarms: int
    found: int


def replay(
    times: Mapping[str, Floats],
    rounds: int,
    nights: int,
    *,
    histories: int = 100,
    slowed: tuple[str, float] | None = None,
    settings: Settings = NIGHTLY,
    seed: int = 0,
) -> Replays:
    """Return how histories of ``nights`` good nights and one more end.

    Args:
        times: by method, (T, B) seconds of identical code.
        rounds: of a night.
        slowed: a method, and the factor by which its times of the last night are longer.

    Raises:
        ValueError: T is less than a history takes: ``rounds_needed``.
    """
    total = min(len(rounds_) for rounds_ in times.values())
    if total < rounds_needed(rounds, nights):
        raise ValueError(
            f"{total} rounds; histories of {nights} + 1 nights of {rounds} rounds take "
            f"{rounds_needed(rounds, nights)}"
        )
    rng = np.random.default_rng(seed)
    suspected = alarms = detected = 0
    factor = {slowed[0]: slowed[1]} if slowed else {}
    for _ in range(histories):
        drawn = {method: seconds[rng.permutation(total)] for method, seconds in times.items()}
        earlier = [
            Run(
                {
                    method: seconds[k * rounds : (k + 1) * rounds]
                    for method, seconds in drawn.items()
                }
            )
            for k in range(nights)
        ]
        left = {method: seconds[nights * rounds :] for method, seconds in drawn.items()}
        slow = {method: seconds * factor.get(method, 1.0) for method, seconds in left.items()}
        night = Run({method: seconds[:rounds] for method, seconds in slow.items()})
        rows = [row.method for row in judge(earlier, night, settings) if row.suspected]
        if not rows:
            continue
        suspected += 1
        called = _confirmed(
            {method: left[method][rounds::2] for method in rows},
            {method: slow[method][rounds + 1 :: 2] for method in rows},
            rounds,
            settings,
        )
        detected += bool(slowed and slowed[0] in called)
        alarms += bool(called - set(factor))
    return Replays(histories, suspected, alarms, detected)


def rounds_needed(rounds: int, nights: int) -> int:
    """Return the largest number of rounds that a history takes."""
    return rounds * (nights + 1 + 2 * LOOKS)


def _confirmed(
    before: dict[str, Floats], now: dict[str, Floats], rounds: int, settings: Settings
) -> set[str]:
    called = set()
    for look in range(1, LOOKS + 1):
        upto = look * rounds
        looked = confirm(
            {method: seconds[:upto] for method, seconds in before.items()},
            {method: seconds[:upto] for method, seconds in now.items()},
            look,
            settings,
        )
        called |= {row.method for row in looked if row.state == "confirmed"}
        if all(row.state != "open" for row in looked):
            break
    return called
