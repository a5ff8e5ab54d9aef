"""Nested dicts: their values by dotted key, and how two of them differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.facts.machine_facts import ENGINE_PACKAGES
from harness.facts.typed import JsonObject

Keys = tuple[str, ...]  # the path to a value in nested dicts
MOST_SHOWN = 8  # values of a dict that are listed in one line
ABSENT = object()  # in place of a value that is not there


@dataclass(frozen=True)
class Difference:
    """A value that differs between two nested dicts; ABSENT where one of them does not have it."""

    keys: Keys
    before: Any
    after: Any

    @property
    def key(self) -> str:
        """The dotted key."""
        return ".".join(map(str, self.keys))


def differing(before: Any, after: Any, at: Keys = ()) -> Iterator[Difference]:
    """Yield the differences of two nested dicts, in the order of their keys.

    A list equals a tuple of the same items.

    Args:
        at: the path to both of them, which begins all keys.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {**before, **after}:
            yield from differing(before.get(key, ABSENT), after.get(key, ABSENT), (*at, key))
        return
    if isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)):
        before, after = list(before), list(after)
    if before is not after and before != after:
        yield Difference(at, before, after)


def listed(differences: Iterable[Difference]) -> list[str]:
    """Return one line a difference, sorted by key. A missing value and None are the same.

    A dict that one side alone has is a line, too. If it is long, the line has its keys, or what names
    an engine in it, and the number of its values.
    """
    lines = []
    for difference in sorted(differences, key=lambda one: one.keys):
        values = (difference.before, difference.after)
        was, now = (None if value is ABSENT else value for value in values)
        if was is not None or now is not None:
            lines.append(f"{difference.key}: was {_shown(was)}, is {_shown(now)}")
    return lines


def _shown(value: Any) -> str:
    leaves = flattened(value) if isinstance(value, Mapping) else {}
    if len(leaves) <= MOST_SHOWN:
        return repr(value)
    engines = [
        f"{key}={leaf}" for key, leaf in leaves.items() if key.rpartition(".")[2] in ENGINE_PACKAGES
    ]
    return f"{', '.join(engines or value)} ({len(leaves)} values)"


def flattened(value: Any, at: str = "") -> JsonObject:
    """Return the values of nested dicts by dotted key, in their order.

    Args:
        at: the dotted key of ``value``, which begins all keys.
    """
    if not isinstance(value, Mapping):
        return {at: value}
    return {
        where: leaf
        for key, inner in value.items()
        for where, leaf in flattened(inner, f"{at}.{key}" if at else key).items()
    }
