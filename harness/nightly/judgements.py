"""Verdicts and acknowledgements of a night, read from and written to its run's folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from harness.errors import HarnessError, InputError
from harness.facts.typed import Facts, Mistyped, Name, decode, plain
from harness.files import whole_files
from harness.nightly.database import NAME, Damaged, History, opened
from harness.nightly.entry import NightEntry, build_entry
from harness.storage.store import RunFolder

NIGHT = "nightly.json"
ACKNOWLEDGED = "acknowledged.json"
ANY = "*"
T = TypeVar("T")


class JudgedRow(Struct, frozen=True):
    """A verdict on a metric of a row."""

    method: Name
    metric: str
    kind: str


class Shift(Struct, frozen=True):
    """A lasting shift that was found for a row."""

    method: Name


class Night(Struct, frozen=True):
    """What is read of a night's verdicts (``nightly_report.to_json``)."""

    verdict: str
    rows: list[JudgedRow]
    shifts: list[Shift]


class Acknowledgement(Facts, frozen=True, kw_only=True):
    """Why a shift is accepted; ``method`` and ``metric`` may be ``ANY``."""

    method: str
    metric: str
    reason: str
    when: str = ""


def with_verdict(entry: NightEntry, folder: RunFolder) -> NightEntry:
    """Return an entry with the verdict and the acknowledgements in its run's folder.

    Raises:
        HarnessError: a file is damaged.
    """
    night, known = folder.path / NIGHT, folder.path / ACKNOWLEDGED
    if night.is_file():
        verdicts = _read(night, Night, "night")
        entry = replace(
            entry,
            verdict=verdicts.verdict,
            shifted=frozenset(shift.method for shift in verdicts.shifts),
            regressions=frozenset(
                (row.method, row.metric) for row in verdicts.rows if row.kind == "regression"
            ),
        )
    if known.is_file():
        listed = _read(known, list[Acknowledgement], "list of acknowledgements")
        reasons = {(row.method, row.metric): row.reason for row in listed}
        entry = replace(entry, acknowledged=reasons)
    return entry


def _read(path: Path, kind: type[T], what: str) -> T:
    try:
        return decode(whole_files.load_json(path), kind)
    except Mistyped as error:
        raise HarnessError(f"{path} is no {what} ({error}): restore or delete it") from None


def acknowledge(folder: RunFolder, method: str, metric: str, reason: str) -> NightEntry:
    """Record in a run's folder that its shift is accepted, and return its entry.

    Args:
        method, metric: of the row, or ``ANY``.

    Raises:
        InputError: the run has no such method, was not judged, or no reason is given.
    """
    folder.require_own("no night here is compared with it; ./run.sh history lists those that are")
    entry = with_verdict(build_entry(folder), folder)
    if not reason.strip():
        raise InputError("reason= is empty: say why the shift is accepted")
    if entry.verdict is None:
        raise InputError(
            f"run {folder.id} is no judged night: name one that ./run.sh history lists"
        )
    if method != ANY and entry.row(method) is None:
        rows = ", ".join(row.method for row in entry.rows)
        raise InputError(f"method={method}: run {folder.id} has {rows}")
    path = folder.path / ACKNOWLEDGED
    known = _read(path, list[Acknowledgement], "list of acknowledgements") if path.is_file() else []
    others = [row for row in known if (row.method, row.metric) != (method, metric)]
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    new = Acknowledgement(method=method, metric=metric, reason=reason.strip(), when=when)
    whole_files.write_json(path, plain([*others, new]))
    return with_verdict(entry, folder)


def is_own(entry: NightEntry, results: Path) -> bool:
    """Return whether a night was measured here; also true if its folder is gone or damaged.

    The verdict of an imported run is none of this machine.
    """
    try:
        return not RunFolder(results / entry.folder).is_imported
    except HarnessError:
        return True


def rebuild(history: History, results: Path) -> tuple[int, list[str]]:
    """Save every judged run under ``results`` in the history, without imported ones.

    Returns:
        how many were saved, and a message for each that could not be read.
    """
    saved, unreadable = 0, []
    for folder in _night_folders(results):
        try:
            if folder.is_imported:
                continue
            history.save(with_verdict(build_entry(folder), folder))
        except (HarnessError, OSError, ValueError, KeyError, TypeError) as error:
            unreadable.append(f"{folder.path}: {error}")
        else:
            saved += 1
    return saved, unreadable


def rebuilt(results: Path) -> Iterator[str]:
    """Save all judged runs under ``results`` again; yield what was done and what cannot be read."""
    try:
        with opened(results) as history:
            saved, unreadable = rebuild(history, results)
            for machine in history.machines():
                history.load(machine)  # what it keeps of runs whose folders are gone may be damaged
    except Damaged:
        (results / NAME).replace(results / f"{NAME}.damaged")
        (results / f"{NAME}-journal").unlink(missing_ok=True)
        yield f"{NAME} is damaged: it is {NAME}.damaged now"
        with opened(results) as history:
            saved, unreadable = rebuild(history, results)
    yield f"{saved} nights read from {results}"
    yield from (f"left out: {line}" for line in unreadable)


def _night_folders(results: Path) -> Iterable[RunFolder]:
    return (RunFolder(path.parent) for path in sorted(results.glob(f"*/*/{NIGHT}")))
