"""Invented nights and runs, made by the real writers from the committed run.

Each has all of its plan and its records, ten rows in twenty rounds of twenty batches. Times differ by
night, by round and by batch as those of a shared machine do. Predictions are those of the committed
run, hard links to one file a row: a night that changes nothing predicts the same.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from harness.facts.typed import changed, decode
from harness.files.whole_files import sha256_of, write_atomically
from harness.nightly.entry import NightEntry, as_run, build_entry, figures_of
from harness.nightly.judge import judge
from harness.nightly.judgements import publish
from harness.nightly.night import Night
from harness.storage.outcomes import OK
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord, Outcome, RoundRecord
from harness.storage.stage_facts import RoundFacts
from harness.storage.store import COMMITTED, RunFolder

SOURCE = COMMITTED / "published"
MACHINE = "invented"
FIRST_NIGHT = datetime(2026, 1, 1, 2, tzinfo=timezone.utc)
ROUNDS, BATCHES = 20, 20
LEVEL = 5  # nights that one is compared with
NIGHT_NOISE, ROUND_NOISE, BATCH_NOISE = 0.01, 0.02, 0.03  # standard deviations of logarithms
CONDITIONS = {
    "seconds": 10.0,
    "cpus": [0, 1],
    "cpu_s": 9.9,
    "steal_share": 0.0,
    "other_load": 0.01,
    "core_load": 0.01,
    "waited_share": 0.001,
    "involuntary_switches_per_s": 3.0,
    "minor_faults_per_s": 10.0,
    "major_faults": 0,
    "load_1min": 1.0,
}


class Invented:
    """What invents nights and runs into a folder of results."""

    def __init__(self, results: Path) -> None:
        self.results = results
        source = RunFolder(SOURCE)
        plan = source.load_plan()
        assert plan is not None
        self._source = source
        self._plan = plan
        self._records = source.load_records()
        self._before: list[NightEntry] = []
        self._shared = results / "shared"  # one copy of what is linked, on the same file system

    def write_night(self, number: int, is_judged: bool = True) -> RunFolder:
        """Write one night with its rounds, and its verdict unless another judges it."""
        created = FIRST_NIGHT + timedelta(days=number)
        protocol = {**self._plan.config.protocol.stored, "name": "nightly", "rounds": ROUNDS,
                    "batches": BATCHES, "warmup_s": 20, "reruns": 2}  # fmt: skip
        config = changed(self._plan.config, protocol=protocol)
        folder = self._write_run(f"night{number:05d}", created, replace(self._plan, config=config))
        rng = np.random.default_rng(number)
        for record in folder.load_records():
            if record.outcome.kind == OK:
                self._write_rounds(folder, record, rng)
        if is_judged:
            entry = build_entry(folder)
            rows = judge([as_run(before) for before in self._before], as_run(entry))
            self._before = [*self._before, entry][-LEVEL:]
            night = Night(
                machine=MACHINE,
                run=folder.id,
                created=entry.created,
                verdict="none",
                rows=tuple(replace(row, kind="none", suspected=False) for row in rows),
                baseline=(),
                again=None,
                failed={},
                changes=(),
                shifted=(),
                notes=(),
                figures=figures_of(entry),
            )
            publish(night, entry, folder, self.results)
        return folder

    def write_run(self, number: int) -> RunFolder:
        """Write a run that is no night, without rounds."""
        created = FIRST_NIGHT + timedelta(days=number, hours=12)
        return self._write_run(f"run{number:05d}", created, self._plan)

    def _write_run(self, name: str, created: datetime, plan: RunPlan) -> RunFolder:
        folder = RunFolder(self.results / MACHINE / name)
        folder.path.mkdir(parents=True)
        stamp = created.strftime("%Y-%m-%dT%H:%M:%SZ")
        folder.save_plan(replace(plan, run=name, created=stamp))
        self._link(self._source.labels, folder.labels)
        for record in self._records:
            folder.method(record.method).mkdir(parents=True)
            folder.save_record(replace(self._with_model(folder, record), run=name))
        return folder

    def _with_model(self, folder: RunFolder, record: MethodRecord) -> MethodRecord:
        """Return a record of a small model, which is there as the predictions are."""
        own = folder.method(record.method)
        if record.validate is not None:
            path = record.validate.predictions.path
            self._link(self._source.method(record.method) / path, own / path)
        if record.optimize is None:
            return record
        files = {}
        for part, name in (("symbol", "model-symbol.json"), ("params", "model-0000.params")):
            shared = self._shared / f"{record.method}-{name}"
            if not shared.exists():
                write_atomically(shared, shared.name)
            os.link(shared, own / name)
            size = shared.stat().st_size
            files[part] = {"path": name, "bytes": size, "sha256": sha256_of(shared)}
        return replace(record, optimize=changed(record.optimize, **files))

    def _link(self, source: Path, target: Path) -> None:
        shared = self._shared / "-".join(source.relative_to(self._source.path).parts)
        if not shared.exists():
            write_atomically(shared, source.read_bytes())
        os.link(shared, target)

    @staticmethod
    def _write_rounds(folder: RunFolder, record: MethodRecord, rng: np.random.Generator) -> None:
        assert record.validate is not None
        typical_s = float(np.median(record.validate.forward_s)) * np.exp(rng.normal(0, NIGHT_NOISE))
        for number in range(1, ROUNDS + 1):
            noise = rng.normal(0, ROUND_NOISE) + rng.normal(0, BATCH_NOISE, BATCHES)
            times = [float(time) for time in typical_s * np.exp(noise)]
            part = {
                "batch_size": record.validate.batch_size,
                "forward_s": times,
                "data_s": [0.01] * BATCHES,
                "warmup_s": times[:5],
                "settled": True,
                "conditions": CONDITIONS,
                "disturbed": [],
                "misplaced": [],
            }
            facts = decode(
                {"timed": [part], "seconds": 14.0, "peak_rss_bytes": 900_000_000}, RoundFacts
            )
            timed = RoundRecord(folder.id, record.method, number, 1, Outcome("ok"), facts)
            folder.save(timed)
