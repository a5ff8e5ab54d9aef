"""Verdicts and acknowledgements of a night, read from and written to its run's folder."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from harness.errors import HarnessError, InputError, proposal
from harness.facts.typed import Facts, Mistyped, Name, decode, plain
from harness.files import whole_files
from harness.files.reading import read_struct
from harness.nightly import nightly_report
from harness.nightly.entry import Change, NightEntry, bare_entry, opened_by
from harness.nightly.memory.database import NAME, Damaged, History, opened
from harness.nightly.memory.kept_rows import keep_rows, read_entry
from harness.nightly.night import UNFINISHED, WAKING, MeasuredShift, Night, Regression, listed_as
from harness.nightly.notices.issue_text import to_issue
from harness.nightly.verdict import BATCH, Key
from harness.storage.store import NIGHT, RunFolder
from harness.table.metrics import TOP1, TOP5

MARKDOWN, JUNIT, ISSUE = "nightly.md", "nightly.junit.xml", "nightly.issue.md"
ACKNOWLEDGED = "acknowledged.json"
ALL = "all"
NOTABLE = ("regression", "improvement", "change")  # kinds that can be acknowledged
T = TypeVar("T")


class JudgedRow(Struct, frozen=True):
    """A verdict on a metric of a row.

    Attributes:
        estimate: of accuracies, the points gained; of others, the ratio to the baseline's.
    """

    method: Name
    metric: str
    kind: str
    estimate: float | None = None
    threshold: float | None = None
    gap: str | None = None

    @property
    def change(self) -> Change | None:
        """How the row changed without being worse or better; None if it did not.

        What only the machine can have changed is called a change, however large it is.
        """
        if self.gap == "machine":
            return "machine"
        if self.kind != "change":
            return None
        return "machine" if self._matters else "small"

    @property
    def _matters(self) -> bool:
        if self.estimate is None or self.threshold is None:
            return False
        if self.metric in (TOP1.name, TOP5.name):
            return abs(self.estimate) >= self.threshold
        return self.estimate > 0 and abs(math.log(self.estimate)) >= math.log1p(self.threshold)


class Shift(Struct, frozen=True):
    """A lasting shift that was found for a row, since a run, and whether it was measured again.

    Attributes:
        controlled: whether it is one beside the other methods of the same nights.
    """

    method: Name
    since: str = ""
    ratio: float = 1.0
    tested: bool = False
    controlled: bool = False


class Stored(Struct, frozen=True):
    """What is read of a night's verdicts (``nightly_report.to_json``)."""

    verdict: str
    rows: list[JudgedRow]
    shifts: list[Shift]
    open: list[Regression] = []
    schema: int = 1

    @property
    def is_final(self) -> bool:
        """Whether the night was judged and not stopped."""
        return self.verdict not in UNFINISHED

    @property
    def has_verdicts(self) -> bool:
        """Whether rows were judged, or the verdict is final without any."""
        return bool(self.rows) or self.is_final


class Acknowledgement(Facts, frozen=True, kw_only=True):
    """Why a shift is accepted; ``*`` as ``method`` or ``metric`` is any, of an earlier version."""

    method: str
    metric: str
    reason: str
    when: str = ""


def with_verdict(entry: NightEntry, folder: RunFolder) -> NightEntry:
    """Return an entry with the verdict and the acknowledgements in its run's folder.

    Raises:
        HarnessError: a file is damaged.
    """
    return _judged(entry, stored_verdicts(folder), _acknowledgements(folder))


def _judged(
    entry: NightEntry, verdicts: Stored | None, listed: Sequence[Acknowledgement]
) -> NightEntry:
    if verdicts is not None:
        regressions, improved = (
            frozenset(
                (row.method, row.metric)
                for row in verdicts.rows
                if row.kind == kind and verdicts.is_final
            )
            for kind in ("regression", "improvement")
        )
        entry = replace(
            entry,
            verdict=verdicts.verdict,
            shifted=frozenset(
                MeasuredShift(s.method, s.since, s.ratio, s.controlled)
                for s in verdicts.shifts
                if s.tested and 0 < s.ratio < math.inf
            ),
            regressions=regressions,
            improved=improved,
            changed={
                (row.method, row.metric): row.change
                for row in verdicts.rows
                if row.change is not None and verdicts.is_final
            },
        )
        has_open = verdicts.schema >= nightly_report.KEEPS_OPEN
        entry = replace(entry, open=tuple(verdicts.open) if has_open else opened_by(entry))
    if listed:
        reasons = {(row.method, row.metric): row.reason for row in listed}
        entry = replace(entry, acknowledged=reasons)
    return entry


