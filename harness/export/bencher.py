"""Bencher Metric Format (https://bencher.dev/docs/reference/bencher-metric-format/).

A benchmark is a row, by its method's name; a measure is a metric. Whether smaller is better is set in
Bencher, with a measure's thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.export.exported_run import ExportedRun, Value
from harness.files.whole_files import json_bytes

FILE = "bencher.json"


def to_files(runs: Sequence[ExportedRun]) -> dict[str, bytes]:
    """Return the one file of one run."""
    (run,) = runs
    benchmarks: dict[str, dict[str, Any]] = {}
    for value in run.values:
        benchmarks.setdefault(value.method, {})[value.name] = _metric(value)
    return {FILE: json_bytes(benchmarks)}


def _metric(value: Value) -> dict[str, float]:
    metric = {"value": value.value}
    if value.low is not None and value.high is not None:
        metric.update(lower_value=value.low, upper_value=value.high)
    return metric
