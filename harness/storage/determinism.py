"""The deterministic part of a run, which has no times, and its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord
from harness.storage.same_run import TIMES_OF_TRIAL, inputs


def deterministic_part(plan: RunPlan, records: Sequence[MethodRecord]) -> dict[str, Any]:
    """Return, for the workload and each method, what the same plan gives again on the same machine.

    For each method: how it ended, its tuning trials without their times, what was quantised and left
    out, the model (thresholds are in its symbol) and the predictions.
    """
    return {
        "workload": inputs(plan),
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
    made, seen = record.optimize or {}, record.validate or {}
    trials = [
        {key: value for key, value in trial.items() if key not in TIMES_OF_TRIAL}
        for trial in made.get("trajectory", ())
    ]
    return {
        "outcome": record.outcome.kind,
        "trials": record.outcome.trials,
        "trajectory": trials,
        "quantization": made.get("quantization"),
        "model": [made[name]["sha256"] for name in ("symbol", "params") if name in made],
        "predictions": seen["predictions"]["sha256"] if seen else None,
    }
