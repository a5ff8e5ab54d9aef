"""A search that was stopped goes on: the trials that it evaluated are not evaluated again.

INC resumes from a pickle, which is never read here. A search is the same each time, since its strategy
draws by the seed and decides by what was measured. So it is made again from the start. As long as it
comes to the models that it had come to, their predictions, accuracies and times are taken from the file.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from harness.facts.typed import Mistyped, Seconds, Sha256, Share, decode
from harness.files.reading import LARGEST_JSON, open_plain, parse_json
from harness.files.whole_files import json_sha256, write_atomically

FILE = "search.jsonl"
LEAST_S = 1.0  # of a limit: a search that has spent all of it ends at once
Predictions = npt.NDArray[np.uint16]


class _Line(TypedDict):
    """A line of the file; the first has the search's digest alone."""

    model: Sha256
    accuracy: Share
    objectives: list[float]
    seconds: Seconds
    evaluation_seconds: Seconds
    predictions: str


class Evaluated(NamedTuple):
    """A trial of the stopped search.

    Attributes:
        objectives: INC's, such as the seconds of the evaluation.
        seconds: with all that was done before it, since the trial before.
        predictions: the class of each tuning image, (images,).
    """

    model: str
    accuracy: float
    objectives: list[float]
    seconds: float
    evaluation_seconds: float
    predictions: Predictions


class Resumption:
    """The trials of a search, on disk as they are made.

    Args:
        folder: of the row.
        search: all that decides how the search goes, JSON-able.
        images: how many are tuned on.

    Attributes:
        seconds: what the trials took that are taken from the file.
    """

    def __init__(self, folder: Path, search: Any, images: int) -> None:
        self._path, self._images = folder / FILE, images
        self._digest = json_sha256(search)
        self._earlier = self._read()
        self._written = 0
        self.seconds = 0.0
        if self._earlier:
            self._keep(len(self._earlier))
        else:
            self._path.unlink(missing_ok=True)
            self._append({"search": self._digest})

    @property
    def trials(self) -> int:
        """How many trials were taken from the file so far."""
        return self._written

    def limit(self, timeout_s: float) -> float:
        """Return the seconds that the search has from now on; 0 is no limit.

        Models are quantised again, and what their evaluations took counts as spent.
        """
        if not timeout_s:
            return 0.0
        spent = sum(trial.evaluation_seconds for trial in self._earlier)
        return max(timeout_s - spent, LEAST_S)

    def take(self, model: str) -> Evaluated | None:
        """Return the next trial of the stopped search if it is of this model, else None for good."""
        if not self._earlier:
            return None
        trial = self._earlier[0]
        if trial.model != model:
            self._forget()
            return None
        del self._earlier[0]
        self._written += 1
        self.seconds += trial.seconds
        return trial

    def add(self, trial: Evaluated) -> None:
        """Write a trial that was evaluated now."""
        self._append(
            {
                **trial._asdict(),
                "objectives": [float(value) for value in trial.objectives],
                "predictions": base64.b64encode(trial.predictions.astype("<u2").tobytes()).decode(),
            }
        )

    def end(self) -> None:
        """Remove the file: the search has ended by itself."""
        self._path.unlink(missing_ok=True)

    def _forget(self) -> None:
        """Cut off the trials that are not come to again."""
        self._earlier = []
        self._keep(self._written)

    def _keep(self, trials: int) -> None:
        """Cut the file behind its first trials: the last line may have been written in part."""
        lines = self._path.read_text().splitlines(keepends=True)
        write_atomically(self._path, "".join(lines[: 1 + trials]))

    def _append(self, line: Mapping[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")

    def _read(self) -> list[Evaluated]:
        """Return the trials in the file, up to the first that is damaged; none of another search."""
        try:
            with open_plain(self._path) as handle:  # of a longer file, the first trials count
                first, *lines = handle.read(LARGEST_JSON).splitlines()
            if parse_json(first) != {"search": self._digest}:
                return []
        except (OSError, ValueError):
            return []
        trials: list[Evaluated] = []
        for line in lines:
            try:
                stored = decode(parse_json(line), _Line)
                raw = base64.b64decode(stored["predictions"], validate=True)
                predictions = np.frombuffer(raw, "<u2").astype(np.uint16)
            except (Mistyped, ValueError):
                break
            if len(predictions) != self._images:
                break
            trials.append(
                Evaluated(
                    stored["model"],
                    stored["accuracy"],
                    stored["objectives"],
                    stored["seconds"],
                    stored["evaluation_seconds"],
                    predictions,
                )
            )
        if len(trials) < len(lines):  # what is added must follow the last whole one
            kept = [first, *lines[: len(trials)]]
            self._path.write_bytes(b"".join(line + b"\n" for line in kept))
        return trials


def digest_of_labels(labels: npt.NDArray[np.int64]) -> str:
    """Return the SHA-256 of labels."""
    return hashlib.sha256(np.asarray(labels, dtype="<i8").tobytes()).hexdigest()
