"""Before a row's saved model is timed: batches in memory, and the warm-up."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from harness.methods.row_model import batches_of
from harness.process.jobs import SavedModel
from harness.process.timing import timed_pass
from harness.stats.steady import FEWEST_TO_SETTLE, stable_from

LOOK_EVERY = 5  # batches between two looks at whether the times have settled
HELD_IMAGES = 256  # in memory; 150 MB of the usual 224 x 224


def held_batches(model: SavedModel, size: int) -> list[Any]:
    """Return whole batches of a model's first images, in memory: ``HELD_IMAGES``, or one batch."""
    whole = model.images.images // size * size
    count = max(1, HELD_IMAGES // size)
    return list(itertools.islice(batches_of(model, size, whole), count))


def warm_up(
    net: Callable[[Any], Any], batches: Iterable[Any], seconds: float
) -> tuple[list[float], bool]:
    """Run batches until their times are steady (``stable_from``), for ``seconds`` at the most.

    Returns:
        the forward time of each, in seconds, and whether they had become steady.
    """
    times: list[float] = []
    until = time.monotonic() + seconds
    for batch in endless(batches):
        if time.monotonic() >= until:
            break
        times += timed_pass(net, [batch], ignore).forward_s
        look = len(times) >= FEWEST_TO_SETTLE and len(times) % LOOK_EVERY == 0
        if look and stable_from(times) is not None:
            return times, True
    return times, False


def recent_times(
    net: Callable[[Any], Any], batches: Sequence[Any], warmup: Sequence[float]
) -> Sequence[float]:
    """Return the seconds of the last batches of a warm-up; of one batch where there was none."""
    return warmup[-LOOK_EVERY:] or timed_pass(net, batches[:1], ignore).forward_s


def endless(batches: Iterable[Any]) -> Iterator[Any]:
    """Yield batches, over again."""
    while True:
        yield from batches


def ignore(scores: Any, label: Any) -> None:
    """Accuracy is not measured here."""
