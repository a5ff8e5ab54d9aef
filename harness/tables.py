"""Rebuild a run's tables from its records alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harness import store
from harness.errors import InputError
from harness.export.csv_table import to_csv
from harness.export.markdown import to_markdown
from harness.plan import RunPlan
from harness.record import MethodRecord
from harness.store import RunFolder
from harness.table import Row, build_rows, footnotes


def write_tables(folder: RunFolder) -> str:
    """Write ``table.csv`` and ``table.md``; return the latter.

    Raises:
        InputError: nothing was planned in this folder.
        HarnessError: a record or a file of predictions is damaged.
    """
    plan = folder.load_plan()
    if plan is None:
        raise InputError(f"{folder.path} holds no run: there is no {store.PLAN}")
    records = folder.load_records()
    rows = rows_of(folder, plan, records)
    text = to_markdown(plan, rows, footnotes(plan, records, rows))
    store.write_atomically(folder.path / "table.csv", to_csv(rows))
    store.write_atomically(folder.path / "table.md", text)
    return text


def rows_of(folder: RunFolder, plan: RunPlan, records: Sequence[MethodRecord]) -> list[Row]:
    """Return the records' rows, with the predictions that the run kept.

    Raises:
        HarnessError: a file of predictions is missing or damaged.
    """

    def predictions(record: MethodRecord) -> npt.NDArray[np.uint16]:
        assert record.validate is not None
        file = record.validate["predictions"]
        return folder.load_array(file, folder.method(record.method), "top")

    return build_rows(records, predictions, np.load(folder.labels), plan.config["baseline"])
