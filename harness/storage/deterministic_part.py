"""What the same plan gives again on the same machine, without times, and its digests."""

from __future__ import annotations

from collections.abc import Sequence

from harness.facts.typed import JsonObject
from harness.files.whole_files import json_sha256
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord
from harness.storage.same_run import file_digests

TIMES_OF_TRIAL = ("seconds", "evaluation_seconds")  # keys of a tuning trial that differ each time


def deterministic_part(plan: RunPlan, records: Sequence[MethodRecord]) -> JsonObject:
    """Return, for the workload and each method, what the same plan gives again on the same machine.

    For each method: how it ended, its tuning trials without their times, what was quantised and left
    out, the model (thresholds are in its symbol) and the predictions.
    """
    return {
        "workload": _inputs(plan),
        "methods": {record.method: _of_row(record) for record in records},
    }


def digests(part: JsonObject) -> dict[str, str]:
    """Return the digest of the workload and of each method, by name; ``*`` is that of all."""
    found = {"workload": json_sha256(part["workload"])}
    found.update({name: json_sha256(row) for name, row in part["methods"].items()})
    return {**found, "*": json_sha256(part)}


def _of_row(record: MethodRecord) -> JsonObject:
    optimize, validate = record.optimize, record.validate
    stored = optimize.stored if optimize else {}  # with all that the method said
    trials = [
        {key: value for key, value in trial.items() if key not in TIMES_OF_TRIAL}
        for trial in stored.get("trajectory") or ()
    ]
    return {
        "outcome": record.outcome.kind,
        "trials": record.outcome.trials,
        "trajectory": trials,
        "quantization": stored.get("quantization"),
        "model": [file.sha256 for file in optimize.model] if optimize else [],
        "predictions": validate.predictions.sha256 if validate else None,
    }


def _inputs(plan: RunPlan) -> JsonObject:
    """Return the inputs of a run, by their digests and numbers: equal ones give equal results."""
    return {
        "files": file_digests(plan),
        "images": plan.images,
        "tuning_images": plan.tuning_images,
    }
