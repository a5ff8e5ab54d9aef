"""CSV for Apache Otava, with its configuration (https://otava.apache.org).

A test is a row; each has a file of its own, a line a run. Otava takes a number in every cell, so a file
has the runs that measured the row, and the metrics that all of these have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from harness.export.exported_run import ExportedRun, Value
from harness.export.series import in_time
from harness.table.csv_table import csv_text

CONFIGURATION = "otava.yaml"
TIME, RUN, CODE = "time", "run", "code"


def to_files(runs: Sequence[ExportedRun]) -> dict[str, bytes]:
    """Return the configuration and one CSV file a row that was measured.

    Raises:
        InputError: as ``in_time``.
    """
    ordered = in_time(runs)
    files: dict[str, bytes] = {}
    tests = {}
    for method in dict.fromkeys(value.method for run in ordered for value in run.values):
        lines = [(run, _measured(run, method)) for run in ordered]
        lines = [(run, values) for run, values in lines if values]
        shared = [name for name in lines[0][1] if all(name in values for _, values in lines)]
        name = f"{method}.csv"
        files[name] = csv_text(
            (TIME, RUN, CODE, *shared),
            [
                (
                    run.plan.created.replace("Z", "+00:00"),
                    run.id,
                    run.plan.code or "unknown",
                    *(values[metric].value for metric in shared),
                )
                for run, values in lines
            ],
        ).encode()
        tests[method] = _test(name, lines[0][1], shared)
    files[CONFIGURATION] = yaml.safe_dump({"tests": tests}, sort_keys=False).encode()
    return files


def _measured(run: ExportedRun, method: str) -> dict[str, Value]:
    return {value.name: value for value in run.values if value.method == method}


def _test(file: str, values: Mapping[str, Value], shared: Sequence[str]) -> dict[str, object]:
    return {
        "type": "csv",
        "file": file,
        "time_column": TIME,
        "attributes": [RUN, CODE],
        "metrics": {
            name: {
                "column": name,
                "direction": 1 if values[name].metric.higher_is_better else -1,
                "scale": 1,
            }
            for name in shared
        },
    }
