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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.errors import HarnessError, InputError
from harness.files import locks
from harness.files.reading import Unreadable, open_plain
from harness.nightly.entry import COMPARED_WITH, NightEntry, NightRow, compute_timings
from harness.nightly.memory.cells import (
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

NAME = "history.sqlite"
PATIENCE_S = 600.0  # how long a writer waits for another
WHOLE = ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",))
NESTED = ("SAVEPOINT one", "RELEASE one", ("ROLLBACK TO one", "RELEASE one"))
MIGRATIONS = (  # entry k takes the schema from version k to k + 1
    """
    CREATE TABLE runs (
        machine TEXT NOT NULL, run TEXT NOT NULL, created TEXT NOT NULL, folder TEXT NOT NULL,
        alike TEXT NOT NULL, environment TEXT NOT NULL, verdict TEXT, shifted TEXT NOT NULL,
        regressions TEXT NOT NULL, acknowledged TEXT NOT NULL, PRIMARY KEY (machine, run)
    );
    CREATE TABLE rows (
        machine TEXT NOT NULL, run TEXT NOT NULL, position INTEGER NOT NULL, method TEXT NOT NULL,
        label TEXT NOT NULL, outcome TEXT NOT NULL, cost_s REAL, model TEXT,
        rounds INTEGER, times BLOB, images INTEGER, correct BLOB,
        PRIMARY KEY (machine, run, method),
        FOREIGN KEY (machine, run) REFERENCES runs ON DELETE CASCADE
    );
    CREATE INDEX by_time ON runs (machine, created);
    """,
    "ALTER TABLE rows ADD COLUMN disturbed INTEGER",
    "ALTER TABLE runs ADD COLUMN improved TEXT NOT NULL DEFAULT '[]';"
    "ALTER TABLE runs ADD COLUMN open TEXT",  # none where a version wrote it that kept no state
    "ALTER TABLE runs ADD COLUMN changed TEXT NOT NULL DEFAULT '[]';"
    "ALTER TABLE runs ADD COLUMN trusts_disturbed INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE rows ADD COLUMN optimize_mb REAL;ALTER TABLE rows ADD COLUMN validate_mb REAL",
    f"ALTER TABLE runs ADD COLUMN compared_with INTEGER NOT NULL DEFAULT {COMPARED_WITH}",
)


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

    def save(self, entry: NightEntry) -> None:
        """Insert a run or replace it, in one transaction; write nothing where it is as it was."""
        run, rows = run_cells(entry), [row_cells(row) for row in entry.rows]
        key = entry.machine, entry.run
        if self._stored(*key) == ((*key, *run), rows):
            return
        with self.writing() as writing:
            writing.execute("DELETE FROM runs WHERE machine=? AND run=?", key)
            writing.execute("INSERT INTO runs VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", (*key, *run))
            writing.executemany(
                "INSERT INTO rows VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                [(*key, position, *cells) for position, cells in enumerate(rows)],
            )

    def _stored(self, machine: str, run: str) -> tuple[Any, list[tuple[Any, ...]]]:
        """Return the cells of a run, None if there is none, and those of its rows."""
        runs = self._connection.execute(
            "SELECT * FROM runs WHERE machine=? AND run=?", (machine, run)
        )
        return runs.fetchone(), self._row_cells(machine, run)

    def _row_cells(self, machine: str, run: str) -> list[tuple[Any, ...]]:
        rows = self._connection.execute(
            "SELECT method, label, outcome, cost_s, model, rounds, times, images, correct,"
            " disturbed, optimize_mb, validate_mb FROM rows WHERE machine=? AND run=?"
            " ORDER BY position",
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
            return self._entries(machine, self._rows(machine, known or {}) if with_rows else {})
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            said = " ".join(str(error).split())[:200]
            raise _Wrong(f"{type(error).__name__}: {said}") from None

    def runs(self, machine: str) -> set[str]:
        """Return the ids of a machine's runs."""
        rows = self._connection.execute("SELECT run FROM runs WHERE machine=?", (machine,))
        return {run for (run,) in rows}

    def _rows(
        self, machine: str, known: Mapping[str, tuple[NightRow, ...]]
    ) -> dict[str, tuple[NightRow, ...]]:
        """Return the rows of a machine by run."""
        answers: Answers = {}
        loaded = {
            run: tuple(row_of(answers, *cells) for cells in self._row_cells(machine, run))
            for run in self.runs(machine) - known.keys()
        }
        compute_timings(row for rows in loaded.values() for row in rows)
        return {**known, **loaded}

    def _entries(self, machine: str, rows: Mapping[str, tuple[NightRow, ...]]) -> list[NightEntry]:
        objects = cache(object_of)  # most nights say the same
        runs = self._connection.execute(
            "SELECT run, created, folder, alike, environment, verdict, shifted, regressions,"
            " acknowledged, improved, open, changed, trusts_disturbed, compared_with FROM runs"
            " WHERE machine=? ORDER BY created, run",
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
            raise _Wrong(f"a machine: {error}") from None


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
            version = _migrate(connection, path)
            _require_own_schema(connection, len(MIGRATIONS))
            yield History(connection, is_new=version == 0)
    except OSError as error:
        raise InputError(
            f"{path} cannot be made ({error.strerror}): change its permissions or give run.results=DIR"
        ) from None
    except _Wrong as error:
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
        yield stack.enter_context(closing(connection))


class _Wrong(Exception):
    """The database has unexpected content."""


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


def _schema(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    """Return the parts of the database: type, name, table and the statement that made it."""
    return set(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


def _own_schema(version: int) -> set[tuple[str, ...]]:
    """Return the schema of a history of a version: a foreign one may hold endless views."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _apply(connection, MIGRATIONS[:version])
        return _schema(connection)


def _require_own_schema(connection: sqlite3.Connection, version: int) -> None:
    if _schema(connection) != _own_schema(version):
        raise _Wrong("its tables are not those that this program makes")


def _apply(connection: sqlite3.Connection, migrations: Iterable[str]) -> None:
    for script in migrations:
        for statement in filter(str.strip, script.split(";")):
            connection.execute(statement)


def _remade(path: Path, why: str) -> str:
    return (
        f"{path} is damaged ({why}): ./run.sh history rebuild=true sets it aside and makes it again "
        "from the records"
    )


def _migrate(connection: sqlite3.Connection, path: Path) -> int:
    """Bring the schema up to date and return the version that it had; 0 for a new file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == len(MIGRATIONS):
        return int(version)
    with connection:
        connection.execute("BEGIN IMMEDIATE")  # another process may migrate it just now
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise HarnessError(
                f"{path} has schema {version}, this version reads {len(MIGRATIONS)}: use the version "
                "that wrote it, or move it away and give ./run.sh history rebuild=true"
            )
        _require_own_schema(connection, version)
        _apply(connection, MIGRATIONS[version:])
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
    return int(version)
