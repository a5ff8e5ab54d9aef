"""Public series of benchmarks' results, a run a value, and their stretches without a shift of their own.

``series/README.md`` names the sources, their licences, and how the shifts were found.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.verdicts.noise import Floats

FOLDER = Path(__file__).parent / "series"


@dataclass(frozen=True)
class PublicSeries:
    """The results of a benchmark.

    Attributes:
        source: the name of the file.
        times: (n,), oldest first; the inverse of rates, so that larger is slower.
        shifts: where its level changed: indices of the first values after a shift.
    """

    source: str
    name: str
    times: Floats
    shifts: tuple[int, ...]

    def stretches(self, fewest: int) -> Iterator[Floats]:
        """Yield the values between shifts where there are at least so many."""
        for start, end in zip((0, *self.shifts), (*self.shifts, len(self.times))):
            if end - start >= fewest:
                yield self.times[start:end]


def load_series() -> list[PublicSeries]:
    """Return all series, by source and as its file has them."""
    loaded = []
    for path in sorted(FOLDER.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                values = np.array(row["values"].split(), dtype=np.float64)
                times = 1 / values if row["unit"].endswith("/s") else values
                shifts = tuple(int(place) for place in row["shifts"].split())
                loaded.append(PublicSeries(path.stem, row["series"], times, shifts))
    return loaded
