"""Words that change a configuration, such as ``threads.count=2`` or ``~method.fp32``: key and value."""

from __future__ import annotations

import json
from typing import Any


def key_of(word: str) -> str:
    """Return the dotted key that a word sets, adds or removes."""
    return word.split("=", 1)[0].lstrip("+~")


def spell(value: Any) -> str:
    """Return a value as a word or a message spells it."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def is_for_row(key: str, method: str) -> bool:
    """Say whether a key may be set where one row is measured: no key of the rows, nor of another row."""
    keys = key.split(".")
    return keys[0] != "method" or keys[1:2] == [method]
