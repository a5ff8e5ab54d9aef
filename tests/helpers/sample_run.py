"""A run's folder made by hand, with one row of each kind, as a run leaves it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.facts.typed import changed, decode
from harness.files import whole_files
from harness.storage import recorded_files
from harness.storage.record import MethodRecord, Outcome
from harness.storage.stage_facts import ProfileFacts
from harness.storage.store import RunFolder
from helpers import sample_records

SECONDS = {"fp32": 30.0, "fp32_fused": 4.0, "int8_smart": 2.0, "int8_mse": 2.5, "int8_custom": 2.2}
TOP1 = {"fp32": 0.9, "fp32_fused": 0.9, "int8_smart": 0.6, "int8_mse": 0.899, "int8_custom": 0.897}
UNSOLVED = "int8_bayesian"
OPERATORS = ("conv_0", "conv_1", "pool_0")
TRIALS = [0.5, 0.6, 0.895]


def made_run(
    results: Path,
    rounds: int = 3,
    labels: Mapping[str, str] | None = None,
    reason: str = "best 0.6 against fp32's 0.9",
    run: str = "made",
    profiled: bool = True,
    engines: Mapping[str, str] | None = None,
    sweep: Sequence[int] = (),
) -> RunFolder:
    """Write a run of five rows that were measured and one without a solution.

    Args:
        rounds: 0 for the published protocol.
        labels: of some methods; the others' are their names.
        engines: the environments of some methods' engines; MXNet executes the others.
        sweep: more batch sizes, at which a batch takes as long.
    """
    named = {name: (labels or {}).get(name, name) for name in (*SECONDS, UNSOLVED)}
    folder = RunFolder(results / "machine" / run)
    plan = replace(sample_records.plan(rounds=rounds, sweep=sweep), run=run)
    methods = {name: _method(name, label) for name, label in named.items()}
    for name, environment in (engines or {}).items():
        methods[name]["engine"] = {"environment": environment, "_target_": "x"}
        versions = {environment: {environment: "1.2", "numpy": "2.0"}}
        known = plan.versions.engines or {}
        plan = replace(plan, versions=changed(plan.versions, engines={**known, **versions}))
    plan = sample_records.configured(plan, method=methods)
    folder.path.mkdir(parents=True)
    folder.save_plan(plan)
    np.save(folder.labels, sample_records.LABELS)
    np.save(folder.path / "labels_tuning.npy", sample_records.LABELS[:100])
    for position, (name, seconds) in enumerate(SECONDS.items()):
        record = sample_records.measured(name, seconds, cost=3.0 * position, label=named[name])
        profile = {**PROFILE, "engine": (engines or {}).get(name)} if profiled else None
        folder.save_record(
            _with_files(folder, replace(record, run=run, position=position), profile)
        )
        for number in range(1, rounds + 1):
            times = [seconds / 10 * (1 + 0.01 * ((number * n) % 7)) for n in range(20)]
            sizes = (sample_records.BATCH, *sweep)
            timed = sample_records.timed(name, number, times, sizes=sizes)
            folder.save(replace(timed, run=run))
    folder.save_record(
        MethodRecord(
            run,
            UNSOLVED,
            named[UNSOLVED],
            len(SECONDS),
            Outcome("no solution", reason, f"methods/{UNSOLVED}/optimize.log", 3),
        )
    )
    folder.method(UNSOLVED).mkdir(parents=True)
    whole_files.write_json(folder.method(UNSOLVED) / "trajectory.json", _trials([0.5, 0.6, 0.6]))
    _write_influence(folder.method("int8_custom") / "operator_influence.csv")
    return folder


def _method(name: str, label: str) -> dict[str, Any]:
    tuned = {"options": sample_records.TUNING, "strategy": "mse"} if name in TUNED else {}
    options = {"strategy_options": {"error_threshold": 0.1}} if name == "int8_custom" else {}
    return {"label": label, "_target_": "x", **tuned, **options}


TUNED = ("int8_mse", "int8_custom", UNSOLVED)


def _trials(accuracies: list[float]) -> list[dict[str, Any]]:
    return [
        {
            "trial": n + 1,
            "proposal": n + 1,
            "accuracy": accuracy,
            "seconds": 1.0,
            "evaluation_seconds": 0.5,
            "changed": {f"conv_{n}": "fp32"},
        }
        for n, accuracy in enumerate(accuracies)
    ]


def _with_files(
    folder: RunFolder, record: MethodRecord, profile: Mapping[str, Any] | None
) -> MethodRecord:
    own = folder.method(record.method)
    own.mkdir(parents=True)
    np.savez(own / "predictions.npz", top=sample_records.predicted(TOP1[record.method], 0.95))
    assert record.validate is not None and record.optimize is not None
    predictions = recorded_files.digest_of(own / "predictions.npz", own)
    facts = changed(record.validate, predictions=predictions.stored)
    (own / "model-symbol.json").write_text("{}")
    (own / "model-0000.params").write_bytes(record.method.encode())
    optimize = changed(
        record.optimize,
        symbol=recorded_files.digest_of(own / "model-symbol.json", own).stored,
        params=recorded_files.digest_of(own / "model-0000.params", own).stored,
    )
    if record.method in TUNED:
        quantization = {"strategy": "mse", "baseline_accuracy": 0.9, "trials": 3}
        optimize = changed(optimize, quantization=quantization, trajectory=_trials(TRIALS))
    kernels = decode(profile, ProfileFacts) if profile else None
    return replace(record, validate=facts, optimize=optimize, profile=kernels)


PROFILE = {
    "total_ms": 80.0,
    "rows": [
        {
            "kind": "convolution",
            "implementation": "brgconv:avx512_core_vnni",
            "isa": "avx512_core_vnni",
            "dtype": "u8:s8:u8",
            "count": 3,
            "ms": 60.0,
        },
        {
            "kind": "binary",
            "implementation": "ref:any",
            "isa": "",
            "dtype": "f32:f32",
            "count": 1,
            "ms": 20.0,
        },
    ],
    "batches": 1,
    "images": 100,
    "wall_ms": 100.0,
    "malformed": 0,
    "cpu_isa": "",
    "seconds": 1.0,
    "peak_rss_bytes": 1000000,
}


def _write_influence(path: Path) -> None:
    before = {"conv_0": 0.01, "conv_1": 0.8, "pool_0": 0.5}
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        header = ["excluded", "operator", "error_before", "error_after", "kept"]
        writer.writerow([*header, "kind", "layer", "behind", "feeds"])
        for excluded, scale, kept in (("conv_1", 0.1, True), ("pool_0", 0.9, False)):
            for operator in OPERATORS:
                error = before[operator]
                place = ("Convolution", f"features.{operator}", "", "pool_0 (features.pool)")
                writer.writerow([excluded, operator, error, error * scale, kept, *place])
