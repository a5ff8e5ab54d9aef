"""Run the harness and read what it left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.vs_published.process import measured
from benchmarks.vs_published.side import Row, Side, failed, plain
from harness import PROJECT
from harness.files.whole_files import load_json
from harness.process.executor import worker_environment
from harness.process.own_modules import python_command
from harness.storage import outcomes
from harness.storage.known_runs import find_run
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord
from harness.storage.stage_facts import Optimize
from harness.storage.store import RunFolder
from harness.table.loaded_run import rows_of

TRAJECTORY = "trajectory.json"


def run_harness(
    name: str,
    words: Sequence[str],
    folders: Sequence[Path],
    results: Path,
    run_id: str,
    log: Path,
) -> Side:
    """Run the harness with ``words`` and read what it left.

    Raises:
        HarnessError: it failed or measured nothing; the message ends with its log's last lines.
    """
    command = python_command("harness", "run", *words)
    command += [f"run.results={results}", f"run.id={run_id}"]
    for folder in folders:
        command += ["--conf", str(folder)]
    environment = worker_environment({"PYTHONPATH": str(PROJECT)})
    ran = measured(command, environment, PROJECT, log)
    if ran.code not in (0, 3):  # 3: a row failed, which the comparison shows
        raise failed(name, ran.code, log)
    run = find_run(results, run_id)
    plan, records = run.load_plan(), run.load_records()
    if plan is None or not records:
        raise failed(name, ran.code, log)
    prepared = [load_json(path) for path in sorted(run.path.glob("prepared_*.json"))]
    preparation = tuple(how["seconds"] for how in prepared if not how["cached"]) or (
        sum(how["seconds"] for how in prepared),
    )
    return Side(
        name,
        ran.seconds,
        ran.peak_bytes,
        ran.together_bytes,
        preparation,
        _harness_phases(run, records, ran.seconds, sum(how["seconds"] for how in prepared)),
        _peaks(prepared, records),
        _harness_rows(run, plan, records),
    )


def _peaks(
    prepared: Sequence[Mapping[str, Any]], records: Sequence[MethodRecord]
) -> dict[str, int]:
    """Return the largest process of each stage that this run made."""
    stages = {
        "prepare": [facts.get("peak_rss_bytes", 0) for facts in prepared],
        "optimize": [facts.peak_rss_bytes or 0 for facts in _made(records)],
        "validate": [each.validate.peak_rss_bytes or 0 for each in records if each.validate],
    }
    return {stage: max(peaks) for stage, peaks in stages.items() if peaks}


def _made(records: Sequence[MethodRecord]) -> list[Optimize]:
    """Return the facts of the models that this run made itself."""
    return [r.optimize for r in records if r.optimize and not r.optimize.reused_from]


def _harness_phases(
    run: RunFolder, records: Sequence[MethodRecord], seconds: float, preparation: float
) -> dict[str, float]:
    """Return where a run's time went; what its records do not tell is the parent's."""
    made = _made(records)
    tuned = [facts for facts in made if facts.trajectory]
    inc = sum(facts.cost_s for facts in tuned)
    native = sum(facts.cost_s for facts in made) - inc
    trials = [trial for facts in tuned for trial in facts.stored["trajectory"]]
    evaluation = sum(trial["evaluation_seconds"] for trial in trials)
    validate = [record.validate for record in records if record.validate]
    passes = sum(facts.validation_s for facts in validate)
    in_vain = [
        trial["seconds"]
        for each in records
        if each.optimize is None and (run.method(each.method) / TRAJECTORY).is_file()
        for trial in load_json(run.method(each.method) / TRAJECTORY)
    ]
    phases = {
        "preparing images": preparation,
        "optimize: native methods": native,
        "optimize: INC, evaluating trials": evaluation,
        "optimize: INC, all else": inc - evaluation,
        "optimize: INC, trials of searches without a solution": sum(in_vain),
        "optimize: start, imports, loading, saving": sum(facts.seconds or 0 for facts in made)
        - native
        - inc,
        "validate: passes": passes,
        "validate: start, imports, loading": sum(facts.seconds or 0 for facts in validate) - passes,
    }
    rest = "start, checks, looking at the model, profiling, tables, the rest of failed searches"
    return {**phases, rest: seconds - sum(phases.values())}


def _harness_rows(run: RunFolder, plan: RunPlan, records: list[MethodRecord]) -> dict[str, Row]:
    rows = {}
    for each, row in zip(records, rows_of(run, plan, records)):
        folder = run.method(each.method)
        trajectory, told = folder / TRAJECTORY, folder / "inc.yaml"
        no_solution = each.outcome.kind == outcomes.NO_SOLUTION
        rows[each.method] = Row(
            outcomes.NO_SOLUTION if no_solution else str(each.outcome),
            row.top1,
            row.top5,
            row.cost_s,
            row.validation_s,
            tuple(trial["accuracy"] for trial in load_json(trajectory))
            if trajectory.is_file()
            else None,
            plain(yaml.safe_load(told.read_text())) if told.is_file() else None,
        )
    return rows
