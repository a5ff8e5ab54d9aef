"""The history of nights: one SQLite file beside the runs.

SQLite, since it is in Python's standard library, one file holds years of nights (about 20 kB a row of
10,000 images and 20 rounds), and its locks let two runs that end at once both write. The rollback
journal rather than the write-ahead log: results are often on a network file system, where that fails.
Where a file system has no record locks at all, a lock of ours is held as long as the database is
open (``harness/files/locks.py``), and SQLite is told to take none.
The records stay the truth: ``rebuild`` makes the file again from the run folders, and keeps what it
has of runs whose folders are gone.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.errors import HarnessError, InputError
from harness.files import locks
from harness.files.reading import Unreadable, open_plain
from harness.nightly.entry import NightEntry, NightRow, compute_timings
from harness.nightly.memory.cells import (
    ROW_COLUMNS,
    RUN_COLUMNS,
    Answers,
    changes_of,
    folder_of,
    keys,
    name_of,
    object_of,
    row_cells,
    row_of,
    run_cells,
    shifts_of,
    text_of,
    with_open,
)
from harness.nightly.memory.schema import WrongContent, migrate

NAME = "history.sqlite"
PATIENCE_S = 600.0  # how long a writer waits for another
WHOLE = ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",))
NESTED = ("SAVEPOINT one", "RELEASE one", ("ROLLBACK TO one", "RELEASE one"))


class Damaged(HarnessError):
    """The file is no valid SQLite database, or holds something else than nights."""


class History:
    """An open history."""

    def __init__(self, connection: sqlite3.Connection, is_new: bool = False) -> None:
        self._connection = connection
        self.is_new = is_new  # it may have been lost: the records know more

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Write in one transaction; one inside another is part of it, and is undone alone."""
        begin, end, undo = NESTED if self._connection.in_transaction else WHOLE
        self._connection.execute(begin)
        try:
            yield self._connection
            self._connection.execute(end)
        except BaseException:
            if self._connection.in_transaction:  # SQLite may have undone it by itself
                for statement in undo:
                    self._connection.execute(statement)
            raise

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Read what one moment had, whatever others write meanwhile."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")

    def save(self, entry: NightEntry) -> None:
        """Insert a run or replace it, in one transaction; write nothing where it is as it was."""
        key, cells = (entry.machine, entry.run), run_cells(entry)
        rows = [row_cells(row) for row in entry.rows]
        with self.writing() as writing:
            if self._stored(*key) == (cells, rows):
                return
            writing.execute("DELETE FROM runs WHERE machine=? AND run=?", key)
            _insert(writing, "runs", ("machine", "run", *RUN_COLUMNS), [(*key, *cells)])
            numbered = [(*key, position, *row) for position, row in enumerate(rows)]
            _insert(writing, "rows", ("machine", "run", "position", *ROW_COLUMNS), numbered)

    def _stored(self, machine: str, run: str) -> tuple[Any, list[tuple[Any, ...]]]:
        """Return the cells of a run and of its rows; None for those of a run that is not there."""
        runs = self._connection.execute(
            f"SELECT {', '.join(RUN_COLUMNS)} FROM runs WHERE machine=? AND run=?", (machine, run)
        )
        try:
            return runs.fetchone(), self._stored_rows(machine, run)
        except UnicodeDecodeError:  # damaged
            return None, []

    def _stored_rows(self, machine: str, run: str) -> list[tuple[Any, ...]]:
        rows = self._connection.execute(
            f"SELECT {', '.join(ROW_COLUMNS)} FROM rows WHERE machine=? AND run=? ORDER BY position",
            (machine, run),
        )
        return rows.fetchall()

    def load(
        self,
        machine: str,
        with_rows: bool = True,
        known: Mapping[str, tuple[NightRow, ...]] | None = None,
    ) -> list[NightEntry]:
        """Return a machine's runs, oldest first.

        Args:
            with_rows: False leaves out the rows, which are nearly all of the file.
            known: rows by run that need not be read.
        """
        try:
            with self._reading():
                rows = self._rows(machine, known or {}) if with_rows else {}
                return self._entries(machine, rows)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            said = " ".join(str(error).split())[:200]
            raise WrongContent(f"{type(error).__name__}: {said}") from None

    def require_readable(self, machine: str, besides: Set[str]) -> None:
        """Read a machine's runs besides some, to see whether they are damaged."""
        if self._runs(machine) - besides:
            self.load(machine, known=dict.fromkeys(besides, ()))

    def _runs(self, machine: str) -> set[str]:
        rows = self._connection.execute("SELECT run FROM runs WHERE machine=?", (machine,))
        return {run for (run,) in rows}

    def _rows(
        self, machine: str, known: Mapping[str, tuple[NightRow, ...]]
    ) -> dict[str, tuple[NightRow, ...]]:
        """Return the rows of a machine by run."""
        answers: Answers = {}
        loaded = {
            run: tuple(row_of(answers, *cells) for cells in self._stored_rows(machine, run))
            for run in sorted(self._runs(machine) - known.keys())
        }
        compute_timings(row for rows in loaded.values() for row in rows)
        return {**known, **loaded}

    def _entries(self, machine: str, rows: Mapping[str, tuple[NightRow, ...]]) -> list[NightEntry]:
        objects = cache(object_of)  # most nights say the same
        runs = self._connection.execute(
            f"SELECT run, {', '.join(RUN_COLUMNS)} FROM runs WHERE machine=? ORDER BY created, run",
            (machine,),
        )
        return [
            with_open(
                NightEntry(
                    machine,
                    text_of(run),
                    text_of(created),
                    folder_of(folder),
                    objects(alike),
                    objects(environment),
                    rows.get(run, ()),
                    None if verdict is None else text_of(verdict),
                    shifts_of(shifted),
                    keys(regressions),
                    {
                        (text_of(method), text_of(metric)): text_of(reason)
                        for method, metric, reason in json.loads(known)
                    },
                    keys(improved),
                    changed=changes_of(changed),
                    trusts_disturbed=bool(trusts_disturbed),
                    compared_with=int(compared_with),
                ),
                open_,
            )
            for (
                run,
                created,
                folder,
                alike,
                environment,
                verdict,
                shifted,
                regressions,
                known,
                improved,
                open_,
                changed,
                trusts_disturbed,
                compared_with,
            ) in runs
        ]

    def machines(self) -> list[str]:
        """Return the machines that have runs."""
        rows = self._connection.execute("SELECT DISTINCT machine FROM runs ORDER BY machine")
        try:
            return [name_of(machine) for (machine,) in rows]
        except ValueError as error:
            raise WrongContent(f"a machine: {error}") from None