def _read(path: Path, kind: type[T], what: str) -> T:
    try:
        return decode(whole_files.load_json(path), kind)
    except Mistyped as error:
        raise HarnessError(f"{path} is no {what} ({error}): restore or delete it") from None


def stored_verdicts(folder: RunFolder) -> Stored | None:
    """Return the verdicts in a night's folder; None if there are none.

    Raises:
        HarnessError: the file is damaged.
    """
    if not folder.is_night:
        return None
    path = folder.path / NIGHT
    return read_struct(path, Stored) or _read(path, Stored, "night")


def _acknowledgements(folder: RunFolder) -> list[Acknowledgement]:
    path = folder.path / ACKNOWLEDGED
    return _read(path, list[Acknowledgement], "list of acknowledgements") if path.is_file() else []


def _entry_of(folder: RunFolder) -> NightEntry:
    """Return the entry of a night with its verdict, from its folder; without rows if it has none."""
    stored = stored_verdicts(folder)
    has_rows = stored is None or stored.has_verdicts
    entry = read_entry(folder) if has_rows else bare_entry(folder)
    return _judged(entry, stored, _acknowledgements(folder))


def publish(night: Night, entry: NightEntry, folder: RunFolder, results: Path) -> None:
    """Write a night's verdict into its run's folder and into the history."""
    whole_files.write_json(folder.path / NIGHT, nightly_report.to_json(night))
    whole_files.write_atomically(folder.path / JUNIT, nightly_report.to_junit(night))
    whole_files.write_atomically(folder.path / MARKDOWN, nightly_report.to_markdown(night))
    if night.verdict in WAKING:
        whole_files.write_atomically(folder.path / ISSUE, to_issue(night))
    else:  # of the night before it went on
        (folder.path / ISSUE).unlink(missing_ok=True)
    if entry.rows:
        keep_rows(folder, entry)
    with opened(results) as history:
        history.save(with_verdict(entry, folder))


def acknowledge(
    folder: RunFolder, method: str, metric: str, reason: str
) -> tuple[NightEntry, list[Key]]:
    """Record in a run's folder that shifts of it are accepted.

    Args:
        method: of the row; ``ALL`` for every row with a shift; empty where the run has one only.
        metric: the same of the metric; ``ALL`` for each that shifted.

    Returns:
        the run's entry, and the rows that were acknowledged.

    Raises:
        InputError: there is nothing to acknowledge, or more than one row and none is named; the run
            has no such method, was not judged, or no reason is given.
    """
    folder.require_own("no night here is compared with it; ./run.sh history lists those that are")
    entry = _entry_of(folder)
    if not reason.strip():
        raise InputError("reason= is empty: say why the shift is accepted")
    if entry.verdict is None:
        raise InputError(
            f"run {folder.id} is no judged night: name one that ./run.sh history lists"
        )
    if not entry.is_judged:
        raise InputError(
            f"run {folder.id} was stopped, and its verdict is not final: ./run.sh nightly "
            f"run.id={folder.id} goes on with it"
        )
    shifted = notable(folder)
    # the row of an open regression may not be measured any more
    methods = list(dict.fromkeys([*(row.method for row in entry.rows), *(m for m, _ in shifted)]))
    if method not in ("", ALL, *methods):
        rows, near = ", ".join(methods), proposal(method, methods)
        raise InputError(
            f"method={method}: run {folder.id} has {rows}{near}; method=all is every shift"
        )
    open_ = [key for key in shifted if not entry.acknowledges(*key)]
    chosen = [key for key in open_ if method in ("", ALL, key[0]) and metric in ("", ALL, key[1])]
    listed = "; ".join(" ".join(key) for key in open_)
    if not chosen:
        named = " ".join(each for each in (method, metric) if each not in ("", ALL))
        known_all = (
            "; all of it is acknowledged"
            if shifted
            else f"; its verdict is: {listed_as(entry.verdict)}"
        )
        rest = f", only {listed}" if open_ else known_all
        raise InputError(
            f"run {folder.id} has nothing to acknowledge{f' of {named}' * bool(named)}{rest}"
        )
    if not method and len({key[0] for key in chosen}) > 1:
        raise InputError(
            f"run {folder.id} has shifts of more than one row ({listed}): name one with method=, or "
            "give method=all"
        )
    others = [row for row in _acknowledgements(folder) if (row.method, row.metric) not in chosen]
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    new = [
        Acknowledgement(method=method, metric=metric, reason=reason.strip(), when=when)
        for method, metric in chosen
    ]
    whole_files.write_json(folder.path / ACKNOWLEDGED, plain([*others, *new]))
    return with_verdict(entry, folder), chosen


