"""All runs in a line each: when, of what, how they ended, how large they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.errors import HarnessError
from harness.files.whole_files import load_json
from harness.storage.known_runs import planned_runs, readable_plan
from harness.storage.outcomes import OK
from harness.storage.record import RECORD_FILES
from harness.storage.store import NIGHT, RunFolder

MB = 1e6
EXPERIMENT = "experiment="
DAMAGED = "damaged"


class _Ended(msgspec.Struct):
    kind: str


class _Row(msgspec.Struct):
    outcome: _Ended


@dataclass(frozen=True)
class KnownRun:
    """A run in the list.

    Attributes:
        created: UTC, ISO 8601; empty where the plan is damaged.
        experiment: the ``experiment=`` it began with, else its workload and protocol.
        rows: how many were planned.
        outcomes: how many rows ended in which way.
        verdict: of a judged night, else empty.
        bytes: of all its files.
    """

    machine: str
    run: str
    created: str
    experiment: str
    rows: int
    outcomes: Mapping[str, int]
    verdict: str
    bytes: int

    @property
    def ended(self) -> str:
        """How its rows ended, in words."""
        counts = sorted(self.outcomes.items(), key=lambda each: (each[0] != OK, each[0]))
        missing = self.rows - sum(self.outcomes.values())
        parts = [f"{count} {kind}" for kind, count in counts]
        return ", ".join([*parts, *([f"{missing} not measured"] if missing > 0 else [])]) or "-"


def list_runs(results: Path) -> list[KnownRun]:
    """Return all runs, the newest first."""
    runs = [_known(folder) for folder in planned_runs(results)]
    return sorted(runs, key=lambda run: (run.created, run.run), reverse=True)


def _known(folder: RunFolder) -> KnownRun:
    plan = readable_plan(folder)
    machine, size = folder.path.parent.name, sum(_sizes(folder.path))
    outcomes = Counter(_outcomes(folder))
    if plan is None:
        return KnownRun(machine, folder.id, "", "the plan is damaged", 0, outcomes, "", size)
    began = [word for word in plan.overrides if word.startswith(EXPERIMENT)]
    experiment = (
        began[-1].removeprefix(EXPERIMENT)
        if began
        else f"{plan.workload.name}, {plan.config.protocol.name}"
    )
    rows = len(plan.methods)
    return KnownRun(
        machine, folder.id, plan.created, experiment, rows, outcomes, _verdict(folder), size
    )


def _outcomes(folder: RunFolder) -> Iterator[str]:
    for path in sorted(folder.path.glob(RECORD_FILES)):
        try:
            yield msgspec.json.decode(path.read_bytes(), type=_Row).outcome.kind
        except (OSError, msgspec.MsgspecError):
            yield DAMAGED


def _verdict(folder: RunFolder) -> str:
    with suppress(HarnessError):
        judged = load_json(folder.path / NIGHT) if folder.is_night else {}
        verdict = judged.get("verdict") if isinstance(judged, dict) else None
        return verdict if isinstance(verdict, str) else ""
    return DAMAGED


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file() and not path.is_symlink():
                yield path.stat().st_size
