"""The first of the changes of a lock file that makes a row worse, by halving."""

from __future__ import annotations

from collections.abc import Callable

from harness.bisect.pairs import Answer


def first_bad_step(steps: int, test: Callable[[int], Answer]) -> range:
    """Return the steps that may be the first bad one, one where it was found.

    Step 0 is good and the last is bad. Where a step cannot be told, its neighbours are tried.

    Args:
        steps: how many changes there are.
        test: says what the first n changes make of the row.
    """
    good, bad = 0, steps
    untold: set[int] = set()
    while True:
        between = [step for step in range(good + 1, bad) if step not in untold]
        if not between:
            return range(good + 1, bad + 1)
        middle = (good + bad) / 2
        step = min(between, key=lambda one: abs(one - middle))
        answer = test(step)
        if answer == "good":
            good = step
        elif answer == "bad":
            bad = step
        else:
            untold.add(step)
