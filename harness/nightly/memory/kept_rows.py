"""What the history keeps of a night, in one file of its folder.

A history is made again from this file, since a night has hundreds of records and a year of nights has too
many to read. It counts as long as the files that it was made from are as they were: by their names, sizes
and times of change, as git sees that a file was changed. Else the records are read.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import InputError
from harness.files.reading import Unreadable, read_plain
from harness.files.whole_files import write_atomically
from harness.nightly.entry import NightEntry, build_entry
from harness.nightly.memory.cells import ROW_COLUMNS, row_cells, row_of
from harness.storage.record import RECORDS, ROUNDS
from harness.storage.store import LABELS, METHODS, PLAN, PREDICTIONS, RunFolder

NAME = "nightly.rows"
VERSION = 2  # of what is kept: of ``alike``, ``environment`` and the rows
LARGEST = 1 << 28  # bytes; ten rows of 10,000 images in 20 rounds have 60 kB


class _Kept(msgspec.Struct, frozen=True):
    """The file's content; ``columns`` are those of the history's table of rows."""

    version: int
    columns: int
    sources: str
    created: str
    alike: dict[str, Any]
    environment: dict[str, Any]
    trusts_disturbed: bool
    compared_with: int
    rows: list[list[Any]]


def keep_rows(folder: RunFolder, entry: NightEntry) -> None:
    """Write what a night's records said into its folder; nothing where it may not be written."""
    kept = _Kept(
        VERSION,
        len(ROW_COLUMNS),
        _sources(folder.path),
        entry.created,
        entry.alike,
        entry.environment,
        entry.trusts_disturbed,
        entry.compared_with,
        [list(row_cells(row)) for row in entry.rows],
    )
    with suppress(InputError, UnicodeEncodeError):  # the latter: a text holds half a character
        write_atomically(folder.path / NAME, msgspec.msgpack.encode(kept))


def load_rows(folder: RunFolder) -> NightEntry | None:
    """Return a night's entry without its verdict; None where its records must be read."""
    try:
        kept = msgspec.msgpack.decode(read_plain(folder.path / NAME, LARGEST), type=_Kept)
        rows = tuple(row_of({}, *cells) for cells in kept.rows)
    except (OSError, Unreadable, msgspec.MsgspecError, ValueError, TypeError):
        return None
    known = (VERSION, len(ROW_COLUMNS), _sources(folder.path))
    if (kept.version, kept.columns, kept.sources) != known:
        return None
    return NightEntry(
        machine=folder.path.parent.name,
        run=folder.id,
        created=kept.created,
        folder=folder.address,
        alike=kept.alike,
        environment=kept.environment,
        trusts_disturbed=kept.trusts_disturbed,
        compared_with=kept.compared_with,
        rows=rows,
    )


def read_entry(folder: RunFolder) -> NightEntry:
    """Return a night's entry as ``build_entry``, and keep it in one file for the next time.

    Raises:
        HarnessError: as ``build_entry``.
    """
    entry = load_rows(folder)
    if entry is None:
        entry = build_entry(folder)
        keep_rows(folder, entry)
    return entry


def _sources(folder: Path) -> str:
    """Return a digest of the names, sizes and times of change of the files of a run's records."""
    names = [PLAN, LABELS, *_inside(folder, RECORDS), *_inside(folder, ROUNDS)]
    names += [f"{method}/{PREDICTIONS}" for method in _inside(folder, METHODS)]
    base = os.fspath(folder)  # some two hundred names a night: a text is joined faster than a path
    lines = []
    for name in names:
        try:
            facts = os.lstat(f"{base}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            continue
        lines.append(f"{name} {facts.st_size} {facts.st_mtime_ns}")
    content = "\n".join(sorted(lines)).encode("utf-8", "surrogateescape")
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _inside(folder: Path, part: str) -> list[str]:
    """Return what a folder of a run has, relative to the run's."""
    try:
        return [f"{part}/{name}" for name in os.listdir(folder / part)]
    except FileNotFoundError:
        return []
