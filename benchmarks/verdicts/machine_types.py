"""How often the interval of a type of machine holds the truth, and how often rankings claim wrongly.

Rounds are as real: drawn with replacement from those of nine methods that ``./run.sh aa`` timed on a
shared virtual machine, where rounds of one method differ by 3 to 12 %. Machines differ by normal
effects on the log scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from benchmarks.verdicts.figures import Figure
from benchmarks.verdicts.noise import Floats
from harness import PROJECT
from harness.stats.machines import differences, side_of, typical_machine

PART = "Machines of a type"
ROUNDS_FILE = PROJECT / "tests" / "data" / "aa_rounds.npz"
ROUNDS = (5, 20)
MACHINES = (2, 3, 5)
SPREADS = (0.0, 0.02, 0.1)  # standard deviations of log throughput between machines of a type
TYPES = 3
FASTER = 1.1  # one of the types, where the power is measured
DRAWS = 20_000  # of a machine's typical round, of which the truth and all machines are drawn


def measured(repeats: int, seed: int) -> Iterator[Figure]:
    """Yield, in percent, how often intervals hold the truth, and how often a ranking claims.

    False claims are of comparisons of three types that do not differ, in which at least one pair is
    said to. They are of types that vary alike, and of one that varies ten times as much as the others.
    """
    for rounds in ROUNDS:
        typical = typical_rounds(np.random.default_rng((seed, rounds)), rounds)
        for count in MACHINES:
            for at, spread in enumerate(SPREADS):
                rng = np.random.default_rng((seed, rounds, count, at))
                case = f"{count} machines, {100 * spread:.0f} % apart"
                held = coverage(rng, typical, count, spread, repeats)
                yield Figure(PART, case, rounds, "type held %", held, 93, 97)
                alike, unlike = (spread,) * TYPES, (spread, spread / 10, spread / 10)
                for name, spreads in (("alike", alike), ("one varies more", unlike)):
                    false = claims(rng, typical, count, spreads, repeats)
                    yield Figure(PART, case, rounds, f"false claims, {name} %", false, None, 5)
                found = claims(rng, typical, count, alike, repeats, FASTER)
                yield Figure(PART, case, rounds, "10 % faster seen %", found)


def typical_rounds(rng: np.random.Generator, rounds: int) -> Mapping[str, Floats]:
    """Return draws of the log time of a machine's typical round, (DRAWS,) by method."""
    with np.load(ROUNDS_FILE) as stored:
        logs = {method: np.log(stored[method].astype(float).mean(axis=1)) for method in stored}
    first, second = np.triu_indices(rounds)
    return {
        method: np.median((drawn[:, first] + drawn[:, second]) / 2, axis=1)
        for method, own in logs.items()
        for drawn in [rng.choice(own, (DRAWS, rounds))]
    }


def coverage(
    rng: np.random.Generator,
    typical: Mapping[str, Floats],
    count: int,
    spread: float,
    repeats: int,
) -> float:
    """Return the percentage of intervals that hold the typical machine, over all methods alike."""
    held = []
    for draws in typical.values():
        logs = draws + spread * rng.standard_normal(DRAWS)
        truth = float(np.exp(np.median((logs + rng.permutation(logs)) / 2)))
        for machines in rng.choice(logs, (-(-repeats // len(typical)), count)):
            interval = typical_machine(np.exp(machines))
            held.append(interval.low <= truth <= interval.high)
    return 100 * float(np.mean(held))


def claims(
    rng: np.random.Generator,
    typical: Mapping[str, Floats],
    count: int,
    spreads: tuple[float, ...],
    repeats: int,
    faster: float = 1.0,
) -> float:
    """Return the percentage of comparisons of types in which a difference is said to hold.

    Args:
        spreads: between machines of each type.
        faster: how many times as fast the first type is; above 1, its pairs alone count.
    """
    claimed = []
    for draws in typical.values():
        for _ in range(-(-repeats // len(typical))):
            logs = rng.choice(draws, (len(spreads), count))
            logs += np.array(spreads)[:, None] * rng.standard_normal(logs.shape)
            logs[0] += np.log(faster)
            sides = [side_of(typical_machine(np.exp(own)), count) for own in logs]
            pairs = [pair for pair in differences(sides) if faster == 1 or pair.first == 0]
            claimed.append(any(pair.holds for pair in pairs))
    return 100 * float(np.mean(claimed))
