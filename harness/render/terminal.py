"""Printing to a terminal that text from files must not command."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

from harness.render.escape import plain

if TYPE_CHECKING:
    from rich.console import Console


class _Plain:
    """A stream that every text passes through ``plain`` on the way to another one."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write(plain(text))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def printed_plainly() -> Iterator[None]:
    """Pass all that the block prints on stdout and stderr through ``plain``."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, _Plain(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def console(stderr: bool = False) -> Console:
    """Return a console that may colour; its text must be plain already."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream.stream if isinstance(stream, _Plain) else stream)
