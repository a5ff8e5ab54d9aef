"""Runs as if another machine had recorded them: copies with plan, times or predictions changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.facts.typed import decode
from harness.storage import recorded_files, store
from harness.storage.record import Outcome, RoofRecord
from harness.storage.stage_facts import RoofFacts
from harness.storage.store import RunFolder

MACS = 10**9  # of an image, in runs with a roof


def on_machine(folder: RunFolder, results: Path, machine: str, **facts: Any) -> RunFolder:
    """Copy a run to a machine of this name, with these facts in its plan."""
    copied = results / machine / folder.id
    shutil.copytree(folder.path, copied)
    edit(copied / store.PLAN, lambda plan: plan["machine"].update(facts))
    return RunFolder(copied)


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Change what a JSON file holds."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def times_scaled(folder: RunFolder, factor: float) -> None:
    """Multiply every timing of the rounds."""

    def scale(record: Any) -> None:
        for part in record["facts"]["timed"]:
            part["forward_s"] = [factor * each for each in part["forward_s"]]

    for path in (folder.path / "rounds").glob("*.json"):
        edit(path, scale)


def with_roof(folder: RunFolder, gops: float) -> None:
    """Give a run's machine a roof in int8, and its rows that were profiled MACS for each image."""

    def count_operations(record: Any) -> None:
        if record["profile"]:
            record["profile"]["rows"][0]["macs"] = record["profile"]["images"] * MACS

    for path in (folder.path / "records").glob("*.json"):
        edit(path, count_operations)
    kernel = {
        "dtype": "int8",
        "kind": "convolution",
        "implementation": "brgconv:avx512_core_vnni",
        "problem": "mb1_ic1oc1",
        "macs": MACS,
        "ms": [2e-6 * MACS / gops],
    }
    facts = {"kernels": [kernel], "missing": {"bf16": "oneDNN ran f32 instead"}, "disturbed": []}
    folder.save(RoofRecord(folder.id, Outcome("ok"), decode(facts, RoofFacts)))


def predicting(folder: RunFolder, method: str, classes: Mapping[int, int]) -> None:
    """Change the first prediction of some images, and the digest with it."""
    own = folder.method(method)
    with np.load(own / "predictions.npz") as stored:
        top = stored["top"].copy()
    for image, chosen in classes.items():
        top[image] = [chosen, *(each for each in range(10) if each != chosen)][: top.shape[1]]
    np.savez(own / "predictions.npz", top=top)
    digest = recorded_files.digest_of(own / "predictions.npz", own).stored
    (path,) = (folder.path / "records").glob(f"*_{method}.json")
    edit(path, lambda record: record["validate"].update(predictions=digest))
