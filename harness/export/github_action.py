"""The custom formats of github-action-benchmark (https://github.com/benchmark-action).

The action takes one direction a file: ``tool: customSmallerIsBetter`` or ``customBiggerIsBetter``.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.export.exported_run import ExportedRun, Value
from harness.files.whole_files import json_bytes

SMALLER, BIGGER = "customSmallerIsBetter.json", "customBiggerIsBetter.json"


def to_files(runs: Sequence[ExportedRun]) -> dict[str, bytes]:
    """Return the files of one run, one a direction."""
    (run,) = runs
    return {
        name: json_bytes(
            [_entry(run, value) for value in run.values if value.metric.higher_is_better is bigger]
        )
        for name, bigger in ((SMALLER, False), (BIGGER, True))
    }


def _entry(run: ExportedRun, value: Value) -> dict[str, object]:
    entry: dict[str, object] = {
        "name": f"{value.method} {value.name}",
        "unit": value.metric.unit or "1",
        "value": value.value,
    }
    if value.low is not None and value.high is not None:
        entry["range"] = f"{value.low:.6g} to {value.high:.6g}"
    entry["extra"] = f"{value.label}\nrun {run.id} of {run.machine}, workload {run.workload}"
    return entry
