"""Progress on stderr: a line that lives on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from harness.render import terminal
from harness.render.escape import one_line, plain

Report = Callable[[int, int, str], None]
Left = Callable[[float], "float | None"]  # from seconds of a step to seconds left in all, if known
Grown = Callable[[int, int], RenderableType]  # from columns and lines to a table that fits
PLAIN_EVERY_S = 30.0
REDRAWN_PER_S = 2  # little, beside what is measured
LINES_BELOW = 6  # of a terminal, kept free of the table: its head, the line of progress, notes
TRIALS = "trials"  # a unit that is counted towards no known end


def unknown(elapsed: float) -> float | None:
    """Return that nobody knows how long the rest takes."""
    return None


class Display(Protocol):
    """Shows what runs now."""

    def step(
        self, title: str, head: str = "", left: Left = unknown
    ) -> AbstractContextManager[Report]:
        """Show ``title`` while the block runs; the block reports (done, total, unit).

        Args:
            head: what a terminal shows in place of the title.
            left: how long all takes from now.
        """
        ...

    def note(self, text: str) -> None:
        """Print one line that stays."""
        ...

    def ended(self, text: str, table: Callable[[], Grown]) -> None:
        """Say that a row ended: a line that stays, or, on a terminal, the table of those that did."""
        ...


class Screen:
    """A terminal: the table of the rows so far, and below it a line on the step that runs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._table: Grown | None = None

    @contextmanager
    def step(self, title: str, head: str = "", left: Left = unknown) -> Iterator[Report]:
        began = time.monotonic()
        counted = ""
        spinner = Spinner("dots")

        def shown() -> RenderableType:
            elapsed = time.monotonic() - began
            text = f"{one_line(head or title)}{counted}, {clock(elapsed)} elapsed"
            line = Table.grid(padding=(0, 1))
            line.add_row(spinner, Text(f"{text}{said_left(left(elapsed))}", overflow="fold"))
            above = self._above()
            return line if above is None else Group(above, "", line)

        def report(done: int, total: int, unit: str) -> None:
            nonlocal counted
            counted = f", {one_line(count_of(done, total, unit))}"

        with Live(
            console=self._console,
            transient=True,
            refresh_per_second=REDRAWN_PER_S,
            get_renderable=shown,
        ):
            yield report

    def note(self, text: str) -> None:
        self._console.print(plain(text), markup=False, highlight=False)

    def ended(self, text: str, table: Callable[[], Grown]) -> None:
        self._table = table()

    def _above(self) -> RenderableType | None:
        lines = self._console.height - LINES_BELOW
        return self._table(self._console.width, lines) if self._table and lines > 0 else None


class Lines:
    """Plain lines: one when a step begins, then at most one every half minute."""

    @contextmanager
    def step(self, title: str, head: str = "", left: Left = unknown) -> Iterator[Report]:
        self.note(f"{title} ...")
        began = said = time.monotonic()

        def report(done: int, total: int, unit: str) -> None:
            nonlocal said
            now = time.monotonic()
            if now - said >= PLAIN_EVERY_S:
                said = now
                remaining = (now - began) / max(done, 1) * (total - done)
                after = f", about {remaining:.0f} s left" if total else ""
                self.note(f"{title}: {done} {unit}{after}")

        yield report

    def note(self, text: str) -> None:
        print(plain(text), file=sys.stderr, flush=True)

    def ended(self, text: str, table: Callable[[], Grown]) -> None:
        self.note(text)


def count_of(done: int, total: int, unit: str) -> str:
    """Return how far a step is, in words; a count without an end has no share of it."""
    if total:
        return f"{done} of {total} {unit}"
    return f"trial {done}" if unit == TRIALS else f"{done} {unit}"


def clock(seconds: float) -> str:
    """Return a time as M:SS, from an hour on as H:MM:SS."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def said_left(seconds: float | None) -> str:
    """Return how long all still takes, no more exactly than it is known; empty where it is not."""
    if seconds is None:
        return ""
    if seconds < 50:
        return f"; about {max(10, 10 * round(seconds / 10))} s left in all"
    minutes = max(1, round(seconds / 60))
    hours, minute = divmod(minutes, 60)
    return f"; about {f'{hours} h {minute:02d}' if hours else minute} min left in all"


def told_once(
    show: Display,
    why: str,
    limit_s: float,
    report: Report = lambda done, total, unit: None,
) -> Callable[[str, float], None]:
    """Return a function that reports a wait: it names each awaited process once, and counts seconds.

    Args:
        why: the reason for the wait, as a clause.
        limit_s: how long it waits at most; 0 is no limit.
    """
    told: set[str] = set()

    def tell(holder: str, seconds: float) -> None:
        if holder not in told:
            told.add(holder)
            most = f", for {clock(limit_s)} at most (run.wait_s)" if limit_s else ""
            show.note(f"{why}: waiting for it{most}: {holder}")
        report(int(seconds), 0, "s of waiting")

    return tell


def display() -> Display:
    """Return a screen where stderr is a terminal, lines otherwise."""
    console = terminal.console(stderr=True)
    return Screen(console) if console.is_terminal else Lines()
