"""The table as CSV: the published columns in the published order, then the added ones."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from harness.metrics import PUBLISHED
from harness.table import Row

HEADER = ("method", *(metric.name for metric in PUBLISHED), "images", "outcome", "log")


def to_csv(rows: Sequence[Row]) -> str:
    """Return the rows with the published number of decimals; what was not measured is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for row in rows:
        values = [getattr(row, metric.name) for metric in PUBLISHED]
        shown = [
            "" if value is None else f"{value:.{metric.digits}f}"
            for metric, value in zip(PUBLISHED, values)
        ]
        images = "" if row.images is None else row.images
        writer.writerow([row.label, *shown, images, row.outcome, row.log or ""])
    return out.getvalue()
