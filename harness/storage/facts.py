"""The forms of what is read back from disk: it may come damaged, or from elsewhere.

Only what the harness reads is described; ``harness/storage/form.py`` says what a rule is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.storage import outcomes
from harness.storage.config_form import STORED
from harness.storage.form import (
    Named,
    anything,
    count,
    log,
    name,
    number,
    seconds,
    sha256,
    share,
    some,
    switch,
    text,
    texts,
    took,
)


def outcome_kind(value: Any) -> bool:
    """the kind of an outcome"""
    return isinstance(value, str) and value in outcomes.KINDS


def dtype(value: Any) -> bool:
    """fp32, bf16 or int8"""
    return value in ("fp32", "bf16", "int8")


FILE = {"path": name, "bytes?": count, "sha256": sha256}
OUTCOME = {"kind": outcome_kind, "reason": (text,), "log": (log,), "trials": (count,)}
DISTURBED = [{"kind": text, "value": number, "limit": number, "advice": text}]
OPENMP = {"runtime": (text,), "max_threads": (count,), "library?": (text,)}
PROCESS = {"seconds?": seconds, "peak_rss_bytes?": count}
TRIAL = {
    "trial": some,
    "accuracy": share,
    "seconds": seconds,
    "changed": texts,
}
TRAJECTORY = [TRIAL]
OPTIMIZE = {
    "cost_s": seconds,
    "symbol": FILE,
    "params": FILE,
    "quantization?": (
        {
            "baseline_accuracy?": (share,),
            "calibration_images?": some,
            "excluded_operators?": [text],
            "trials?": count,
            "strategy?": text,
        },
    ),
    "trajectory?": (TRAJECTORY,),
    "warnings?": [text],
    "reused_from?": name,
    "openmp?": OPENMP,
    "disturbed": DISTURBED,
    "misplaced?": [text],
    **PROCESS,
}
VALIDATE = {
    "images": some,
    "batches": some,
    "batch_size": some,
    "validation_s": took,
    "data_s": [seconds],
    "forward_s": [took],
    "rest_s": [seconds],
    "non_finite?": count,
    "predictions": FILE,
    "openmp?": OPENMP,
    "disturbed": DISTURBED,
    "misplaced?": [text],
    **PROCESS,
}
PROFILE = {
    "total_ms": seconds,
    "rows": [
        {
            "kind": text,
            "implementation": text,
            "isa": text,
            "dtype": text,
            "count": some,
            "ms": seconds,
            "macs?": (count,),
        }
    ],
    "batches": count,
    "images": count,
    "wall_ms": seconds,
    "malformed": count,
    "cpu_isa": text,
    **PROCESS,
}
METHOD = {
    "run": name,
    "method": name,
    "label": text,
    "position": count,
    "outcome": OUTCOME,
    "optimize?": (OPTIMIZE,),
    "validate?": (VALIDATE,),
    "profile?": (PROFILE,),
    "history?": (FILE,),
}
ROUND = {
    "run": name,
    "method": name,
    "round": some,
    "attempt": some,
    "outcome": OUTCOME,
    "facts?": (
        {
            "timed": [
                {
                    "batch_size": some,
                    "forward_s": [took],
                    "disturbed": DISTURBED,
                    "settled": switch,
                    "conditions": {"seconds": seconds},
                }
            ],
            **PROCESS,
        },
    ),
}
ROOF = {
    "run": name,
    "outcome": OUTCOME,
    "facts?": (
        {
            "kernels": [
                {
                    "dtype": dtype,
                    "kind": text,
                    "implementation": text,
                    "problem": text,
                    "macs": some,
                    "ms": [took],
                }
            ],
            "missing": texts,
            "disturbed": DISTURBED,
        },
    ),
}


def inconsistent_row(row: Mapping[str, Any]) -> str | None:
    """Return what in a method's record does not go together, if anything does not."""
    kind, facts = row["outcome"]["kind"], row.get("validate")
    if kind == outcomes.NO_SOLUTION and row["outcome"]["trials"] is None:
        return "outcome.trials is missing, and a search ended without a solution"
    if kind == outcomes.OK and not (row.get("optimize") and facts):
        return "the outcome is ok, and optimize or validate is missing"
    if not facts:
        return None
    lengths = {len(facts[key]) for key in ("data_s", "forward_s", "rest_s")}
    if lengths != {facts["batches"]} or facts["batches"] != -(
        -facts["images"] // facts["batch_size"]
    ):
        return (
            f"validate has times of {sorted(lengths)} batches, and {facts['images']} images in "
            f"batches of {facts['batch_size']}"
        )
    spent = math.fsum(facts["forward_s"])
    if spent > facts["validation_s"] * (1 + 1e-6):
        return f"validate.validation_s is {facts['validation_s']:g}, less than forward_s sums to"
    return None


def inconsistent_round(row: Mapping[str, Any]) -> str | None:
    """Return what in a round's record does not go together, if anything does not."""
    if row["outcome"]["kind"] != outcomes.OK:
        return None
    timed: Sequence[Mapping[str, Any]] = (row.get("facts") or {}).get("timed", ())
    if not timed or not all(part["forward_s"] for part in timed):
        return "the outcome is ok, and nothing was timed"
    if len({part["batch_size"] for part in timed}) != len(timed):
        return "facts.timed has a batch size twice"
    return None


def inconsistent_roof(row: Mapping[str, Any]) -> str | None:
    """Return what in a roof's record does not go together, if anything does not."""
    kernels = (row.get("facts") or {}).get("kernels", ())
    if not all(kernel["ms"] for kernel in kernels):
        return "a kernel has no times"
    return None


FILE_OF_PLAN = {"path": text, "bytes?": count, "sha256": sha256}
PLAN = {
    "run": name,
    "created": text,
    "overrides": [text],
    "config": STORED,
    "files": Named(anything, FILE_OF_PLAN),
    "threads": {"policy": text, "count": (count,), "environment": texts},
    "machine": {
        "cpu_model": (text,),
        "cores": (count,),
        "isa": ([text],),
        "os": (text,),
        "kernel": (text,),
        "memory_total_bytes?": (count,),
    },
    "images": some,
    "tuning_images": some,
    "tuning_overlap": switch,
    "versions": {"mxnet": text, "mxnet_commit": (text,), "neural-compressor": text},
    "warnings": [text],
    "harness?": text,
    "code?": (text,),
    "foreign?": switch,
}
NIGHT = {
    "verdict": text,
    "rows": [{"method": name, "metric": text, "kind": text}],
    "shifts": [{"method": name}],
}
ACKNOWLEDGED = [{"method": text, "metric": text, "reason": text}]
