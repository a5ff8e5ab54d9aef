"""Results for Conbench, one JSON object a line, as its API for benchmark results takes them.

Conbench takes smaller for better in every unit but ``i/s`` and ``B/s``. So throughput and rates of
queries are exported in items a second, and what else is better the larger it is (accuracies, speedups)
is left out; the losses of accuracy and the times say the same. The repository and the commit are added
by Conbench's own client from ``CONBENCH_PROJECT_REPOSITORY`` and ``CONBENCH_PROJECT_COMMIT``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from harness.export.exported_run import ExportedRun, Value
from harness.table.metrics import QUERY_RATE, RATE, SECONDS

FILE = "conbench.ndjson"
ITEMS_PER_SECOND = "i/s"
RATES = (RATE, QUERY_RATE)


def to_files(runs: Sequence[ExportedRun]) -> dict[str, bytes]:
    """Return the one file of runs."""
    lines = [json.dumps(result, allow_nan=False) for run in runs for result in _results(run)]
    return {FILE: "".join(f"{line}\n" for line in lines).encode()}


def _results(run: ExportedRun) -> Iterator[dict[str, object]]:
    for value in run.values:
        if not value.metric.higher_is_better or value.metric.unit in RATES:
            yield {
                **_of_run(run),
                "tags": _tags(run, value.method, value.name),
                "stats": _stats(value),
                **_interval(value),
            }
    measured = {value.method for value in run.values}
    for method, outcome in run.outcomes.items():
        if method not in measured:
            yield {
                **_of_run(run),
                "tags": _tags(run, method, "row"),
                "error": {"outcome": outcome},
            }


def _tags(run: ExportedRun, method: str, name: str) -> dict[str, str]:
    return {"name": name, "method": method, "workload": run.workload}


def _stats(value: Value) -> dict[str, object]:
    unit = value.metric.unit
    return {
        "data": [value.value],
        "unit": ITEMS_PER_SECOND if unit in RATES else unit,
        "times": [value.value] if unit == SECONDS else [],
        "time_unit": SECONDS,
        "iterations": 1,
    }


def _interval(value: Value) -> dict[str, object]:
    if value.low is None or value.high is None:
        return {}
    return {"optional_benchmark_info": {"interval_95": [value.low, value.high]}}


def _of_run(run: ExportedRun) -> dict[str, object]:
    plan = run.plan
    return {
        "run_id": run.id,
        "run_reason": "nightly" if run.is_night else "run",
        "batch_id": run.id,
        "timestamp": plan.created,
        "context": {
            "benchmark_language": "Python",
            "protocol": plan.config.protocol.stored,
            "threads": plan.threads.stored,
        },
        "info": {"harness": plan.harness, "code": plan.code, "versions": plan.versions.stored},
        "machine_info": _machine(run),
    }


def _machine(run: ExportedRun) -> dict[str, object]:
    """Return all that Conbench asks of a machine; 0 and ``unknown`` stand for what was not read."""
    machine = run.plan.machine
    caches: Mapping[str, int] = machine.cache_bytes or {}
    cores = machine.cores or machine.usable_cores
    return {
        "name": run.machine,
        "architecture_name": "x86_64",
        "kernel_name": machine.kernel or "unknown",
        "os_name": "Linux",
        "os_version": machine.os or "unknown",
        "cpu_model_name": machine.cpu_model or "unknown",
        **{
            f"cpu_{level.lower()}_cache_bytes": str(caches.get(level, 0))
            for level in ("L1d", "L1i", "L2", "L3")
        },
        "cpu_core_count": str(cores),
        "cpu_thread_count": str(cores * (machine.threads_per_core or 1)),
        "cpu_frequency_max_hz": str(round(1e6 * (machine.max_mhz or machine.mhz or 0))),
        "memory_bytes": str(machine.memory_total_bytes or 0),
        "gpu_count": "0",
        "gpu_product_names": [],
    }
