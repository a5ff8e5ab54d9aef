"""The configuration of a continued run: that of its plan, and the words of now on top of it.

A plan is data. Nothing of it is composed: no word that it keeps is parsed, no ``${...}`` in it is
looked up, and no file that it names is read as configuration. What is asked now is composed with the
project's and the user's files as for a new run, and what it comes to is laid over the plan's values.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.config import Composed, check_values, composed_values, is_group
from harness.errors import InputError
from harness.facts.nested import ABSENT, Keys, differing
from harness.facts.override_key import key_of
from harness.facts.typed import JsonObject
from harness.host.libraries import allocator
from harness.storage.plan import RunPlan

NOW = ("run",)  # sections that are always taken from what is asked now


def continued(plan: RunPlan, now: Composed, folders: Sequence[Path]) -> Composed:
    """Return the configuration of a continued run.

    A word that chooses files (``protocol=careful``) asks for what the run has if the run began with
    the same word. Another choice replaces that section, except for keys that the run began with.

    Args:
        now: what is asked now, composed by itself.

    Raises:
        InputError: the plan's configuration, or what is asked of it, is not one that can be measured.
    """
    words = [word for word in now.overrides if key_of(word).split(".")[0] not in NOW]
    new_keys = {key_of(word) for word in words}
    require_typed_allocator(plan, words)
    began = [word for word in plan.overrides if key_of(word).split(".")[0] not in NOW]
    values = copy.deepcopy(plan.config.stored)
    for section in NOW:
        values[section] = now.config.stored[section]
    for keys, value in _asked(plan, now, words, folders):
        _put(values, keys, value)
    try:
        config = check_values(values, folders)
    except InputError as error:
        raise InputError(f"run {plan.run} cannot go on: {error}") from None
    kept = [word for word in began if key_of(word) not in new_keys]
    return Composed((*kept, *now.overrides), config, now.download)


def require_typed_allocator(plan: RunPlan, words: Sequence[str]) -> None:
    """Check that an allocator that a plan names by its path is named by the words of now, too.

    Raises:
        InputError: it is not.
    """
    library = plan.config.threads.allocator or ""
    if "/" in library and allocator.KEY not in map(key_of, words):
        raise InputError(
            f"run {plan.run} began with {allocator.KEY}={library}. A plan is data, and no library is "
            "loaded because a plan names it: repeat that word"
        )


def _asked(
    plan: RunPlan, now: Composed, words: Sequence[str], folders: Sequence[Path]
) -> Iterator[tuple[Keys, Any]]:
    """Yield what the words set, in the order in which it counts; ABSENT is removed."""
    began, asked = plan.config.stored, now.config.stored
    choices = [word for word in words if is_group(key_of(word), folders)]
    others = [word for word in words if word not in choices]
    same = [word for word in choices if word in plan.overrides]
    chosen = composed_values(choices, folders) if others else asked
    if same != choices:
        yield from _changes(composed_values(same, folders), chosen)
        for word in choices:
            section = key_of(word)
            if word not in same and section in chosen:
                yield (section,), _kept(plan, section, chosen[section])
    if others:
        led_to = _changes(chosen, asked)
        yield from (pair for pair in led_to if _get(began, pair[0]) is not ABSENT)
        for word in others:
            keys = tuple(key_of(word).split("."))
            value = _get(asked, keys)
            if value is not ABSENT or word.startswith("~"):
                yield keys, value


def _kept(plan: RunPlan, section: str, chosen: Any) -> Any:
    """Return a section with the plan's values of the keys that the run began with."""
    values = {section: copy.deepcopy(chosen)}
    for word in plan.overrides:
        keys = tuple(key_of(word).split("."))
        if keys[0] == section and len(keys) > 1:
            _put(values, keys, _get(plan.config.stored, keys))
    return values[section]


def _changes(before: Any, after: Any) -> Iterator[tuple[Keys, Any]]:
    """Yield the keys that differ between two configurations, with their values in the second."""
    for difference in differing(before, after):
        if difference.keys[0] not in NOW:
            yield difference.keys, difference.after


def _get(values: JsonObject, keys: Keys) -> Any:
    value: Any = values
    for key in keys:
        value = value.get(key, ABSENT) if isinstance(value, Mapping) else ABSENT
    return value


def _put(values: JsonObject, keys: Keys, value: Any) -> None:
    *above, last = keys
    level = values
    for key in above:
        inner = level.get(key)
        if not isinstance(inner, dict):
            if value is ABSENT:
                return
            inner = level[key] = {}
        level = inner
    if value is ABSENT:
        level.pop(last, None)
    else:
        level[last] = copy.deepcopy(value)
