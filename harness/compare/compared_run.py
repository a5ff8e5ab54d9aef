"""The runs of a comparison, loaded from their folders, and whether they may be compared."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.compare.columns.column import ComparedRun
from harness.compare.columns.machine_rates import machine_rates
from harness.compare.columns.machine_types import APART, type_of, unpooled
from harness.compare.pricing.prices import OWN, Price, Prices
from harness.compare.unlike import unlike, words_for
from harness.errors import InputError
from harness.storage.known_runs import find_run
from harness.storage.outcomes import OK
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord, RoofRecord
from harness.storage.store import RunFolder
from harness.table.loaded_run import LoadedRun, load_run
from harness.table.roof_share import roof_peaks
from harness.table.samples import passes_of
from harness.table.served.rates import best_served

FORCE = "--force"


def load_compared_runs(
    results: Path, names: Sequence[str], prices: Prices, own: Mapping[str, float]
) -> list[ComparedRun]:
    """Return runs by their names, in that order, each with the price of its machine.

    Args:
        names: RUN or MACHINE/RUN.
        own: prices per hour by the machine's folder or its type, which go before the list's.

    Raises:
        InputError: a run is not there or is named twice, or no run is of the machine of a price.
        HarnessError: a record or a file of predictions is damaged.
    """
    folders = [find_run(results, name) for name in names]
    for number, folder in enumerate(folders):
        if folder.path in [other.path for other in folders[:number]]:
            raise InputError(f"{names[number]} is named twice: name each run once")
    machines = [folder.path.parent.name for folder in folders]
    runs = [load_run(folder) for folder in folders]
    types = [type_of(run.plan) or machine for run, machine in zip(runs, machines)]
    idle = sorted(set(own) - {*machines, *types})
    if idle:
        known = ", ".join(dict.fromkeys([*machines, *types]))
        raise InputError(f"{OWN}{idle[0]}: no run is of that machine; they are {known}")
    return [
        compared_run(run, prices.with_own((machine, kind), run.plan.machine.ec2, own))
        for run, machine, kind in zip(runs, machines, types)
    ]


def check_alike(runs: Sequence[ComparedRun], names: Sequence[str]) -> None:
    """Refuse to compare runs that were not measured alike.

    Raises:
        InputError: their plans differ in what determines results.
    """
    differences = unlike([run.plan for run in runs])
    if differences:
        listed = "\n".join(
            f"  {one.key}: " + ", ".join(f"{v} in {name}" for v, name in zip(one.values, names))
            for one in differences
        )
        commands = "".join(
            f"  ./run.sh {shlex.join(words)}\n"
            for run in runs[1:]
            for words in [words_for(unlike([runs[0].plan, run.plan]), runs[0].plan, run.plan)]
            if words
        )
        alike = f"measure the others as {names[0]} was:\n{commands}" if commands else ""
        otherwise = "or" if commands else "measure them alike, or"
        raise InputError(
            f"these runs were not measured alike:\n{listed}\n"
            f"{alike}{otherwise} add {FORCE} to compare them all the same"
        )


def check_poolable(runs: Sequence[ComparedRun]) -> None:
    """Refuse to make one column of runs on machines of one type that are not of one plan.

    Raises:
        InputError: they differ in rows, threads or CPUs, or in what determines results.
    """
    faults = unpooled(runs)
    if faults:
        listed = "\n".join(map(str, faults))
        raise InputError(
            f"{listed}\nmeasure them by one plan, or add {APART} to show every run as a column of its own"
        )


def compared_run(run: LoadedRun, price: Price) -> ComparedRun:
    """Return a run as a comparison shows it.

    Raises:
        HarnessError: the record of its roof is damaged.
    """
    measured = [r for r in run.records if r.outcome.kind == OK and r.validate is not None]
    roof = run.folder.load_roof()
    searches = [row for row in run.served if row.reason is None]
    troubled = {*run.disturbances, *(row.method for row in searches if row.disturbed)}
    return ComparedRun(
        machine=run.folder.path.parent.name,
        plan=run.plan,
        rows={row.method: row for row in run.rows},
        rates=machine_rates(run),
        served=best_served(run.served, {record.method for record in measured}),
        profiles={row.method: row.profile for row in run.profiles},
        times=passes_of(run.records) if run.timed is None else run.timed,
        predictions={
            method: best[:, 0].astype(np.int64) for method, best in run.predictions.items()
        },
        models={record.method: _model(record) for record in measured},
        labels=run.labels,
        threads=_threads(run.plan, measured),
        disturbed=[row.label for row in run.rows if row.method in troubled],
        roof=roof_peaks(roof),
        roof_note=_roof_note(roof, run.folder),
        price=price,
    )


def _model(record: MethodRecord) -> str:
    return " ".join(file.sha256 for file in record.optimize.model) if record.optimize else ""


def _threads(plan: RunPlan, records: Sequence[MethodRecord]) -> str:
    loaded = (record.validate.openmp for record in records if record.validate)
    verified = sorted({openmp.max_threads for openmp in loaded if openmp and openmp.max_threads})
    if verified:
        return " or ".join(map(str, verified))
    count = plan.threads.count
    return f"{count} asked for" if count else "not set"


def _roof_note(roof: RoofRecord | None, folder: RunFolder) -> str:
    if roof is None and folder.is_committed:
        return "not measured, and the project's committed example is only read"
    if roof is None:
        return (
            f"not measured; ./run.sh run.id={folder.id} protocol.roof=true adds it, on that machine"
        )
    if roof.outcome.kind != OK or roof.facts is None:
        return str(roof.outcome)
    notes = [f"{dtype} is missing: {why}" for dtype, why in roof.facts.missing.items()]
    kinds = sorted({disturbance.kind for disturbance in roof.facts.disturbed})
    if kinds:
        notes.append(
            f"measuring it was disturbed ({', '.join(kinds)}), so it may be too low and shares too high"
        )
    return "; ".join(notes)
