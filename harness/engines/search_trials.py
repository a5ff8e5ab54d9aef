"""The evaluations of an engine's search, as a record's trajectory has them, kept however it ends."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.engines.interface import Progress
from harness.files.whole_files import json_bytes, unwritable
from harness.storage.store import TRAJECTORY


@dataclass
class Trials:
    """Evaluations so far, each with the seconds since the one before.

    Each is written into the row's folder as it ends: a row without a model has no record of them, and
    a process that is killed at a time limit says nothing any more.

    Attributes:
        folder: the row's.
        what: their name in the progress.
        most: how many there are at most; 0: nobody knows.
        entries: as ``harness.storage.stage_facts.Trial``.
    """

    progress: Progress
    folder: Path
    what: str
    most: int = 0
    entries: list[dict[str, Any]] = field(default_factory=list)
    _began: float = field(default_factory=time.perf_counter)

    def add(self, accuracy: float, changed: Mapping[str, str] | None = None) -> None:
        """Add an evaluation.

        Args:
            accuracy: top-1.
            changed: what operators became, by name.
        """
        seconds = time.perf_counter() - self._began
        self.entries.append(
            {
                "trial": len(self.entries) + 1,
                "accuracy": accuracy,
                "seconds": seconds,
                "changed": dict(changed or {}),
            }
        )
        self._write()
        self._began = time.perf_counter()
        self.progress(len(self.entries), self.most, self.what)

    def _write(self) -> None:
        """Write the entries whole, without a sync: that takes a disk's time, which the cost would have.

        Raises:
            InputError: there is no space.
        """
        path = self.folder / TRAJECTORY
        part = path.with_name(f".{path.name}.part")
        try:
            part.write_bytes(json_bytes(self.entries))
            part.replace(path)
        except OSError as error:
            raise unwritable(path, error, "run.results") from None
