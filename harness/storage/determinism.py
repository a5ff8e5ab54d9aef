"""What of a run must come out the same each time: the part without times, and its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord

TIMED = ("seconds", "evaluation_seconds")  # of a tuning trial


def deterministic_part(plan: RunPlan, records: Sequence[MethodRecord]) -> dict[str, Any]:
    """Return, for the workload and each method, what the same plan gives again on the same machine.

    For each method: how it ended, its tuning trials without their times, what was quantised and left
    out, the model (thresholds are in its symbol) and the predictions.
    """
    return {
        "workload": {
            "files": {role: file["sha256"] for role, file in sorted(plan.files.items())},
            "images": plan.images,
            "tuning_images": plan.tuning_images,
        },
        "methods": {record.method: _of_row(record) for record in records},
    }


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digests(part: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of the workload and of each method, by name; ``*`` is that of all."""
    found = {"workload": digest(part["workload"])}
    found.update({name: digest(row) for name, row in part["methods"].items()})
    return {**found, "*": digest(part)}


def _of_row(record: MethodRecord) -> dict[str, Any]:
    optimize, validate = record.optimize, record.validate
    stored = optimize.stored if optimize else {}  # with all that the method said
    trials = [
        {key: value for key, value in trial.items() if key not in TIMED}
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
