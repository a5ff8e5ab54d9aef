"""Files of a run as its records name them: by path, size and digest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from harness.facts.typed import changed
from harness.files.reading import Unreadable, open_plain
from harness.files.whole_files import sha256_of, stream_sha256
from harness.storage.stage_facts import File


def is_intact(path: Path, file: File) -> bool:
    """Say whether a run's file is there, is a plain one and is what ``digest_of`` described."""
    try:
        with open_plain(path) as handle:
            return bool(stream_sha256(handle) == file.sha256)
    except (FileNotFoundError, NotADirectoryError, Unreadable):
        return False


def digest_of(path: Path, base: Path) -> File:
    """Return a file's path relative to ``base``, its size in bytes and its SHA-256."""
    return File(path=str(path.relative_to(base)), bytes=path.stat().st_size, sha256=sha256_of(path))


def found(path: Path) -> File | None:
    """Return a file as records beside it name it; None where it is not there."""
    return digest_of(path, path.parent) if path.is_file() else None


def share(file: File, folder: Path, others: Iterable[Path]) -> File:
    """Name a row's file by its digest, and have it be the same file as in other rows that have it.

    Args:
        file: of ``folder``.
        others: the rows' folders.

    Returns:
        the file under its new name.
    """
    path = folder / file.path
    named = changed(file, path=f"{path.stem}-{file.sha256[:16]}{path.suffix}")
    target = folder / named.path
    target.unlink(missing_ok=True)  # of an attempt that was interrupted
    for other in others:
        if is_intact(other / named.path, file):
            link_or_copy(other / named.path, target)
            path.unlink()
            return named
    path.replace(target)
    return named


def link_or_copy(source: Path, target: Path) -> None:
    """Have a new path lead to a file that nobody changes: the same one where the disk allows it."""
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(source, target)