@contextmanager
def opened(results: Path) -> Iterator[History]:
    """Open the history of a results folder; create or migrate it if necessary.

    Raises:
        HarnessError: the file is damaged (``Damaged``), of a later version, or locked for too long.
        InputError: it cannot be made there.
    """
    path = results / NAME
    try:
        results.mkdir(parents=True, exist_ok=True)
        _require_plain(path)
        with _connected(path) as connection:
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA trusted_schema=OFF")
            version = migrate(connection, path)
            yield History(connection, is_new=version == 0)
    except OSError as error:
        raise InputError(
            f"{path} cannot be made ({error.strerror}): change its permissions or give run.results=DIR"
        ) from None
    except WrongContent as error:
        raise Damaged(_remade(path, str(error))) from None
    except sqlite3.OperationalError as error:
        advice = "wait for whoever writes it" if "locked" in str(error) else "is it writable?"
        raise HarnessError(f"{path}: {error}; {advice}") from None
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # damaged names
        raise Damaged(_remade(path, str(error))) from None


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    """Connect to the database. Where SQLite's own locks do not work, one lock replaces them."""
    with ExitStack() as stack:
        name = quote(os.fsencode(path.resolve()))
        address = f"file:{name}?mode=rwc"
        if not locks.has_record_locks(path.parent):
            stack.enter_context(locks.held(path.with_suffix(".lock")))
            address += "&nolock=1"
        connection = sqlite3.connect(address, PATIENCE_S, isolation_level=None, uri=True)
        connection.text_factory = bytes.decode  # else text that is damaged is an OperationalError
        yield stack.enter_context(closing(connection))


def _insert(
    writing: sqlite3.Connection,
    table: str,
    columns: Sequence[str],
    cells: Sequence[tuple[Any, ...]],
) -> None:
    marks = ", ".join("?" * len(columns))
    writing.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", cells)


def _require_plain(path: Path) -> None:
    """Refuse a file that SQLite would wait for (a pipe), or a link that it would follow."""
    try:
        open_plain(path).close()
    except FileNotFoundError:
        pass
    except Unreadable as error:
        raise InputError(
            f"{path} is not the history ({error}): move it away; ./run.sh history rebuild=true makes the "
            "history again from the records"
        ) from None


def _remade(path: Path, why: str) -> str:
    return (
        f"{path} is damaged ({why}): ./run.sh history rebuild=true sets it aside and makes it again "
        "from the records"
    )
