"""What is kept of one row: raw facts only. Accuracies, losses and speedups are derived from them.

Schema history:
    1  outcome, optimize, validate
    2  profile; validate has the parts of the validation time and its conditions; rounds apart;
       later also, where it may be missing: macs in the rows of a profile; roof apart; history,
       and for a while snapshot, the digest of a history that is read no longer
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import HarnessError
from harness.storage import facts as forms
from harness.storage import form
from harness.storage.outcomes import FINISHED, NO_SOLUTION

SCHEMA = 2
GONE = "snapshot"  # a key of a row's record that nothing reads any longer
RECORDS = "records"  # folders in that of the run
ROUNDS = "rounds"


@dataclass(frozen=True)
class Outcome:
    """How a row ended.

    Attributes:
        kind: one of ``outcomes.KINDS``.
        reason: one line on why, for all but ok.
        log: the log to read, relative to the run's folder.
        trials: how many tuning trials a search without a solution made.
    """

    kind: str
    reason: str | None = None
    log: str | None = None
    trials: int | None = None

    @property
    def finished(self) -> bool:
        return self.kind in FINISHED

    def __str__(self) -> str:
        if self.kind == NO_SOLUTION:
            return f"no solution in {self.trials} trials"
        return self.kind if self.reason is None else f"{self.kind}: {self.reason}"


@dataclass(frozen=True)
class MethodRecord:
    """One row's record; ``optimize``, ``validate`` and ``profile`` are what those stages returned.

    Each stage's facts also hold ``seconds`` and ``peak_rss_bytes`` of its process. A stage that
    did not end well, or was left out, is None. ``history`` is the file, with its digest, of the tuning
    history that the search left, even one without a solution; None if there was no search, or if it
    was made before there was such a file.
    """

    run: str
    method: str
    label: str
    position: int
    outcome: Outcome
    optimize: dict[str, Any] | None = None
    validate: dict[str, Any] | None = None
    profile: dict[str, Any] | None = None
    history: dict[str, Any] | None = None
    schema: int = SCHEMA

    @property
    def path(self) -> str:
        """Where it is, in the run's folder."""
        return f"{RECORDS}/{self.position:02d}_{self.method}.json"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], path: Path) -> MethodRecord:
        """Return the record of a JSON object read from ``path``.

        Raises:
            HarnessError: its schema is unknown, or a field is missing or is not what it should be.
        """
        if isinstance(stored, Mapping):
            stored = {key: value for key, value in stored.items() if key != GONE}
        return _restored(cls, stored, path, "method record", forms.METHOD, forms.inconsistent_row)


@dataclass(frozen=True)
class RoundRecord:
    """One method timed in one round; a disturbed one is followed by another attempt.

    Attributes:
        round: from 1.
        attempt: from 1.
        facts: what the stage ``measure`` returned, with ``seconds`` and ``peak_rss_bytes`` of its
            process; None if it did not end well.
    """

    run: str
    method: str
    round: int
    attempt: int
    outcome: Outcome
    facts: dict[str, Any] | None = None
    schema: int = SCHEMA

    @property
    def path(self) -> str:
        """Where it is, in the run's folder."""
        return f"{ROUNDS}/{self.round:03d}_{self.method}_{self.attempt}.json"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], path: Path) -> RoundRecord:
        """Return the record of a JSON object read from ``path``.

        Raises:
            HarnessError: its schema is unknown, or a field is missing or is not what it should be.
        """
        return _restored(cls, stored, path, "round record", forms.ROUND, forms.inconsistent_round)

    @property
    def disturbed(self) -> list[dict[str, Any]]:
        """What disturbed it: kind, value, limit and advice of each."""
        return [
            found for part in (self.facts or {}).get("timed", ()) for found in part["disturbed"]
        ]


@dataclass(frozen=True)
class RoofRecord:
    """How fast oneDNN is on the machine of the run (``protocol.roof``).

    Attributes:
        facts: what the stage ``roof`` returned, with ``seconds`` and ``peak_rss_bytes`` of its
            process; None if it did not end well.
    """

    run: str
    outcome: Outcome
    facts: dict[str, Any] | None = None
    schema: int = SCHEMA

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], path: Path) -> RoofRecord:
        """Return the record of a JSON object read from ``path``.

        Raises:
            HarnessError: its schema is unknown, or a field is missing or is not what it should be.
        """
        return _restored(cls, stored, path, "roof record", forms.ROOF, forms.inconsistent_roof)


R = TypeVar("R", MethodRecord, RoundRecord, RoofRecord)


def _restored(
    cls: type[R],
    stored: Mapping[str, Any],
    path: Path,
    what: str,
    expected: Mapping[str, Any],
    inconsistent: Callable[[Mapping[str, Any]], str | None],
) -> R:
    schema = stored.get("schema") if isinstance(stored, Mapping) else None
    if schema != SCHEMA:
        raise HarnessError(
            f"{path} has record schema {schema}, this version reads {SCHEMA}: use the version "
            "that wrote it"
        )
    wrong = form.wrong(stored, expected) or inconsistent(stored)
    if wrong is not None:
        raise HarnessError(f"{path} is no {what} ({wrong}): restore or delete it")
    try:
        return cls(**{**stored, "outcome": Outcome(**stored["outcome"])})
    except (TypeError, KeyError) as error:
        raise HarnessError(f"{path} is no {what} ({error}): restore or delete it") from None
