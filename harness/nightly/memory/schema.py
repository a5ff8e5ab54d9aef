"""The schema of the history's database, and how that of an earlier version becomes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from harness.errors import HarnessError
from harness.nightly.entry import COMPARED_WITH

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


class WrongContent(Exception):
    """The database holds something else than nights; the message says what."""


def migrate(connection: sqlite3.Connection, path: Path) -> int:
    """Bring the schema up to date and return the version that it had; 0 for a new file.

    Raises:
        WrongContent: its tables are not those of its version.
        HarnessError: it is of a later version.
    """
    version = _version(connection)
    if version != len(MIGRATIONS):
        with connection:
            connection.execute("BEGIN IMMEDIATE")  # another process may migrate it just now
            version = _version(connection)
            if version > len(MIGRATIONS):
                raise HarnessError(
                    f"{path} has schema {version}, this version reads {len(MIGRATIONS)}: use the "
                    "version that wrote it, or move it away and give ./run.sh history rebuild=true"
                )
            _require_own(connection, version)
            _apply(connection, MIGRATIONS[version:])
            connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
    _require_own(connection, len(MIGRATIONS))
    return version


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _schema(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    """Return the parts of the database: type, name, table and the statement that made it."""
    return set(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


def _own_schema(version: int) -> set[tuple[str, ...]]:
    """Return the schema of a history of a version: a foreign one may hold endless views."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _apply(connection, MIGRATIONS[:version])
        return _schema(connection)


def _require_own(connection: sqlite3.Connection, version: int) -> None:
    if _schema(connection) != _own_schema(version):
        raise WrongContent("its tables are not those that this program makes")


def _apply(connection: sqlite3.Connection, migrations: Iterable[str]) -> None:
    for script in migrations:
        for statement in filter(str.strip, script.split(";")):
            connection.execute(statement)
