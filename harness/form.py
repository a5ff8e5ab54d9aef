"""Hold a value of a JSON object to a form. Keys that the form does not name may be there. A rule is

* a function, true for a good value, whose docstring says what is expected;
* a dictionary of rules by key; a key that ends in ``?`` may be missing;
* a list of one rule, for every item of a list;
* a tuple of one rule, for a value that may be None.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping
from typing import Any

LONGEST_S = 1e9  # of anything that was timed: thirty years
NAME = re.compile(r"\w[\w.-]{0,127}", re.ASCII)  # and no longer than a file's may be
LOG = re.compile(r"(?:\w[\w.-]{0,127}/){0,8}\w[\w.-]{0,127}", re.ASCII)
SHA256 = re.compile(r"[0-9a-f]{64}")


def wrong(value: Any, rule: Any, at: str = "") -> str | None:
    """Return what is wrong with a value of a JSON object, with its dotted key; None if nothing is."""
    if isinstance(rule, tuple):
        return None if value is None else wrong(value, rule[0], at)
    if isinstance(rule, list):
        if not isinstance(value, (list, tuple)):
            return _said(at, value, "a list")
        found = (wrong(item, rule[0], f"{at}[{n}]") for n, item in enumerate(value))
        return next((each for each in found if each), None)
    if isinstance(rule, Mapping):
        if not isinstance(value, Mapping):
            return _said(at, value, "an object")
        for key, inner in rule.items():
            name = key.rstrip("?")
            where = f"{at}.{name}" if at else name
            if name not in value:
                if name == key:
                    return f"{where} is missing"
                continue
            found_here = wrong(value[name], inner, where)
            if found_here:
                return found_here
        return None
    return None if rule(value) else _said(at, value, rule.__doc__)


def _said(at: str, value: Any, expected: str) -> str:
    return f"{at or 'it'} is {reprlib.repr(value)[:80]}, expected {expected}"


def text(value: Any) -> bool:
    """a text"""
    return isinstance(value, str)


def name(value: Any) -> bool:
    """a plain name of letters, digits, '.', '-' and '_'"""
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def log(value: Any) -> bool:
    """a path inside the run's folder"""
    return isinstance(value, str) and LOG.fullmatch(value) is not None


def sha256(value: Any) -> bool:
    """64 hexadecimal digits"""
    return isinstance(value, str) and SHA256.fullmatch(value) is not None


def switch(value: Any) -> bool:
    """true or false"""
    return isinstance(value, bool)


def count(value: Any) -> bool:
    """a whole number of at least 0"""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def some(value: Any) -> bool:
    """a whole number of at least 1"""
    return count(value) and value > 0


def number(value: Any) -> bool:
    """a finite number"""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and _is_finite(value)


def seconds(value: Any) -> bool:
    """a time of at least 0"""
    return number(value) and 0 <= value < LONGEST_S


def took(value: Any) -> bool:
    """a time above 0"""
    return seconds(value) and value > 0


def share(value: Any) -> bool:
    """a number from 0 to 1"""
    return number(value) and 0 <= value <= 1


def texts(value: Any) -> bool:
    """an object of texts"""
    return isinstance(value, dict) and all(map(text, value.values()))


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number with more digits than a float has room for
        return False
