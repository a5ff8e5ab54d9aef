"""The settings of runs that differ and determine their results, the machines themselves left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.storage.plan import RunPlan
from harness.storage.same_run import flattened, settings

MISSING = "-"  # shown for a setting that a run does not have
TYPED = "config."  # begins the settings that words of a command line give
ORDER = ("versions.", "harness", "files.", "config.protocol.")


@dataclass(frozen=True)
class Unlike:
    """A setting that differs: its dotted key, and each run's value in the runs' order."""

    key: str
    values: tuple[str, ...]


def unlike(plans: Sequence[RunPlan]) -> list[Unlike]:
    """Return the settings that differ: versions first, then files, the protocol, and the rest.

    A method that a run does not have differs from nothing.
    """
    runs = [settings(plan) for plan in plans]
    different = []
    for key in dict.fromkeys(key for run in runs for key in run):
        values = tuple(run.get(key, MISSING) for run in runs)
        method = _method_of(key)
        present = {v for v, plan in zip(values, plans) if method is None or method in plan.methods}
        if len(present) > 1:
            different.append(Unlike(key, values))
    return sorted(different, key=lambda one: _place_of(one.key))


def words_for(differences: Sequence[Unlike], first: RunPlan) -> list[str]:
    """Return the words of a command line that measure as the first run was, where words can say it.

    A method's own options follow from the other keys. A protocol with a name gives all its keys.
    """
    keys = [one.key.removeprefix(TYPED) for one in differences if one.key.startswith(TYPED)]
    words = []
    if "protocol.name" in keys:
        words.append(f"protocol={first.config.protocol.name}")
        keys = [key for key in keys if not key.startswith("protocol.")]
    values = flattened(first.config.stored)
    for key in keys:
        if key in values and not key.startswith("method."):
            words.append(f"{key}={_typed(values[key])}")
    return words


def _typed(value: Any) -> str:
    """Return a value as the command line takes it."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _method_of(key: str) -> str | None:
    return key.split(".")[2] if key.startswith("config.method.") else None


def _place_of(key: str) -> int:
    return next((at for at, part in enumerate(ORDER) if key.startswith(part)), len(ORDER))
