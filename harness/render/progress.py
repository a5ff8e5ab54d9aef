"""Progress on stderr: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from harness.render import terminal
from harness.render.escape import one_line, plain

Report = Callable[[int, int, str], None]
PLAIN_EVERY_S = 30.0


class Display(Protocol):
    """Shows what runs now."""

    def step(self, title: str) -> AbstractContextManager[Report]:
        """Show ``title`` while the block runs; the block reports (done, total, unit)."""
        ...

    def note(self, text: str) -> None:
        """Print one line that stays."""
        ...


class Bars:
    """Rich bars: title, bar, count, rate, time spent and left."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, title: str) -> Iterator[Report]:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as bars:
            task = bars.add_task(one_line(title), total=None, rate="")
            began = time.monotonic()

            def report(done: int, total: int, unit: str) -> None:
                rate = f"{done / max(time.monotonic() - began, 1e-9):.1f} {unit}/s"
                bars.update(task, completed=done, total=total or None, rate=rate)

            yield report

    def note(self, text: str) -> None:
        self._console.print(plain(text), markup=False, highlight=False)


class Lines:
    """Plain lines: one when a step begins, then at most one every half minute."""

    @contextmanager
    def step(self, title: str) -> Iterator[Report]:
        self.note(f"{title} ...")
        began = said = time.monotonic()

        def report(done: int, total: int, unit: str) -> None:
            nonlocal said
            now = time.monotonic()
            if now - said >= PLAIN_EVERY_S:
                said = now
                left = (now - began) / max(done, 1) * (total - done)
                said_left = f", about {left:.0f} s left" if total else ""
                self.note(f"{title}: {done} {unit}{said_left}")

        yield report

    def note(self, text: str) -> None:
        print(plain(text), file=sys.stderr, flush=True)


def told_once(
    show: Display, why: str, report: Report = lambda done, total, unit: None
) -> Callable[[str, float], None]:
    """Return a function that reports a wait: it names each awaited process once, and counts seconds.

    Args:
        why: the reason for the wait, as a clause.
    """
    told: set[str] = set()

    def tell(holder: str, seconds: float) -> None:
        if holder not in told:
            told.add(holder)
            show.note(f"{why}: waiting for it, {holder}")
        report(int(seconds), 0, "s of waiting")

    return tell


def display() -> Display:
    """Return bars where stderr is a terminal, lines otherwise."""
    console = terminal.console(stderr=True)
    return Bars(console) if console.is_terminal else Lines()
