"""OpenMetrics text for Prometheus, also for node_exporter's textfile collector.

Every metric is a gauge in a base unit: seconds, and ratios in place of percent. Ends of intervals are
metrics of their own. The run is no label of them, so that the runs of a machine are one series; one
metric says which run it is. There are no time stamps, which the textfile collector refuses.
The type ``info`` would be refused by the collector too, so that these metrics are gauges of 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone

from harness.export.exported_run import ExportedRun, Value
from harness.storage.outcomes import OK
from harness.table.metrics import MILLISECONDS, PERCENT, QUERY_RATE, RATE, SECONDS, Metric

FILE = "inc_bench.prom"
PREFIX = "inc_bench"
BASE = {  # by unit: the ending of the metric's name, the base unit, its ending, and the factor
    SECONDS: ("_s", "seconds", 1.0),
    MILLISECONDS: ("_ms", "seconds", 1e-3),
    PERCENT: ("_pct", "ratio", 1e-2),
    RATE: ("_per_s", "per_second", 1.0),
    QUERY_RATE: ("_per_s", "per_second", 1.0),
    "": ("", "ratio", 1.0),
}
UNITS = ("seconds", "ratio")
Labels = Mapping[str, str]
Sample = tuple[Labels, float]


def to_files(runs: Sequence[ExportedRun]) -> dict[str, bytes]:
    """Return the one file of one run."""
    (run,) = runs
    lines: list[str] = []
    by_metric: dict[Metric, list[Value]] = {}
    for value in run.values:
        by_metric.setdefault(value.metric, []).append(value)
    for metric, values in by_metric.items():
        lines += _families(run, metric, values)
    lines += _of_run(run)
    return {FILE: "".join(f"{line}\n" for line in (*lines, "# EOF")).encode()}


def _families(run: ExportedRun, metric: Metric, values: Sequence[Value]) -> Iterable[str]:
    ending, unit, factor = BASE[metric.unit]
    name = f"{PREFIX}_{metric.name.removesuffix(ending)}"
    for part, meaning in (
        ("value", ""),
        ("low", ", lower end of the 95 % interval"),
        ("high", ", upper end of the 95 % interval"),
    ):
        samples = [
            (_labels(run, value), getattr(value, part) * factor)
            for value in values
            if getattr(value, part) is not None
        ]
        if samples:
            middle = "" if part == "value" else f"_{part}"
            help_ = f"{metric.name} of a row{meaning}"
            yield from _family(f"{name}{middle}_{unit}", help_, samples, unit)


def _of_run(run: ExportedRun) -> Iterable[str]:
    own = {"machine": run.machine, "workload": run.workload}
    created = datetime.strptime(run.plan.created, "%Y-%m-%dT%H:%M:%SZ")
    seconds = created.replace(tzinfo=timezone.utc).timestamp()
    rows = [({**own, "method": method}, outcome) for method, outcome in run.outcomes.items()]
    yield from _family(
        f"{PREFIX}_row_ok",
        "whether a row was measured",
        [(labels, float(outcome == OK)) for labels, outcome in rows],
    )
    yield from _family(
        f"{PREFIX}_run_created_timestamp_seconds", "when the run began", [(own, seconds)], "seconds"
    )
    facts = {"run": run.id, "harness": run.plan.harness, "code": run.plan.code or ""}
    yield from _family(f"{PREFIX}_run", "which run the values are of", [({**own, **facts}, 1.0)])


def _labels(run: ExportedRun, value: Value) -> Labels:
    labels = {"machine": run.machine, "workload": run.workload, "method": value.method}
    size = value.batch_size
    return labels if size is None else {**labels, "batch_size": str(size)}


def _family(name: str, help_: str, samples: Sequence[Sample], unit: str = "") -> Iterable[str]:
    yield f"# TYPE {name} gauge"
    if unit in UNITS:
        yield f"# UNIT {name} {unit}"
    yield f"# HELP {name} {help_}"
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        yield f"{name}{{{inside}}} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
