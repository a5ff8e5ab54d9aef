"""What is wrong with a JSON value, as messages say it."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

LONGEST_S = 10**9  # of anything that was timed: thirty years
SHA256 = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"\w[\w.-]{0,127}", re.ASCII)  # and no longer than a file's may be
PLAIN_NAME = "a plain name of letters, digits, '.', '-' and '_'"
MISSING = object()


@dataclass(frozen=True)
class Fault:
    """What is wrong with a value.

    Attributes:
        at: its dotted key; empty for the whole.
        value: the value, or MISSING.
        expected: what should be there.
    """

    at: str
    value: Any
    expected: str

    def __str__(self) -> str:
        if self.value is MISSING:
            return f"{self.at} is missing"
        return f"{self.at or 'it'} is {reprlib.repr(self.value)[:80]}, expected {self.expected}"


def first_fault(faults: Iterable[Fault | None]) -> Fault | None:
    """Return the first fault, if there is one."""
    return next((fault for fault in faults if fault is not None), None)


def key_inside(at: str, key: Any) -> str:
    """Return the dotted key of a value inside another; ``at`` is empty for the whole."""
    return f"{at}.{key}" if at else str(key)


def is_name(value: object) -> bool:
    """Say whether a value is a plain name, which may be that of a file."""
    return isinstance(value, str) and NAME.fullmatch(value) is not None
