"""The window in which several processes all ran, and what each did in it: pure functions of times.

A sum of throughputs that were measured at different seconds is no throughput of a machine: an instance
that still loads its model, or has ended, leaves its memory bandwidth and its turbo frequency to the
others. So batches count only in the window in which all instances ran. A batch that reaches over an end
of the window counts by the part of its time that is inside; whole batches alone would lose half a batch
an instance at each end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Batches:
    """The batches of one process, in order; they do not overlap.

    Attributes:
        began, ended: (B,), seconds of a clock that all processes share.
    """

    began: Floats
    ended: Floats


@dataclass(frozen=True)
class Window:
    """A stretch of time, in seconds of the same clock."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def batches_of(
    began_at: float, data_s: Sequence[float], forward_s: Sequence[float], rest_s: Sequence[float]
) -> Batches:
    """Return when each batch's forward pass began and ended.

    Args:
        began_at: when the first batch was requested.
        data_s, forward_s, rest_s: (B,) seconds each, which add up to all of the time since.
    """
    data, forward, rest = (
        np.asarray(part, dtype=np.float64) for part in (data_s, forward_s, rest_s)
    )
    done = began_at + np.cumsum(data + forward + rest)
    ended = done - rest
    return Batches(ended - forward, ended)


def common_window(processes: Sequence[Batches]) -> Window | None:
    """Return the window in which all processes ran; None if there is none.

    It begins when the last of them has done its first batch, which may be slow after the wait for the
    others, and ends when the first of them has done its last.
    """
    start = max(float(one.ended[0]) for one in processes)
    end = min(float(one.ended[-1]) for one in processes)
    return Window(start, end) if end > start else None


def batches_within(process: Batches, window: Window) -> float:
    """Return how many batches a process did in a window, with the parts of those at its ends."""
    inside = np.minimum(process.ended, window.end) - np.maximum(process.began, window.start)
    return float(np.sum(np.clip(inside, 0, None) / (process.ended - process.began)))


def seconds_of_begun(process: Batches, window: Window) -> Floats:
    """Return the seconds of each batch that began in a window, (n,).

    A batch that ends after the window counts: the longer a batch, the likelier an end cuts it, so that
    percentiles of those wholly inside would be too low.
    """
    begun = (process.began >= window.start) & (process.began < window.end)
    seconds: Floats = (process.ended - process.began)[begun]
    return seconds
