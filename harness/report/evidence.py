"""What each number rests on: digests of the configuration, records and files, and how to repeat it."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.report.batch_times import times_of
from harness.storage.plan import PLACES, RunPlan
from harness.storage.record import MethodRecord, RoundRecord
from harness.table.samples import counted

OWN_ID = ("run.id=", "run.results=", "run.cache=")  # they would lead to the run itself


@dataclass(frozen=True)
class File:
    """A file of the run: its path in the run's folder, what it is, and its SHA-256."""

    path: str
    role: str
    sha256: str


@dataclass(frozen=True)
class Timing:
    """One attempt at timing a row in a round, at the workload's batch size.

    Attributes:
        counts: the table's numbers come from it.
        disturbed: kinds of what disturbed it.
    """

    round: int
    attempt: int
    outcome: str
    batches: int
    median_ms: float | None
    mean_ms: float | None
    counts: bool
    disturbed: tuple[str, ...]
    file: File


@dataclass(frozen=True)
class Evidence:
    """One row's record, files and timings.

    Attributes:
        batches: of the validation pass; 0 without one.
        facts: what else its record says, as pairs of a name and a value.
    """

    method: str
    label: str
    outcome: str
    record: File
    files: tuple[File, ...]
    batches: int
    facts: tuple[tuple[str, str], ...]
    timings: tuple[Timing, ...]


def config_digest(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a configuration in canonical JSON: sorted keys, no spaces, UTF-8.

    The places where a run is kept and how it is shown (``plan.PLACES``) are left out, so that two runs
    of the same configuration have the same digest.
    """
    left_out = {place.removeprefix("config.") for place in PLACES}
    kept = {key: value for key, value in config.items() if key not in left_out}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def command(plan: RunPlan, folders: Sequence[str] = ()) -> str:
    """Return the command that measures the same again as a new run, quoted for a shell.

    Args:
        folders: of ``--conf``; a plan does not keep them.
    """
    words = [word for word in plan.overrides if not word.lstrip("+").startswith(OWN_ID)]
    named = [word for folder in folders for word in ("--conf", folder)]
    return shlex.join(["./run.sh", *words, *named])


def evidence(
    plan: RunPlan,
    records: Sequence[MethodRecord],
    rounds: Sequence[RoundRecord],
    digests: Mapping[str, str],
) -> list[Evidence]:
    """Return each row's evidence, in the table's order.

    Args:
        digests: SHA-256 of the records and rounds, by path in the run's folder.
    """
    used = {(each.round, each.method, each.attempt) for each in counted(rounds)}
    return [
        Evidence(
            record.method,
            record.label,
            str(record.outcome),
            _file(record.path, "record", digests),
            tuple(_files(record)),
            record.validate.batches if record.validate else 0,
            tuple(_facts(record)),
            tuple(
                _timing(plan, each, (each.round, each.method, each.attempt) in used, digests)
                for each in rounds
                if each.method == record.method
            ),
        )
        for record in records
    ]


def _file(path: str, role: str, digests: Mapping[str, str]) -> File:
    return File(path, role, digests[path])


def _files(record: MethodRecord) -> list[File]:
    """Return the files that a record names with their digests: the model and the predictions."""
    files = []
    if record.optimize:
        files += [
            (record.optimize.symbol, "model's graph"),
            (record.optimize.params, "model's weights"),
        ]
    if record.validate:
        files.append((record.validate.predictions, "five best classes of every image"))
    return [File(f"methods/{record.method}/{file.path}", role, file.sha256) for file, role in files]


def _facts(record: MethodRecord) -> list[tuple[str, str]]:
    found = []
    stages = (
        ("optimize", record.optimize),
        ("validate", record.validate),
        ("profile", record.profile),
    )
    for name, process in stages:
        if process and process.seconds is not None:
            peak = (process.peak_rss_bytes or 0) / 1e6
            found.append((f"{name} process", f"{process.seconds:.2f} s, at most {peak:.0f} MB"))
    chosen = record.optimize.quantization if record.optimize else None
    if chosen:
        values = (
            ("strategy", chosen.strategy),
            ("quantize mode", chosen.quantize_mode),
            ("quantize granularity", chosen.quantize_granularity),
            ("trials", chosen.trials),
        )
        found += [(name, str(value)) for name, value in values if value is not None]
        if chosen.excluded_operators is not None:
            found.append(("excluded operators", ", ".join(chosen.excluded_operators) or "none"))
    openmp = record.validate.openmp if record.validate else None
    if openmp:
        found.append(("threads", f"{openmp.max_threads} of {openmp.runtime}"))
    if record.optimize and record.optimize.reused_from:
        found.append(("model taken over from run", record.optimize.reused_from))
    if record.outcome.log:
        found.append(("log", record.outcome.log))
    return found


def _timing(plan: RunPlan, record: RoundRecord, counts: bool, digests: Mapping[str, str]) -> Timing:
    times = times_of(record, plan.workload["batch_size"])
    return Timing(
        record.round,
        record.attempt,
        str(record.outcome),
        len(times),
        1e3 * float(np.median(times)) if times else None,
        1e3 * float(np.mean(times)) if times else None,
        counts,
        tuple(dict.fromkeys(disturbance.kind for disturbance in record.disturbed)),
        _file(record.path, "round", digests),
    )
