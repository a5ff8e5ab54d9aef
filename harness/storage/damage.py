"""Records of a run that a disk damaged: set aside to be measured again, or left out of a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.facts.typed import JsonObject
from harness.files import durable
from harness.files.whole_files import is_json, load_json
from harness.storage.outcomes import FAILED, OK
from harness.storage.plan import RunPlan
from harness.storage.record import (
    INSTANCE_FILES,
    RECORD_FILES,
    ROOF,
    ROUND_FILES,
    SERVER_FILES,
    InstancesRecord,
    MethodRecord,
    Outcome,
    RoundRecord,
)
from harness.storage.recorded_files import is_intact
from harness.storage.served.server_record import ServerRecord
from harness.storage.store import METHODS, OPTIMIZED, NotAsRecorded, RunFolder, in_order


def set_aside_damaged(folder: RunFolder) -> list[str]:
    """Rename records that are damaged, or name damaged files; return their names.

    So they are measured again. With a row whose model is damaged go its rounds and its searches for
    a rate: they timed that model. A model that is missing is needed only if its row is measured
    again, which makes it.
    Also removes what a process killed while writing has left; the caller holds the lock.
    """
    for part in folder.path.rglob(".*.part"):
        part.unlink()
    patterns = (
        RECORD_FILES,
        ROUND_FILES,
        INSTANCE_FILES,
        SERVER_FILES,
        f"{METHODS}/*/{OPTIMIZED}",
        ROOF,
    )
    damaged = [
        path for pattern in patterns for path in folder.path.glob(pattern) if not is_json(path)
    ]
    whole = (path for path in folder.path.glob(RECORD_FILES) if path not in damaged)
    for record in [MethodRecord.from_dict(load_json(path), path) for path in whole]:
        if _has_damaged_model(folder, record):
            rounds = folder.path.glob(ROUND_FILES)
            damaged += [path for path in rounds if _timed_method(path) == record.method]
            together = folder.path.glob(INSTANCE_FILES)
            damaged += [path for path in together if _split_method(path) == record.method]
            searches = folder.path.glob(SERVER_FILES)
            damaged += [path for path in searches if _served_method(path) == record.method]
            damaged.append(folder.path / record.path)
        elif folder.damaged_predictions(record) is not None:
            damaged.append(folder.path / record.path)
    for path in {*damaged}:
        path.replace(path.with_name(f"{path.name}.damaged"))
    for parent in {path.parent for path in damaged}:
        durable.sync(parent)
    return sorted(str(path.relative_to(folder.path)) for path in {*damaged})


def _has_damaged_model(folder: RunFolder, record: MethodRecord) -> bool:
    model = record.optimize.model if record.optimize else ()
    files = [(folder.method(record.method) / file.path, file) for file in model]
    return any(path.exists() and not is_intact(path, file) for path, file in files)


def _timed_method(path: Path) -> str:
    """Return the method that a round's file is of (``RoundRecord.path``)."""
    return path.stem.partition("_")[2].rpartition("_")[0]


def _split_method(path: Path) -> str:
    """Return the method that a file of instances is of (``InstancesRecord.path``)."""
    return _timed_method(path).rpartition("_")[0]


def _served_method(path: Path) -> str:
    """Return the method that a search for a rate is of (``ServerRecord.path``)."""
    return path.stem.rpartition("_")[0]


@dataclass
class Readable:
    """The records of a run as far as a disk has kept them.

    Attributes:
        rows: the rows' records; a damaged one is a failed row, and its outcome names the remedy.
        rounds: the rounds' records, without the damaged ones.
        predictions: by method, (images, 5) or fewer columns.
        instances: the records of several instances, without the damaged ones.
        searches: the records of searches for a rate, without the damaged ones.
        lost: a sentence for each damaged record that is left out.
    """

    rows: list[MethodRecord] = field(default_factory=list)
    rounds: list[RoundRecord] = field(default_factory=list)
    instances: list[InstancesRecord] = field(default_factory=list)
    searches: list[ServerRecord] = field(default_factory=list)
    predictions: dict[str, npt.NDArray[np.uint16]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


def load_readable(folder: RunFolder, plan: RunPlan) -> Readable:
    """Return a run's records, rounds and predictions as far as a disk has kept them.

    Raises:
        HarnessError: a record is of an unknown schema, or not of its form.
    """
    again = f"restore it, or give run.id={folder.id}, which measures that again"
    readable = Readable()
    for path in sorted(folder.path.glob(RECORD_FILES)):
        position, _, method = path.stem.partition("_")
        value = folder.load_intact(path)
        if method in plan.methods and value is None:
            label = plan.methods[method].label
            outcome = Outcome(FAILED, f"{path.relative_to(folder.path)} is damaged: {again}")
            readable.rows.append(MethodRecord(plan.run, method, label, int(position), outcome))
            continue
        row = MethodRecord.from_dict(folder.load(path) if value is None else value, path)
        if row.outcome.kind == OK and row.validate is not None:
            try:
                readable.predictions[row.method] = folder.load_predictions(row, plan.images)
            except NotAsRecorded as error:
                name = error.path.relative_to(folder.path)
                reason = f"{name} is damaged or missing: {again}"
                row = replace(row, outcome=Outcome(FAILED, reason))
        readable.rows.append(row)

    def intact(pattern: str) -> Iterator[tuple[JsonObject, Path]]:
        for path in sorted(folder.path.glob(pattern)):
            value = folder.load_intact(path)
            if value is None:
                shown = path.relative_to(folder.path)
                readable.lost.append(f"{shown} is damaged and left out: {again}")
            else:
                yield value, path

    rounds = [RoundRecord.from_dict(*one) for one in intact(ROUND_FILES)]
    readable.rounds = in_order(rounds, folder.path)
    readable.instances = [InstancesRecord.from_dict(*one) for one in intact(INSTANCE_FILES)]
    readable.searches = [ServerRecord.from_dict(*one) for one in intact(SERVER_FILES)]
    return readable
