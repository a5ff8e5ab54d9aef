"""What differs between runs in what determines their results, the machines themselves left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.storage.plan import PLACES, RunPlan

# Where a file lies says nothing of what is in it; the digests do. What the machine comes to (threads,
# CPUs) is what is compared.
PATHS = tuple(f"config.workload.{key}" for key in ("rec", "params", "symbol", "tuning.source"))
MODEL_PATHS = tuple(f"config.workload.model.{key}" for key in ("params", "symbol"))
ABSENT = "-"


@dataclass(frozen=True)
class Unlike:
    """A setting that differs: its dotted key, and each run's value in the runs' order."""

    key: str
    values: tuple[str, ...]


def unlike(plans: Sequence[RunPlan]) -> list[Unlike]:
    """Return what differs: versions first, then files, the protocol, and the rest by key.

    A method that a run does not have differs from nothing.
    """
    settings = [dict(_settings(plan)) for plan in plans]
    found = []
    for key in dict.fromkeys(key for each in settings for key in each):
        values = [each.get(key, ABSENT) for each in settings]
        own = _method_of(key)
        present = [v for v, plan in zip(values, plans) if own is None or own in plan.methods]
        if len(set(present)) > 1:
            found.append(Unlike(key, tuple(values)))
    order = ("versions.", "harness", "files.", "config.protocol.")
    return sorted(
        found,
        key=lambda one: next((n for n, part in enumerate(order) if one.key.startswith(part)), 9),
    )


def same_images(one: RunPlan, other: RunPlan) -> bool:
    """Say whether two runs validated the same images in the same order."""
    digests = [plan.files.get("rec", {}).get("sha256") for plan in (one, other)]
    return digests[0] == digests[1] and one.images == other.images


def _method_of(key: str) -> str | None:
    parts = key.split(".")
    return parts[2] if key.startswith("config.method.") else None


def _settings(plan: RunPlan) -> Iterator[tuple[str, str]]:
    yield from _flat(plan.versions, "versions")
    yield "harness", plan.harness
    for role, file in plan.files.items():
        yield f"files.{role}.sha256", str(file.get("sha256"))
    for key in ("images", "tuning_images", "tuning_overlap"):
        yield key, str(getattr(plan, key))
    for key, value in _flat(plan.config, "config"):
        if key not in (*PATHS, *MODEL_PATHS):
            yield key, value


def _flat(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if where in PLACES:
        return
    if isinstance(value, Mapping):
        for key, inside in value.items():
            yield from _flat(inside, f"{where}.{key}")
    else:
        yield where, str(value)
