"""A time limit that interrupts a block of Python in the main thread, also inside of INC and MXNet."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


class _Expired(BaseException):
    """Not an Exception, so that INC and MXNet do not catch it."""


@dataclass
class TimeLimit:
    """A limit of a block.

    Attributes:
        expired: the time ran out in the block.
        over: the block has ended.
    """

    expired: bool = False
    over: bool = False


@contextmanager
def time_limit(seconds: float) -> Iterator[TimeLimit]:
    """Interrupt the block after ``seconds`` (0: never), without an error."""
    limit = TimeLimit()

    def expire(number: int, frame: FrameType | None) -> None:
        if not limit.over:
            limit.expired = True
            raise _Expired

    before = signal.signal(signal.SIGALRM, expire)
    # again every second: MXNet loses an exception raised in a callback during calibration
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield limit
        limit.over = True
    except _Expired:
        pass
    finally:
        limit.over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
