"""INC's calibration cache, kept in a file that all rows of a run share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict

import numpy as np

from harness.errors import InputError
from harness.facts.typed import Positive, decode
from harness.files.reading import read_json
from harness.methods.inc_formats import CalibrationCache
from harness.storage.tuning_history import Ranges, is_range, wrong_range

SHARED_CACHE = "calibration.json"
MEASURED = "measured"  # key in INC's cache: measured ranges, where a strategy proposes others


class Calibrations(TypedDict):
    """The content of the file: ranges by the way in which they were found."""

    batches: Positive
    kl: Ranges
    minmax: Ranges


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
            self._cache["batches"] = stored["batches"]
            self._cache["kl"] = _single(stored["kl"])
            self._cache["minmax"] = _single(stored["minmax"])

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


def _read_ranges(path: Path) -> Calibrations:
    try:
        stored = decode(read_json(path), Calibrations)
        wrong = wrong_range(stored["kl"], "kl") or wrong_range(stored["minmax"], "minmax")
        if wrong is not None:
            raise ValueError(wrong)
    except (OSError, ValueError) as error:
        raise InputError(
            f"the shared calibration {path} cannot be read ({error}): delete it, and it is made "
            "again"
        ) from None
    return stored


def _single(ranges: Ranges) -> dict[str, tuple[np.float32, ...]]:
    return {name: tuple(np.float32(value) for value in ends) for name, ends in ranges.items()}


def _finite_ranges(ranges: Mapping[str, Iterable[float]]) -> dict[str, list[float]]:
    """Return ranges as JSON has them, without those with an end that is infinite or no number."""
    plain = {name: [float(value) for value in ends] for name, ends in ranges.items()}
    return {name: ends for name, ends in plain.items() if is_range(*ends)}
