"""Run the published procedure and read what it left."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.vs_published.process import Measured, measured
from benchmarks.vs_published.side import Row, Side, failed, plain
from harness.config import Composed
from harness.files.whole_files import load_json
from harness.host import threads
from harness.host.topology import read_topology
from harness.process.own_modules import python_command
from harness.run.worker_setup import build_environment, workload_for_workers
from harness.storage import outcomes


def run_published(composed: Composed, folders: Sequence[Path], images: int, folder: Path) -> Side:
    """Run the published procedure: tuning in one process, validation in another.

    Raises:
        HarnessError: a process failed; the message ends with its log's last lines.
    """
    config = composed.config
    settings = threads.resolve(config.threads.stored, read_topology(), threads.find_kmp_library())
    environment = build_environment(settings.environment, config, folders)
    folder.mkdir(parents=True)
    job = {
        "workload": workload_for_workers(config.workload, {}).stored,
        "methods": config.stored["method"],
        "images": images,
        "tuning_batches": config.workload.tuning.batches,
        "workspace": str(folder),
        "parent": os.getpid(),
    }
    ran: list[Measured] = []
    answers: dict[str, dict[str, Any]] = {}
    phases: dict[str, float] = {}
    for step in ("tune", "validate"):
        path, answer, log = (folder / f"{step}{kind}" for kind in (".json", ".answer", ".log"))
        path.write_text(json.dumps({**job, "answer": str(answer), "began": time.monotonic()}))
        command = python_command("benchmarks.vs_published.published", step, str(path))
        ran.append(measured(command, environment, folder, log))
        if ran[-1].code:
            raise failed(f"published, {step}", ran[-1].code, log)
        answers[step] = load_json(answer)
        spent = answers[step]["phases"]
        phases |= {f"{step}: {phase}": seconds for phase, seconds in spent.items()}
        phases[f"{step}: end of the process"] = ran[-1].seconds - sum(spent.values())
    tuned, found = (answers[step]["methods"] for step in ("tune", "validate"))
    inc = [made for made in tuned.values() if "evaluation_s" in made]
    evaluation = sum(made["evaluation_s"] for made in inc)
    inside = {
        "tune: native methods": sum(m["seconds"] for m in tuned.values() if m not in inc),
        "tune: INC, evaluating": evaluation,
        "tune: INC, all else": sum(made["seconds"] for made in inc) - evaluation,
    }
    phases["tune: between methods"] = phases.pop("tune: tuning", 0.0) - sum(inside.values())
    return Side(
        "published",
        sum(each.seconds for each in ran),
        max(each.peak_bytes for each in ran),
        max(each.together_bytes for each in ran),
        tuple(answers[step]["phases"]["decoding"] for step in ("tune", "validate")),
        {**phases, **inside},
        {step: each.peak_bytes for step, each in zip(("tune", "validate"), ran)},
        {name: _published_row(made, found.get(name)) for name, made in tuned.items()},
    )


def _published_row(made: Mapping[str, Any], found: Mapping[str, Any] | None) -> Row:
    if "error" in made:
        return Row(f"{outcomes.FAILED}: {made['error']}")
    trials = tuple(made["trials"]) if "trials" in made else None
    outcome = outcomes.OK if found else outcomes.NO_SOLUTION
    row = Row(outcome, cost_s=made["cost_s"], trials=trials, told=plain(made.get("told")))
    if found is None:
        return row
    return Row(
        outcome,
        found["top1"],
        found["top5"],
        row.cost_s,
        found["validation_s"],
        row.trials,
        row.told,
    )