def notable(folder: RunFolder) -> list[Key]:
    """Return the rows of a night that differ from earlier nights: what can be acknowledged.

    Also times that later nights found to have shifted for good since this one.
    """
    night = _read(folder.path / NIGHT, Stored, "night")
    keys = [(row.method, row.metric) for row in night.rows if row.kind in NOTABLE]
    keys += [regression.key for regression in night.open]
    for path in sorted(folder.path.parent.glob(f"*/{NIGHT}")):
        with suppress(HarnessError):  # another night's file may be damaged
            shifts = _read(path, Stored, "night").shifts
            keys += [(shift.method, BATCH.name) for shift in shifts if shift.since == folder.id]
    return list(dict.fromkeys(keys))


def is_own(entry: NightEntry, results: Path) -> bool:
    """Return whether a night was measured here; also true if its folder is gone or damaged.

    The verdict of an imported run is none of this machine.
    """
    try:
        return not RunFolder(results / entry.folder).is_imported
    except HarnessError:
        return True


def rebuild(history: History, results: Path) -> tuple[set[tuple[str, str]], list[str]]:
    """Save every judged run under ``results`` in the history, without imported ones.

    Returns:
        machine and run of each that was saved, and a message for each that could not be read.
    """
    saved, unreadable = set(), []
    with history.writing():  # once: a disk takes longer for a transaction than for a night
        for folder in _night_folders(results):
            try:
                if folder.is_imported:
                    continue
                entry = _entry_of(folder)
                history.save(entry)
            except (HarnessError, OSError, ValueError, KeyError, TypeError) as error:
                unreadable.append(f"{folder.path}: {error}")
            else:
                saved.add((entry.machine, entry.run))
    return saved, unreadable


def rebuilt(results: Path) -> Iterator[str]:
    """Save all judged runs under ``results`` again; yield what was done and what cannot be read."""
    try:
        with opened(results) as history:
            saved, unreadable = rebuild(history, results)
            for machine in history.machines():  # those without a folder, above all
                history.require_readable(machine, {run for of, run in saved if of == machine})
    except Damaged:
        aside = _free_name(results)
        (results / NAME).replace(aside)
        (results / f"{NAME}-journal").unlink(missing_ok=True)
        yield f"{NAME} is damaged: it is {aside.name} now, and nights without a folder are there alone"
        with opened(results) as history:
            saved, unreadable = rebuild(history, results)
    yield f"{len(saved)} nights read from {results}"
    yield from (f"left out: {line}" for line in unreadable)


def _free_name(results: Path) -> Path:
    """Return a name for a damaged history: an earlier one may hold nights that this one lost."""
    names = (f"{NAME}.damaged{number or ''}" for number in itertools.count())
    return next(results / name for name in names if not (results / name).exists())


def _night_folders(results: Path) -> Iterable[RunFolder]:
    return (RunFolder(path.parent) for path in sorted(results.glob(f"*/*/{NIGHT}")))
