"""Files that outlive a power cut: what names others is put in place after these are on their disk.

``fsync`` of a file keeps its content. Its name is kept by that of its folder, and a new folder's name by
that of the folder above. Nothing here runs in a timed region: the parent writes between stages.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from harness.host import calls


def make_folders(path: Path) -> None:
    """Make a folder and those above it that are missing, all on their disk.

    Raises:
        OSError: as for ``Path.mkdir``.
    """
    missing = []
    above = path
    while not above.exists() and above != above.parent:
        missing.append(above)
        above = above.parent
    path.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        sync(made.parent)


def sync(path: Path) -> None:
    """Return when a file's content, or the names in a folder, are on their disk.

    Raises:
        OSError: it is not there, or the disk failed.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        calls.sync(descriptor)
    finally:
        os.close(descriptor)


def keep(files: Iterable[Path], root: Path) -> None:
    """Return when files are on their disk, with the folders that lead to them from ``root`` down.

    A file that is missing is passed over: what names it says so when it is read.

    Args:
        root: a folder above all of them, whose own name is kept already.

    Raises:
        OSError: the disk failed.
    """
    folders: dict[Path, None] = {}  # each once, in order
    for file in files:
        with suppress(FileNotFoundError):
            sync(file)
            for folder in (file.parent, *file.parent.parents):
                folders[folder] = None
                if folder == root:
                    break
    for folder in sorted(folders, key=lambda each: -len(each.parts)):
        sync(folder)


def put(part: Path, path: Path) -> None:
    """Rename a file, whose content is on its disk, to ``path``, so that the name is there too.

    Raises:
        OSError: as for ``os.replace``.
    """
    part.replace(path)
    sync(path.parent)


def write(path: Path, content: bytes) -> None:
    """Write so that a reader sees the old file or the whole new one, even after a power cut.

    Raises:
        OSError: there is no space, or the folder cannot be made or written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        make_folders(path.parent)
        with part.open("wb") as handle:
            handle.write(content)
            handle.flush()
            calls.sync(handle.fileno())
        put(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
