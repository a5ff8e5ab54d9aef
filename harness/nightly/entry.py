"""A run as the history keeps it: all that a verdict needs, so that the run's folder may go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.nightly.verdict import Bools, Floats, Run
from harness.storage.plan import SAME_MACHINE, RunPlan, unequal
from harness.storage.record import NO_SOLUTION, OK
from harness.storage.store import RunFolder
from harness.table.metrics import TOP1, TOP5, top_k_correct
from harness.table.samples import samples_of

FILES = ("rec", "params", "symbol")  # keys of a workload that hold paths: their digests count


@dataclass(frozen=True)
class Row:
    """One method of a run; what was not measured is None.

    Attributes:
        outcome: as in the table.
        cost_s: of optimising; None for a model that was taken over from an earlier run.
        times: (R, B) seconds of forward passes, at the workload's batch size.
        correct: top-1 and top-5, (2, n) bool.
        model: digest of the model's symbol and parameters.
    """

    method: str
    label: str
    outcome: str
    cost_s: float | None = None
    times: Floats | None = None
    correct: Bools | None = None
    model: str | None = None

    @property
    def has_no_solution(self) -> bool:
        """Whether its search ended without a model, which is a result and no failure."""
        return self.outcome.startswith(NO_SOLUTION)

    @property
    def failed(self) -> bool:
        return self.outcome != OK and not self.has_no_solution


@dataclass(frozen=True)
class Entry:
    """A run.

    Attributes:
        machine: its folder's name under results/.
        created: UTC, ISO 8601.
        folder: where it was, relative to the results.
        alike: what must be the same in runs that are compared.
        environment: what may differ, and then is named as what changed.
        verdict: of the night: none, regression, first or cannot tell; None if it is no night's run,
            or it was not judged.
        shifted: methods that a lasting shift was found for.
        regressions: (method, metric) of its rows that were called regressions.
        acknowledged: reason by (method, metric), either of them "*" for all.
    """

    machine: str
    run: str
    created: str
    folder: str
    alike: dict[str, Any]
    environment: dict[str, Any]
    rows: tuple[Row, ...]
    verdict: str | None = None
    shifted: frozenset[str] = frozenset()
    regressions: frozenset[tuple[str, str]] = frozenset()
    acknowledged: Mapping[tuple[str, str], str] | None = None

    def row(self, method: str) -> Row | None:
        return next((row for row in self.rows if row.method == method), None)

    def acknowledges(self, method: str, metric: str) -> bool:
        """Say whether a shift of this row was acknowledged in this run."""
        return any(
            part in (method, "*") and of in (metric, "*") for part, of in self.acknowledged or {}
        )


def alike(plan: RunPlan) -> dict[str, Any]:
    """Return what must be the same in two runs for a verdict to mean anything."""
    workload = {k: v for k, v in plan.workload.items() if k not in (*FILES, "download")}
    workload["model"] = {k: v for k, v in workload["model"].items() if k not in FILES}
    workload["tuning"] = {k: v for k, v in workload["tuning"].items() if k != "source"}
    protocol = plan.config["protocol"]
    return {
        "machine": {key: plan.machine.get(key) for key in SAME_MACHINE},
        "files": {role: file["sha256"] for role, file in plan.files.items()},
        "images": {"validated": plan.images, "tuned on": plan.tuning_images},
        "workload": workload,
        "threads": {key: plan.threads[key] for key in ("policy", "count", "environment")},
        "max_cpu_isa": plan.config["max_cpu_isa"],
        "protocol": {key: protocol[key] for key in ("batches", "warmup_s")},
    }


def environment(plan: RunPlan) -> dict[str, Any]:
    """Return what may change between nights and explain a difference."""
    machine = {key: plan.machine.get(key) for key in ("kernel", "microcode", "os")}
    methods = {name: dict(method) for name, method in plan.methods.items()}
    return {
        "versions": plan.versions,
        "harness": plan.harness,
        "code": plan.code,
        "machine": machine,
        "method": methods,
        "tuning": plan.config["tuning"],
        "methods": plan.config["methods"],
    }


def unlike(before: Entry, now: Mapping[str, Any]) -> list[str]:
    """Return why two runs may not be compared, one line a key; empty if they may."""
    return unequal(before.alike, dict(now), "")


def changed(before: Entry, now: Entry, part: str | None = None) -> list[str]:
    """Return what differs in their environments, one line a key.

    Args:
        part: one of its keys alone, such as ``method``.
    """
    old, new = before.environment, now.environment
    if part is not None:
        return unequal(old.get(part), new.get(part), part)
    return unequal(old, new, "")


def software(entry: Entry) -> dict[str, Any]:
    """Return the environment without the methods: what all rows share."""
    return {key: value for key, value in entry.environment.items() if key != "method"}


def entry_of(folder: RunFolder) -> Entry:
    """Return a run's entry from its plan and records, without any verdict.

    Raises:
        HarnessError: a record or a file of predictions is damaged.
    """
    plan = folder.load_plan()
    assert plan is not None
    timed = samples_of(folder.load_rounds()).get(plan.workload["batch_size"], {})
    labels = folder.load_labels(plan.images)
    rows = []
    for record in folder.load_records():
        optimize = record.optimize
        correct: npt.NDArray[np.bool_] | None = None
        if record.outcome.kind == OK and record.validate is not None:
            best = folder.load_predictions(record, plan.images)
            correct = np.stack([top_k_correct(best, labels, k) for k in (1, 5)])
        is_ok = record.outcome.kind == OK
        rows.append(
            Row(
                record.method,
                record.label,
                str(record.outcome),
                optimize.cost_s if is_ok and optimize and not optimize.reused_from else None,
                timed[record.method].forward_s if is_ok and record.method in timed else None,
                correct,
                "/".join(file.sha256 for file in optimize.model) if optimize else None,
            )
        )
    return Entry(
        machine=folder.path.parent.name,
        run=folder.id,
        created=plan.created,
        folder=f"{folder.path.parent.name}/{folder.id}",
        alike=alike(plan),
        environment=environment(plan),
        rows=tuple(rows),
    )


def as_run(entry: Entry, left_out: frozenset[tuple[str, str]] = frozenset()) -> Run:
    """Return what is judged of an entry.

    Args:
        left_out: (method, metric) of rows that must not count.
    """
    times = {r.method: r.times for r in entry.rows if r.times is not None}
    costs = {r.method: r.cost_s for r in entry.rows if r.cost_s is not None}
    correct = {
        metric: {
            row.method: row.correct[at]
            for row in entry.rows
            if row.correct is not None and (row.method, metric.name) not in left_out
        }
        for at, metric in enumerate((TOP1, TOP5))
    }
    return Run(
        {m: each for m, each in times.items() if (m, "batch_s") not in left_out},
        correct,
        {m: each for m, each in costs.items() if (m, "cost_s") not in left_out},
    )
