"""The settings of runs that differ and determine their results, the machines themselves left out."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from harness.facts.nested import flattened
from harness.facts.override_key import key_of, spell
from harness.storage.plan import RunPlan
from harness.storage.same_run import settings

MISSING = "-"  # shown for a setting that a run does not have
ENGINES = "versions.engines."  # begins the versions of what an engine's environment has
TYPED = "config."  # begins the settings that words of a command line give
DERIVED_FROM = {  # settings of a plan that follow from the configuration's, by what changes them
    "images": ("config.workload.images",),
    "tuning_images": ("config.workload.tuning.batches", "config.workload.batch_size"),
}
OWN_FILE = re.compile(r"files\.([^.]+)\.[^.]+\.sha256")  # the workload's have no second part
ORDER = ("versions.", "harness", "files.", "config.protocol.")


@dataclass(frozen=True)
class Unlike:
    """A setting that differs: its dotted key, and each run's value in the runs' order."""

    key: str
    values: tuple[str, ...]


def unlike(plans: Sequence[RunPlan]) -> list[Unlike]:
    """Return the settings that differ: versions first, then files, the protocol, and the rest.

    A method that a run does not have differs from nothing, nor does an engine whose rows it does not
    have. What follows from another difference is left out.
    """
    runs = [settings(plan) for plan in plans]
    different = []
    for key in dict.fromkeys(key for run in runs for key in run):
        values = tuple(spell(run[key]) if key in run else MISSING for run in runs)
        present = {value for value, plan in zip(values, plans) if _concerns(key, plan)}
        if len(present) > 1:
            different.append(Unlike(key, values))
    return sorted(_without_derived(different), key=lambda one: _place_of(one.key))


def words_for(differences: Sequence[Unlike], first: RunPlan, other: RunPlan) -> list[str]:
    """Return the words of a command line that measure another run as the first one was.

    They are the other run's own words, unless it was imported, and the first run's values of what
    differs. None where no word changes what differs. A method's own options follow from the other
    keys. A protocol with a name gives its keys, and the first run's own words of it follow.
    """
    keys = [one.key.removeprefix(TYPED) for one in differences if one.key.startswith(TYPED)]
    changed = {}
    if "protocol.name" in keys:
        changed["protocol"] = f"protocol={first.config.protocol.name}"
        if not first.foreign:
            keys = [key for key in keys if not key.startswith("protocol.")]
            own_words = [word for word in first.words if key_of(word).startswith("protocol.")]
            changed |= {key_of(word): word for word in own_words}
    values = flattened(first.config.stored)
    for key in keys:
        if key in values and not key.startswith("method."):
            changed[key] = f"{key}={spell(values[key])}"
    if not changed:
        return []
    own = [] if other.foreign else other.words
    kept = [word for word in own if not _is_replaced(word, changed)]
    return [*kept, *changed.values()]


def _is_replaced(word: str, changed: Collection[str]) -> bool:
    key = key_of(word)
    return key in changed or (key.startswith("protocol.") and "protocol" in changed)


def _without_derived(different: Sequence[Unlike]) -> list[Unlike]:
    """Leave out what follows from another difference: numbers of images, and methods' options."""
    values = {one.key: one.values for one in different}
    return [one for one in different if not _is_derived(one, values)]


def _is_derived(one: Unlike, values: Mapping[str, tuple[str, ...]]) -> bool:
    if one.key in DERIVED_FROM:
        return any(key in values for key in DERIVED_FROM[one.key])
    method = _method_of(one.key)
    if method is None:
        return False
    if MISSING in one.values and f"config.method.{method}._target_" in values:
        return True  # an argument that one class has and the other has not
    option = one.key.rpartition(".options.")[2]  # of a search; the tuning has it for all of them
    return any(
        key.startswith("config.tuning.")
        and key.endswith(option)
        and all(mine in (MISSING, theirs) for mine, theirs in zip(one.values, of_all))
        for key, of_all in values.items()
    )


def _concerns(key: str, plan: RunPlan) -> bool:
    """Say whether a run has the method, or rows of the engine, that a setting is of."""
    method = _method_of(key)
    if method is not None:
        return method in plan.methods
    if key.startswith(ENGINES):
        return key.split(".")[2] in (plan.versions.engines or {})
    return True


def _method_of(key: str) -> str | None:
    """Return the method that a setting is of, such as ``files.int8_mine.symbol.sha256``."""
    if key.startswith("config.method."):
        return key.split(".")[2]
    own_file = OWN_FILE.fullmatch(key)
    return own_file[1] if own_file else None


def _place_of(key: str) -> int:
    return next((at for at, part in enumerate(ORDER) if key.startswith(part)), len(ORDER))
