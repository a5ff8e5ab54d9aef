"""What is found out about a machine: one line each of the screen."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, BAD, UNKNOWN = "ok", "warn", "bad", "unknown"
GIB = 1 << 30


@dataclass(frozen=True)
class Fix:
    """A command of a shell that would put a finding right.

    Attributes:
        changes: what it changes, as half of a sentence.
        undo: the command that makes it as it was.
    """

    command: str
    changes: str
    undo: str


@dataclass(frozen=True)
class Finding:
    """One line of the screen: a mark (OK, WARN, BAD, UNKNOWN), a fact, and what to do about it.

    Attributes:
        fixes: the commands that would do it, where there are any.
    """

    mark: str
    name: str
    value: str
    advice: str = ""
    fixes: tuple[Fix, ...] = ()


def level(value: int, needed: int, wanted: int) -> str:
    """Return the mark of an amount, of which less than ``needed`` is too little to measure."""
    return BAD if value < needed else WARN if value < wanted else OK


def in_gib(size: int | None) -> str:
    """Return a number of bytes in GiB, as text."""
    return "?" if size is None else f"{size / GIB:.1f} GiB"
