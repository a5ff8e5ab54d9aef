"""Rebuild a run's tables from its records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import InputError
from harness.storage import store
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord
from harness.storage.store import RunFolder
from harness.table.beyond import Beyond, beyond
from harness.table.csv_table import profiles_to_csv, sizes_to_csv, to_csv
from harness.table.footnotes import footnotes
from harness.table.kernels import Profile
from harness.table.markdown import to_markdown
from harness.table.row_names import named
from harness.table.rows import Predictions, Row, SizeRow, build_rows, size_rows
from harness.table.samples import Samples, samples_of

MARKDOWN = "table.md"


@dataclass(frozen=True)
class Tables:
    """What a run's records say.

    Attributes:
        rows: the table.
        sizes: throughput and latency by batch size; empty without rounds.
        profiles: how each row ran, by method; empty where that was left out.
        names: what the rows are called, by method.
        notes: what a reader must know.
        beyond: rows that the published table lacks against its best; None without.
    """

    plan: RunPlan
    rows: list[Row]
    sizes: list[SizeRow]
    profiles: dict[str, Profile]
    names: dict[str, str]
    notes: list[str]
    beyond: Beyond | None

    @property
    def named_profiles(self) -> list[tuple[str, Profile]]:
        return [(self.names[method], profile) for method, profile in self.profiles.items()]


def write_tables(folder: RunFolder, intervals: bool | None = None) -> str:
    """Write ``table.csv`` and ``table.md``, ``sizes.csv`` and ``kernels.csv``; return the Markdown.

    A row that the disk damaged says so and how to measure it again; the others are shown.

    Args:
        intervals: whether the Markdown shows them; None where the protocol has rounds.

    Raises:
        InputError: nothing was planned in this folder.
        HarnessError: the plan or the labels are damaged, or a record is of an unknown schema.
    """
    tables = read_tables(folder, damaged=True)
    if intervals is None:
        intervals = bool(tables.plan.config["protocol"]["rounds"])
    text = text_of(tables, intervals)
    store.write_atomically(folder.path / "table.csv", to_csv(tables.rows))
    if tables.sizes:
        store.write_atomically(folder.path / "sizes.csv", sizes_to_csv(tables.sizes))
    if tables.profiles:
        store.write_atomically(folder.path / "kernels.csv", profiles_to_csv(tables.named_profiles))
    store.write_atomically(folder.path / MARKDOWN, text)
    return text


def text_of(tables: Tables, intervals: bool) -> str:
    """Return a run's tables as Markdown."""
    return to_markdown(
        tables.plan,
        tables.rows,
        tables.sizes,
        tables.named_profiles,
        tables.notes,
        tables.beyond,
        intervals,
    )


def read_tables(folder: RunFolder, damaged: bool = False) -> Tables:
    """Derive a run's tables from its records.

    Args:
        damaged: show a row whose record or predictions are damaged as a failed one.

    Raises:
        InputError: nothing was planned in this folder.
        HarnessError: a record or a file of predictions is damaged.
    """
    plan = folder.load_plan()
    if plan is None:
        raise InputError(f"{folder.path} holds no run: there is no {store.PLAN}")
    records, rounds, lost = (
        folder.load_readable(plan) if damaged else (folder.load_records(), folder.load_rounds(), [])
    )
    records = named(plan, records)
    samples = samples_of(rounds)
    rows = rows_of(folder, plan, records, samples)
    timed = _timed(plan, samples)
    profiles = {
        record.method: Profile.recorded(record.profile)
        for record in records
        if record.profile is not None
    }
    return Tables(
        plan,
        rows,
        size_rows(records, samples),
        profiles,
        {record.method: record.label for record in records},
        [*lost, *footnotes(plan, records, rounds, rows)],
        beyond(records, timed, _predictions(folder, plan), folder.load_labels(plan.images)),
    )


def rows_of(
    folder: RunFolder,
    plan: RunPlan,
    records: Sequence[MethodRecord],
    samples: Mapping[int, Mapping[str, Samples]] | None = None,
) -> list[Row]:
    """Return the records' rows, with the predictions that the run kept.

    Args:
        samples: of the run's rounds; None leaves out what comes from them.

    Raises:
        HarnessError: a file of predictions is missing or damaged.
    """
    return build_rows(
        records,
        _timed(plan, samples or {}),
        _predictions(folder, plan),
        folder.load_labels(plan.images),
        plan.config["baseline"],
        plan.config["fused"],
    )


def _timed(
    plan: RunPlan, samples: Mapping[int, Mapping[str, Samples]]
) -> Mapping[str, Samples] | None:
    """Return the rounds at the workload's batch size; None where the protocol has none."""
    if not plan.config["protocol"]["rounds"]:
        return None
    return samples.get(plan.workload["batch_size"], {})


def _predictions(folder: RunFolder, plan: RunPlan) -> Predictions:
    return lambda record: folder.load_predictions(record, plan.images)
