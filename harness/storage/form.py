"""Validate a JSON object against a form. Keys that the form does not name are allowed. A rule is

* a function, true for a good value, whose docstring says what is expected;
* a dictionary of rules by key; a key that ends in ``?`` may be missing;
* a list of one rule, for every item of a list;
* a tuple of one rule, for a value that may be None;
* ``Named``, for an object whose keys are names that somebody chose;
* ``Chosen``, where a value itself says which rules it is held to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.facts.faults import MISSING, NAME, SHA256, Fault, first_fault, key_inside


@dataclass(frozen=True)
class Named:
    """An object whose every key is held to one rule, and every value to another."""

    key: Any
    value: Any


@dataclass(frozen=True)
class Chosen:
    """A value that is held to ``always``, and then to the rule that ``more`` returns for it."""

    always: Any
    more: Callable[[Any], Any]


def wrong(value: Any, rule: Any, at: str = "") -> str | None:
    """Return what is wrong with a value of a JSON object, with its dotted key; None if nothing is."""
    found = fault(value, rule, at)
    return None if found is None else str(found)


def fault(value: Any, rule: Any, at: str = "") -> Fault | None:
    """Return the first thing that is wrong with a value; None if nothing is."""
    if isinstance(rule, tuple):
        return None if value is None else fault(value, rule[0], at)
    if isinstance(rule, Chosen):
        return fault(value, rule.always, at) or fault(value, rule.more(value), at)
    if isinstance(rule, list):
        if not isinstance(value, (list, tuple)):
            return Fault(at, value, "a list")
        return first_fault(fault(item, rule[0], f"{at}[{n}]") for n, item in enumerate(value))
    if isinstance(rule, Named):
        if not isinstance(value, Mapping):
            return Fault(at, value, "an object")
        keys = (fault(key, rule.key, f"a key of {at or 'it'}") for key in value)
        return first_fault(keys) or first_fault(
            fault(each, rule.value, key_inside(at, key)) for key, each in value.items()
        )
    if isinstance(rule, Mapping):
        if not isinstance(value, Mapping):
            return Fault(at, value, "an object")
        return first_fault(_fault_of_key(value, key, inner, at) for key, inner in rule.items())
    if rule(value):
        return None
    return Fault(at, value, str(rule) if isinstance(rule, OneOf) else str(rule.__doc__))


def _fault_of_key(value: Mapping[str, Any], key: str, rule: Any, at: str) -> Fault | None:
    name = key.rstrip("?")
    if name in value:
        return fault(value[name], rule, key_inside(at, name))
    return Fault(key_inside(at, name), MISSING, "something") if name == key else None


def text(value: Any) -> bool:
    """a text"""
    return isinstance(value, str)


def name(value: Any) -> bool:
    """a plain name of letters, digits, '.', '-' and '_'"""
    return isinstance(value, str) and NAME.fullmatch(value) is not None


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


def texts(value: Any) -> bool:
    """an object of texts"""
    return isinstance(value, dict) and all(map(text, value.values()))


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number with more digits than a float has room for
        return False


def at_least(least: int) -> Callable[[Any], bool]:
    """Return the rule of whole numbers from ``least`` up."""

    def rule(value: Any) -> bool:
        return count(value) and value >= least

    rule.__doc__ = f"a whole number of at least {least}"
    return rule


@dataclass(frozen=True)
class OneOf:
    """The rule of texts that are on a list; ``why`` is said of those that are not."""

    names: tuple[str, ...]
    why: str = ""

    def __call__(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.names

    def __str__(self) -> str:
        listed = f"{', '.join(self.names[:-1])} or {self.names[-1]}"
        return f"{listed} ({self.why})" if self.why else listed


def is_text(rule: Any) -> bool:
    """Say whether a rule takes texts alone, so that what is typed for it is never a number."""
    rule = rule[0] if isinstance(rule, tuple) else rule
    return isinstance(rule, OneOf) or rule in (text, name, path, argument_path)


def path(value: Any) -> bool:
    """the path of a file or folder"""
    return isinstance(value, str) and value != "" and "\0" not in value


def argument_path(value: Any) -> bool:
    """a path, or what a class of one's own takes under that name"""
    return True


def anything(value: Any) -> bool:
    """anything"""
    return True


def key(value: Any) -> bool:
    """a key in quotes, since keys are texts"""
    return isinstance(value, str)


def scalar(value: Any) -> bool:
    """a text, a finite number, true, false or null: JSON keeps nothing else"""
    return value is None or isinstance(value, (str, bool)) or number(value)


def _kept(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Named(key, KEPT)
    return [KEPT] if isinstance(value, (list, tuple)) else scalar


KEPT = Chosen(anything, _kept)  # what JSON keeps as it is
