"""Pickles that do harm when they are read without care."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np


class Calls:
    """Pickles to a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._reduced = function, arguments

    def __reduce__(self) -> Any:
        return self._reduced


class ObjectType:
    """Pickles to an object dtype whose flags deny it: what it reads are pointers of one's choice."""

    def __reduce__(self) -> Any:
        return np.dtype, ("O", False, True), (3, "|", None, None, None, 8, 8, 0)


def taken(marker: Path) -> dict[str, bytes]:
    """Return pickles that make a file, or crash, when they are read without care."""
    touch = f"touch {marker}"
    pointer = Calls(np.core.multiarray.scalar, ObjectType(), b"A" * 8)  # type: ignore[attr-defined]
    return {
        "system": pickle.dumps(Calls(os.system, touch)),
        "old protocol": pickle.dumps(Calls(os.system, touch), protocol=0),
        "exec in a list": pickle.dumps([1, {"a": Calls(exec, f"open({str(marker)!r}, 'w')")}]),
        "a pointer made of numbers": pickle.dumps(pointer, protocol=4),
    }
