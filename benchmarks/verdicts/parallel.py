"""Simulations that do not depend on each other, one process on each core."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def mapped(simulate: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
    """Return the results of tasks in their order; both must be picklable."""
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(simulate, tasks))
