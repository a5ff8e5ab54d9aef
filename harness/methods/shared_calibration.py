"""INC's calibration cache, kept in a file that all rows of a run share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from harness.errors import InputError
from harness.files.reading import read_json
from harness.methods.inc_formats import CalibrationCache
from harness.storage import form
from harness.storage.tuning_history import RANGES, limits

SHARED_CACHE = "calibration.json"
SHARED = {"batches": form.some, "kl": RANGES, "minmax": RANGES}  # of the file's content
MEASURED = "measured"  # key in INC's cache: measured ranges, where a strategy proposes others


class SharedCalibration:
    """INC's calibration cache of one row, kept in the run's folder for the rows that follow.

    Args:
        folder: the run's folder; None where rows do not share.
        cache: the cache of INC's model; ``load`` fills it.
    """

    def __init__(self, folder: Path | None, cache: CalibrationCache) -> None:
        self._path = folder / SHARED_CACHE if folder else None
        self._cache = cache

    def load(self) -> None:
        """Fill the cache from the file, if there is one.

        Raises:
            InputError: the file is damaged.
        """
        if self._path and self._path.is_file():
            stored = _read_ranges(self._path)
            for kind in ("kl", "minmax"):
                stored[kind] = {
                    name: tuple(np.float32(value) for value in ends)
                    for name, ends in stored[kind].items()
                }
            self._cache.update(stored)

    def save(self) -> None:
        """Write the cache to the file, once INC has calibrated."""
        if self._path and "batches" in self._cache:
            ranges = {
                "kl": self._cache["kl"],
                "minmax": {**self._cache["minmax"], **self._cache.get(MEASURED, {})},
            }
            plain = {kind: _finite_ranges(ranges[kind]) for kind in ranges}
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps({"batches": self._cache["batches"], **plain}))
            part.replace(self._path)


def _read_ranges(path: Path) -> CalibrationCache:
    try:
        stored = read_json(path)
        wrong = form.wrong(stored, SHARED)
    except (OSError, ValueError) as error:
        wrong = str(error)
    if wrong is not None:
        raise InputError(
            f"the shared calibration {path} cannot be read ({wrong}): delete it, and it is made "
            "again"
        )
    return {key: stored[key] for key in SHARED}


def _finite_ranges(ranges: Mapping[str, Iterable[float]]) -> dict[str, list[float]]:
    """Return ranges as JSON has them, without those with an end that is infinite or no number."""
    plain = {name: [float(value) for value in ends] for name, ends in ranges.items()}
    return {name: ends for name, ends in plain.items() if limits(ends)}
