"""Records made by hand, where every number is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness.facts.machine_facts import Machine, ThreadSettings, Versions
from harness.facts.typed import changed, decode
from harness.storage.configuration import Configuration
from harness.storage.plan import InputFile, RunPlan
from harness.storage.record import InstancesRecord, MethodRecord, Outcome, RoundRecord, Split
from harness.storage.stage_facts import (
    InstanceFacts,
    Optimize,
    ProfileFacts,
    RoundFacts,
    Validate,
)

LABELS = np.arange(1000) % 10
BATCH = 100  # of which 1000 images make ten
FILE = {"path": "file", "bytes": 1, "sha256": "0" * 64}
TUNING = {
    "criterion": "relative",
    "tolerance": 0.01,
    "max_trials": 3,
    "seed": 9,
    "sampling_size": 64,
    "objective": "performance",
}
MACHINE = {
    "cpu_model": "a CPU",
    "cores": 2,
    "os": "an OS",
    "kernel": "6",
    "isa": [],
    "allowed_cpus": [0, 1],
    "usable_cores": 2,
}
VERSIONS = {"mxnet": "2", "mxnet_commit": "c", "neural-compressor": "1"}
PROTOCOL = {"name": "made", "rounds": 0, "batches": 10, "reruns": 2, "warmup_s": 20, "seed": 1}
LOAD = {"kind": "core_load", "value": 0.4, "limit": 0.05, "advice": "close what else runs"}


def predicted(top1: float, top5: float) -> np.ndarray:
    """Return (1000, 5) predictions with exactly these accuracies."""
    best = (LABELS[:, None] + np.arange(1, 6)) % 10  # the label is in none of the five
    first, within = round(1000 * top1), round(1000 * top5)
    best[:within, 4] = LABELS[:within]
    best[:first] = best[:first, ::-1]
    return best.astype(np.uint16)


def measured(
    method: str,
    seconds: float,
    cost: float = 0.0,
    profile: dict[str, Any] | None = None,
    disturbed: Sequence[dict[str, Any]] = (),
    label: str | None = None,
) -> MethodRecord:
    """Return a row whose validation took ``seconds``, nine tenths of it forward passes."""
    each = seconds / 10
    return MethodRecord(
        run="r",
        method=method,
        label=label or method,
        position=0,
        outcome=Outcome("ok"),
        optimize=decode(
            {"cost_s": cost, "symbol": FILE, "params": FILE, "disturbed": []}, Optimize
        ),
        validate=decode(
            {
                "validation_s": seconds,
                "images": 1000,
                "batches": 10,
                "batch_size": BATCH,
                "predictions": FILE,
                "data_s": [0.06 * each] * 10,
                "forward_s": [0.9 * each] * 10,
                "rest_s": [0.04 * each] * 10,
                "disturbed": list(disturbed),
            },
            Validate,
        ),
        profile=None if profile is None else decode(profile, ProfileFacts),
    )


def timed(
    method: str,
    round_: int,
    times: Sequence[float],
    attempt: int = 1,
    disturbed: Sequence[dict[str, Any]] = (),
    settled: bool = True,
    sizes: Sequence[int] = (BATCH,),
    seconds: float = 10.0,
) -> RoundRecord:
    """Return a round that took the same times at every batch size."""
    parts = [
        {
            "batch_size": size,
            "forward_s": [float(time) for time in times],
            "disturbed": list(disturbed),
            "settled": settled,
            "conditions": {"seconds": seconds},
        }
        for size in sizes
    ]
    facts = decode({"timed": parts}, RoundFacts)
    return RoundRecord("r", method, round_, attempt, Outcome("ok"), facts)


def plan(**protocol: Any) -> RunPlan:
    """Return a plan of 1000 images in batches of 100."""
    return RunPlan(
        run="r",
        created="2026-01-01T00:00:00Z",
        overrides=(),
        config=decode(
            {
                "workload": {
                    "name": "made",
                    "batch_size": BATCH,
                    "model": {"_target_": "made.network"},
                    "tuning": {"source": "head", "batches": 1},
                },
                "method": {},
                "methods": {"shared_calibration": False},
                "protocol": {**PROTOCOL, **protocol},
                "tuning": TUNING,
                "baseline": "fp32",
                "fused": "fp32_fused",
                "max_cpu_isa": None,
            },
            Configuration,
        ),
        files={},
        threads=decode({"policy": "omp", "count": 2, "environment": {}}, ThreadSettings),
        machine=decode(MACHINE, Machine),
        images=1000,
        tuning_images=100,
        tuning_overlap=False,
        versions=decode(VERSIONS, Versions),
        warnings=(),
    )


def configured(plan: RunPlan, **sections: Any) -> RunPlan:
    """Return a plan with other sections of the configuration."""
    return replace(plan, config=changed(plan.config, **sections))


def with_pair(folder: str, sha256: str) -> RunPlan:
    """Return a plan with a row whose model was made elsewhere and lies in a folder."""
    paths = {key: f"{folder}/{key}" for key in ("symbol", "params")}
    row = {"label": "mine", "_target_": "harness.methods.finished.Finished", **paths}
    files = {
        f"int8_mine.{key}": InputFile(path=path, bytes=9, sha256=sha256)
        for key, path in paths.items()
    }
    return replace(configured(plan(), method={"int8_mine": row}), files=files)


def together(
    method: str,
    round_: int,
    split: Split,
    batch_s: Sequence[float],
    attempt: int = 1,
    disturbed: Sequence[dict[str, Any]] = (),
    cpus: Sequence[Sequence[int]] | None = None,
    one_s: float | None = None,
    batches: int = 50,
) -> InstancesRecord:
    """Return a record of instances that begin at once, each with equal batches of ``batch_s``.

    Args:
        one_s: the seconds of batches of one image in all instances; None: they timed none.
        cpus: those on which each was seen; None: those that it was bound to, one after another.
    """
    bound = [[number] for number in range(split.instances)]
    facts = [
        {
            "timed": [
                {
                    "batch_size": size,
                    "began_at": 100.0,
                    "data_s": [0.0] * batches,
                    "forward_s": [seconds] * batches,
                    "rest_s": [0.0] * batches,
                    "settled": True,
                    "cpus": list((cpus or bound)[number]),
                    "disturbed": list(disturbed),
                    "conditions": {"seconds": batches * seconds},
                }
                for size, seconds in ((BATCH, each), (1, one_s))
                if seconds is not None
            ],
            "seconds": 60.0,
            "peak_rss_bytes": 10**8,
        }
        for number, each in enumerate(batch_s)
    ]
    return InstancesRecord(
        "r",
        method,
        split,
        round_,
        attempt,
        Outcome("ok"),
        bound,
        decode(facts, list[InstanceFacts]),
    )
