"""A run as its files say: each is read and digested once, and everything derived comes from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from harness.errors import InputError
from harness.facts.machine_facts import Disturbance
from harness.storage import store
from harness.storage.damage import Readable, load_readable
from harness.storage.instances.instance_files import load_instances
from harness.storage.outcomes import OK
from harness.storage.plan import RunPlan
from harness.storage.record import InstancesRecord, MethodRecord, RoundRecord
from harness.storage.served.server_files import load_server_records
from harness.storage.served.server_record import ServerRecord
from harness.storage.store import RunFolder
from harness.table.beyond import Beyond, beyond
from harness.table.instances.splits import SplitRow, counted_instances, split_rows
from harness.table.kernels import Profile, RowProfile
from harness.table.notes.disturbance_notes import disturbed_splits_notes
from harness.table.notes.footnotes import footnotes
from harness.table.published.baselines import Speedups, speedup_note, speedups
from harness.table.published.reference import read_published
from harness.table.row_names import named
from harness.table.rows import Row, SizeRow, build_rows, size_rows
from harness.table.samples import Samples, counted, samples_of
from harness.table.served.rates import ServedRow, served_rows


@dataclass(frozen=True)
class LoadedRun:
    """The plan, records and predictions of a run, and its tables.

    Attributes:
        records: in the table's order, with labels that tell the rows apart.
        rounds: every attempt, by round, method and attempt.
        digests: SHA-256 of the plan, the records and the rounds, by path in the folder.
        labels: of the validated images, (images,).
        predictions: by method, the best classes of each image, (images, 5) or fewer columns, of the
            rows that were validated.
        timed: by method, the rounds at the workload's batch size; None where the protocol has none.
        rows: the table.
        sizes: throughput and latency by batch size; empty without rounds.
        profiles: how each row ran, of those that were profiled.
        notes: what a reader must know.
        speedups: over both baselines, beside the published ones; empty unless both were measured.
        beyond: rows that the published table lacks against its best; None without any.
        instances: the records of several processes of a row at once that count.
        splits: throughput and latency by split into instances; empty where none was measured.
        server_records: of the searches for the highest rate of queries.
        served: that rate by row and split; empty where none was searched.
    """

    folder: RunFolder
    plan: RunPlan
    records: list[MethodRecord]
    rounds: list[RoundRecord]
    digests: Mapping[str, str]
    labels: npt.NDArray[np.int64]
    predictions: Mapping[str, npt.NDArray[np.uint16]]
    timed: Mapping[str, Samples] | None
    rows: list[Row]
    sizes: list[SizeRow]
    profiles: list[RowProfile]
    notes: list[str]
    speedups: list[Speedups]
    beyond: Beyond | None
    instances: list[InstancesRecord] = field(default_factory=list)
    splits: list[SplitRow] = field(default_factory=list)
    server_records: list[ServerRecord] = field(default_factory=list)
    served: list[ServedRow] = field(default_factory=list)

    @property
    def disturbances(self) -> dict[str, list[Disturbance]]:
        """What disturbed the timings of the table by method, of those that were disturbed.

        They are those of the rounds that count, of one process or of several, or of the validation
        passes without rounds.
        """
        if self.plan.config.protocol.rounds:
            timings = [(timing.method, timing.disturbed) for timing in counted(self.rounds)]
            timings += [(timing.method, timing.disturbed) for timing in self.instances]
        else:
            timings = [(row.method, row.validate.disturbed) for row in self.records if row.validate]
        by_method: dict[str, list[Disturbance]] = {}
        for method, disturbed in timings:
            if disturbed:
                by_method.setdefault(method, []).extend(disturbed)
        return by_method


def load_run(folder: RunFolder, damaged: bool = False) -> LoadedRun:
    """Read a run's files and derive its tables.

    Args:
        damaged: show a row whose record or predictions are damaged as a failed one.

    Raises:
        InputError: nothing was planned in this folder.
        HarnessError: a record, a file of predictions, or the published table is damaged.
    """
    plan = folder.load_plan()
    if plan is None:
        raise InputError(f"{folder.path} holds no run: there is no {store.PLAN}")
    if damaged:
        readable = load_readable(folder, plan)
        labels = folder.load_labels(plan.images)
    else:
        readable = Readable(
            folder.load_records(),
            folder.load_rounds(),
            load_instances(folder),
            load_server_records(folder),
        )
        labels = folder.load_labels(plan.images)
        readable.predictions = _predictions(folder, plan, readable.rows)
    records = named(plan, readable.rows)
    rounds, predictions = readable.rounds, readable.predictions
    samples = samples_of(rounds)
    timed = _timed(plan, samples)
    rows = _rows(plan, records, timed, predictions, labels)
    compared = speedups(plan, rows, read_published)
    together = counted_instances(readable.instances)
    return LoadedRun(
        folder=folder,
        plan=plan,
        records=records,
        rounds=rounds,
        digests=dict(folder.digests),
        labels=labels,
        predictions=predictions,
        timed=timed,
        rows=rows,
        sizes=size_rows(records, samples),
        profiles=[
            RowProfile(record.method, record.label, Profile.recorded(record.profile))
            for record in records
            if record.profile is not None
        ],
        notes=[
            *readable.lost,
            *footnotes(plan, records, rounds, rows, folder.resuming),
            *disturbed_splits_notes(records, together),
            *speedup_note(compared),
        ],
        speedups=compared,
        beyond=beyond(records, timed, lambda record: predictions[record.method], labels),
        instances=together,
        splits=split_rows(records, together),
        server_records=readable.searches,
        served=served_rows(readable.searches, {row.method: row.label for row in rows}),
    )


def rows_of(folder: RunFolder, plan: RunPlan, records: Sequence[MethodRecord]) -> list[Row]:
    """Return the rows of records with the predictions that the run kept, without its rounds.

    Raises:
        HarnessError: a file of predictions is missing or damaged.
    """
    labels = folder.load_labels(plan.images)
    predictions = _predictions(folder, plan, records)
    return _rows(plan, records, _timed(plan, {}), predictions, labels)


def _rows(
    plan: RunPlan,
    records: Sequence[MethodRecord],
    timed: Mapping[str, Samples] | None,
    predictions: Mapping[str, npt.NDArray[np.uint16]],
    labels: npt.NDArray[np.int64],
) -> list[Row]:
    return build_rows(
        records,
        timed,
        lambda record: predictions[record.method],
        labels,
        plan.config.baseline,
        plan.config.fused,
    )


def _predictions(
    folder: RunFolder, plan: RunPlan, records: Sequence[MethodRecord]
) -> dict[str, npt.NDArray[np.uint16]]:
    return {
        record.method: folder.load_predictions(record, plan.images)
        for record in records
        if record.outcome.kind == OK and record.validate is not None
    }


def _timed(
    plan: RunPlan, samples: Mapping[int, Mapping[str, Samples]]
) -> Mapping[str, Samples] | None:
    """Return the rounds at the workload's batch size; None where the protocol has none."""
    if not plan.config.protocol.rounds:
        return None
    return samples.get(plan.workload.batch_size, {})
