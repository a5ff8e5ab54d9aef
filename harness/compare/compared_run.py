"""What a run brings to a comparison, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.compare.comparison import Measured
from harness.compare.prices import Price
from harness.storage.plan import RunPlan
from harness.storage.record import OK, MethodRecord, RoofRecord, RoundRecord
from harness.storage.store import RunFolder
from harness.table.roof_share import peaks_of
from harness.table.samples import Samples, samples_of, validation_samples
from harness.table.tables import read_tables


def compared_run(folder: RunFolder, cost: Price) -> Measured:
    """Return what a run brings to a comparison.

    Raises:
        HarnessError: a record or a file of predictions is damaged.
    """
    tables = read_tables(folder)
    plan, records, rounds = tables.plan, folder.load_records(), folder.load_rounds()
    whole = [r for r in records if r.outcome.kind == OK and r.validate is not None]
    roof = folder.load_roof()
    return Measured(
        machine=folder.path.parent.name,
        plan=plan,
        rows={record.method: row for record, row in zip(records, tables.rows)},
        profiles=tables.profiles,
        times=_times(plan, whole, rounds),
        predictions={record.method: _best(folder, record, plan.images) for record in whole},
        models={record.method: _model(record) for record in whole},
        labels=folder.load_labels(plan.images),
        threads=_threads(plan, whole),
        roof=peaks_of(roof),
        roof_told=_told(roof, plan.run),
        price=cost,
    )


def _times(
    plan: RunPlan, records: Sequence[MethodRecord], rounds: Sequence[RoundRecord]
) -> Mapping[str, Samples]:
    if plan.config["protocol"]["rounds"]:
        return samples_of(rounds).get(plan.workload["batch_size"], {})
    return {record.method: validation_samples(record, "forward_s") for record in records}


def _best(folder: RunFolder, record: MethodRecord, images: int) -> Any:
    return folder.load_predictions(record, images)[:, 0].astype(np.int64)


def _model(record: MethodRecord) -> str:
    return " ".join(file.sha256 for file in record.optimize.model) if record.optimize else ""


def _threads(plan: RunPlan, records: Sequence[MethodRecord]) -> str:
    loaded = (record.validate.openmp for record in records if record.validate)
    verified = sorted({openmp.max_threads for openmp in loaded if openmp and openmp.max_threads})
    if verified:
        return " or ".join(map(str, verified))
    asked = plan.threads.get("count")
    return f"{asked} asked for" if asked else "not set"


def _told(roof: RoofRecord | None, run: str) -> str:
    if roof is None:
        return f"not measured; ./run.sh run.id={run} protocol.roof=true adds it, on that machine"
    if roof.outcome.kind != OK or roof.facts is None:
        return str(roof.outcome)
    told = [f"{dtype} is missing: {why}" for dtype, why in roof.facts.missing.items()]
    kinds = sorted({disturbance.kind for disturbance in roof.facts.disturbed})
    if kinds:
        told.append(
            f"measuring it was disturbed ({', '.join(kinds)}), so it may be too low and shares too high"
        )
    return "; ".join(told)
