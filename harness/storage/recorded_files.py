"""Files of a run as its records name them: by path, size and digest."""

from __future__ import annotations

from pathlib import Path

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
