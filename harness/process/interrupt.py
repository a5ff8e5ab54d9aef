"""Stopping a run: Ctrl-C stops it after the record in progress; twice, or SIGTERM, at once.

All of them end in KeyboardInterrupt. Workers are in sessions of their own, so that a terminal's Ctrl-C
does not reach them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType


def catch_signals() -> None:
    """Have SIGTERM and SIGHUP raise KeyboardInterrupt, unless they are ignored, as under nohup."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


@contextmanager
def finishing(what: str, note: Callable[[str], None]) -> Iterator[None]:
    """Delay the first Ctrl-C until the end of the block; the second one counts at once.

    Args:
        what: is finished in the block; for the message.
        note: prints that message.

    Raises:
        KeyboardInterrupt: at the end of the block, if there was one.
    """
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):  # ignored, as in a shell's background job
        yield
        return
    interrupted = False

    def put_off(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        signal.signal(signal.SIGINT, before)
        with suppress(RuntimeError):  # the signal came in the middle of printing
            note(f"stopping when {what} is recorded; Ctrl-C again stops now")

    signal.signal(signal.SIGINT, put_off)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupted:
        raise KeyboardInterrupt


@contextmanager
def resumable(words: str) -> Iterator[None]:
    """Add to a KeyboardInterrupt in the block the words that continue the run: ``run.id=ID``."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(words) from None
