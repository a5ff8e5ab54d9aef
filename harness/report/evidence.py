"""The evidence for each number: digests of the configuration and the files, and how to repeat it."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.storage.configuration import Configuration
from harness.storage.deterministic_part import deterministic_part, digests
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord, RoundRecord
from harness.storage.same_run import SAME_RUN, selected
from harness.table.samples import batch_seconds, counted


@dataclass(frozen=True)
class File:
    """A file of the run.

    Attributes:
        path: in the run's folder.
        sha256: empty where the record has none.
        kept: the folder has it; models are left out of packs and of the committed example.
    """

    path: str
    role: str
    sha256: str
    kept: bool


@dataclass(frozen=True)
class Timing:
    """One attempt at timing a row in a round, at the workload's batch size.

    Attributes:
        counts: whether the table's numbers come from it.
        disturbed: the kinds of its disturbances.
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
    """The record, files and timings of one row.

    Attributes:
        batches: of the validation pass; 0 without one.
        facts: further facts of its record, as pairs of a name and a value.
    """

    method: str
    label: str
    outcome: str
    record: File
    files: tuple[File, ...]
    batches: int
    facts: tuple[tuple[str, str], ...]
    timings: tuple[Timing, ...]


@dataclass(frozen=True)
class RunDigests:
    """The SHA-256 of the parts of a run.

    Attributes:
        plan: of the file.
        config: of the configuration in canonical JSON (``config_digest``).
        results: of all that the same plan gives again on the same machine, as ``verify`` prints it.
    """

    plan: str
    config: str
    results: str


def config_digest(config: Configuration) -> str:
    """Return the SHA-256 of a configuration in canonical JSON: sorted keys, no spaces, UTF-8.

    Keys that determine nothing, such as the run's folder, are left out, so that two runs of the same
    configuration have the same digest.
    """
    text = json.dumps(
        selected(config.stored, SAME_RUN), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def run_digests(plan: RunPlan, plan_digest: str, records: Sequence[MethodRecord]) -> RunDigests:
    """Return the digests of a run's parts.

    Args:
        plan_digest: SHA-256 of the plan's file.
    """
    results = digests(deterministic_part(plan, records))["*"]
    return RunDigests(plan_digest, config_digest(plan.config), results)


def command(plan: RunPlan, folders: Sequence[str] = ()) -> str:
    """Return the command that measures the same again as a new run, quoted for a shell.

    Args:
        folders: of ``--conf``; a plan does not keep them.
    """
    named = [word for folder in folders for word in ("--conf", folder)]
    return shlex.join(["./run.sh", *plan.words, *named])


def evidence(
    plan: RunPlan,
    records: Sequence[MethodRecord],
    rounds: Sequence[RoundRecord],
    digests: Mapping[str, str],
    is_kept: Callable[[str], bool],
) -> list[Evidence]:
    """Return the evidence for each row, in the table's order.

    Args:
        digests: SHA-256 of the records and rounds, by path in the run's folder.
        is_kept: says whether the run's folder has a file of such a path.
    """
    used = {(timing.round, timing.method, timing.attempt) for timing in counted(rounds)}
    return [
        Evidence(
            record.method,
            record.label,
            str(record.outcome),
            _file(record.path, "record", digests),
            tuple(_files(record, is_kept)),
            record.validate.batches if record.validate else 0,
            tuple(_facts(record)),
            tuple(
                _timing(plan, one, (one.round, one.method, one.attempt) in used, digests)
                for one in rounds
                if one.method == record.method
            ),
        )
        for record in records
    ]


def _file(path: str, role: str, digests: Mapping[str, str]) -> File:
    return File(path, role, digests[path], True)  # it was read


def _files(record: MethodRecord, is_kept: Callable[[str], bool]) -> list[File]:
    """Return the files that a record names: the model, the predictions and the log."""
    files = []
    if record.optimize:
        files += [
            (record.optimize.symbol, "model's graph"),
            (record.optimize.params, "model's weights"),
        ]
    if record.validate:
        files.append((record.validate.predictions, "five best classes of every image"))
    named = [(f"methods/{record.method}/{file.path}", role, file.sha256) for file, role in files]
    if record.outcome.log:
        named.append((record.outcome.log, "log", ""))
    return [File(path, role, sha256, is_kept(path)) for path, role, sha256 in named]


def _facts(record: MethodRecord) -> list[tuple[str, str]]:
    pairs = []
    stages = (
        ("optimize", record.optimize),
        ("validate", record.validate),
        ("profile", record.profile),
    )
    for name, process in stages:
        if process and process.seconds is not None:
            peak = (process.peak_rss_bytes or 0) / 1e6
            pairs.append((f"{name} process", f"{process.seconds:.2f} s, at most {peak:.0f} MB"))
    chosen = record.optimize.quantization if record.optimize else None
    if chosen:
        values = (
            ("strategy", chosen.strategy),
            ("quantize mode", chosen.quantize_mode),
            ("quantize granularity", chosen.quantize_granularity),
            ("trials", chosen.trials),
        )
        pairs += [(name, str(value)) for name, value in values if value is not None]
        if chosen.excluded_operators is not None:
            pairs.append(("excluded operators", "; ".join(chosen.excluded) or "none"))
    openmp = record.validate.openmp if record.validate else None
    if openmp:
        pairs.append(("threads", f"{openmp.max_threads} of {openmp.runtime}"))
    if record.optimize and record.optimize.reused_from:
        pairs.append(("model taken over from run", record.optimize.reused_from))
    return pairs


def _timing(plan: RunPlan, record: RoundRecord, counts: bool, digests: Mapping[str, str]) -> Timing:
    seconds = batch_seconds(record, plan.workload.batch_size)
    return Timing(
        record.round,
        record.attempt,
        str(record.outcome),
        len(seconds),
        1e3 * float(np.median(seconds)) if seconds else None,
        1e3 * float(np.mean(seconds)) if seconds else None,
        counts,
        tuple(dict.fromkeys(disturbance.kind for disturbance in record.disturbed)),
        _file(record.path, "round", digests),
    )
