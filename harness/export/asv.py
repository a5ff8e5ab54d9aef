"""The results of airspeed velocity (https://asv.readthedocs.io), as ``asv publish`` reads them.

A benchmark is a metric, and its parameter is the method. asv takes smaller for better, so accuracies,
speedups, throughput and rates of queries are left out; but for the last, losses of accuracy and times
say the same. Its horizontal axis is the commit: the plan of a run has it where the code was as
committed, or ``commit=`` names it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from harness import PROJECT
from harness.errors import InputError
from harness.export.exported_run import ExportedRun, Value
from harness.export.series import in_time
from harness.files.whole_files import json_bytes

CONFIGURATION, RESULTS, ENVIRONMENT = "asv.conf.json", "results", "inc-bench"
FILE_VERSIONS = {"configuration": 1, "machine": 1, "results": 2, "benchmarks": 2}
COLUMNS = ("result", "params", "version", "started_at")


def to_files(runs: Sequence[ExportedRun]) -> dict[str, bytes]:
    """Return the configuration, the benchmarks, each machine, and the results of each run.

    Of two runs of one commit on one machine the later counts.

    Raises:
        InputError: the commit of a run is not known, or two runs of one machine were not measured alike.
    """
    for machine in dict.fromkeys(run.machine for run in runs):
        in_time([run for run in runs if run.machine == machine])
    ordered = sorted(runs, key=lambda run: (run.plan.created, run.id))
    methods = list(dict.fromkeys(value.method for run in ordered for value in _smaller(run)))
    names = dict.fromkeys(
        (value.name, value.metric.unit) for run in ordered for value in _smaller(run)
    )
    files = {CONFIGURATION: json_bytes(_configuration())}
    benchmarks = {name: _benchmark(name, unit, methods) for name, unit in names}
    files[f"{RESULTS}/benchmarks.json"] = json_bytes(
        {**benchmarks, "version": FILE_VERSIONS["benchmarks"]}
    )
    for run in ordered:
        facts = _machine(run)
        folder = f"{RESULTS}/{run.machine}"
        versioned = {**facts, "version": FILE_VERSIONS["machine"]}
        files[f"{folder}/machine.json"] = json_bytes(versioned)
        results = _results(run, facts, benchmarks, methods)
        files[f"{folder}/{results['commit_hash'][:8]}-{ENVIRONMENT}.json"] = json_bytes(results)
    return files


def _smaller(run: ExportedRun) -> list[Value]:
    return [value for value in run.values if value.metric.higher_is_better is False]


def _configuration() -> dict[str, Any]:
    return {
        "version": FILE_VERSIONS["configuration"],
        "project": "inc-bench",
        "repo": str(PROJECT),
        "branches": ["HEAD"],
        "results_dir": RESULTS,
        "html_dir": "html",
    }


def _benchmark(name: str, unit: str, methods: Sequence[str]) -> dict[str, Any]:
    shown = _shown(methods)
    version = hashlib.sha256("\n".join((name, unit, *shown)).encode()).hexdigest()
    return {
        "name": name,
        "pretty_name": name,
        "code": f"{name} of a row; docs/table.md says how it is measured",
        "type": "track",
        "unit": "seconds" if unit == "s" else unit or "ratio",
        "param_names": ["method"],
        "params": [shown],
        "version": version,
        "timeout": 60.0,
    }


def _shown(methods: Sequence[str]) -> list[str]:
    return [repr(method) for method in methods]  # as asv writes parameters that are text


def _machine(run: ExportedRun) -> dict[str, str]:
    machine = run.plan.machine
    return {
        "machine": run.machine,
        "os": machine.os or "",
        "arch": "x86_64",
        "cpu": machine.cpu_model or "",
        "num_cpu": str(machine.cores or machine.usable_cores),
        "ram": str(machine.memory_total_bytes or ""),
    }


def _results(
    run: ExportedRun,
    machine: Mapping[str, str],
    benchmarks: Mapping[str, Mapping[str, Any]],
    methods: Sequence[str],
) -> dict[str, Any]:
    if run.commit is None:
        raise InputError(
            f"run {run.id} was not measured from a committed state that it knows, and asv sorts by "
            "commits: give commit=HASH"
        )
    created = datetime.strptime(run.plan.created, "%Y-%m-%dT%H:%M:%SZ")
    milliseconds = int(created.replace(tzinfo=timezone.utc).timestamp() * 1000)
    values = {(value.name, value.method): value.value for value in _smaller(run)}
    versions = run.plan.versions
    requirements = {"mxnet": versions.mxnet, "neural-compressor": versions.neural_compressor}
    return {
        "commit_hash": run.commit,
        "env_name": ENVIRONMENT,
        "date": milliseconds,
        "params": {**machine, "python": "", **requirements},
        "python": "",
        "requirements": requirements,
        "env_vars": {},
        "result_columns": list(COLUMNS),
        "results": {
            name: [
                [values.get((name, method)) for method in methods],
                [_shown(methods)],
                benchmark["version"],
                milliseconds,
            ]
            for name, benchmark in benchmarks.items()
            if any((name, method) in values for method in methods)
        },
        "durations": {},
        "version": FILE_VERSIONS["results"],
    }
