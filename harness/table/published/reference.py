"""The published table, as a file of this project has it."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from harness import PROJECT
from harness.errors import HarnessError
from harness.table.beyond import PUBLISHED as METHODS

FOLDER = PROJECT / "benchmarks" / "published"
TABLE = "published_table.csv"
Reference = Mapping[str, Mapping[str, "float | None"]]  # method to the metrics' values


def read_published() -> Reference:
    """Return the published table of this project; raises as ``read_reference``."""
    return read_reference(FOLDER / TABLE)


def read_reference(path: Path) -> Reference:
    """Return a published table: by method, the values of the metrics.

    Args:
        path: a CSV with one row a method, in the order of the published table.

    Raises:
        HarnessError: the file is missing or damaged.
    """
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            lines = list(csv.DictReader(handle, strict=True))
        rows = []
        for line in lines:
            del line["method"]  # the label in the publication
            rows.append({name: float(text) if text else None for name, text in line.items()})
        values = [value for row in rows for value in row.values()]
        if not rows or not all(value is None or math.isfinite(value) for value in values):
            raise ValueError("it has no rows, or a number is none")
    except (csv.Error, AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise HarnessError(
            f"{path} is damaged ({type(error).__name__}: {error}): restore it"
        ) from None
    return dict(zip(METHODS, rows))
