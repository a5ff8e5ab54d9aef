"""The cache of prepared images: its entries, who uses them, and which are deleted for space.

An entry is one stem in ``<cache>/prepared`` with

* ``.u8``, the images;
* ``.json``, the sidecar: what they are, and the checksum of each range. It is written last and
  removed first, so images without it are not whole. Its time of change is that of the last use;
* ``.lock``, empty and never deleted: held shared by every run that uses the images until the run's
  process ends, and exclusive by the one that makes or deletes them;
* ``.part``, ``.npy`` and ``.log`` while they are made, or after the maker was killed.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.errors import InputError
from harness.facts.typed import decode
from harness.files import locks
from harness.files.reading import Unreadable, open_plain, read_json
from harness.images.prepared import FORMAT
from harness.images.sidecar import Sidecar

GB = 10**9
FILES = (".json", ".u8", ".part", ".npy", ".log")  # in the order in which they are removed
BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class CacheEntry:
    """One entry, which may be missing."""

    stem: Path

    @property
    def key(self) -> str:
        return self.stem.name

    @property
    def pixels(self) -> Path:
        return self.stem.with_suffix(".u8")

    @property
    def sidecar(self) -> Path:
        return self.stem.with_suffix(".json")

    @property
    def bytes(self) -> int:
        """The size of its files on the disk, incomplete ones too."""
        return sum(_size(self.stem.with_suffix(suffix)) for suffix in FILES)

    @property
    def last_use(self) -> float:
        """Seconds since 1970."""
        for path in (self.sidecar, self.pixels, self.stem.with_suffix(".part")):
            try:
                return path.stat().st_mtime
            except OSError:
                continue
        return 0.0

    def about(self) -> Sidecar | None:
        """Return the sidecar; None if it is missing, damaged or of another format."""
        try:
            sidecar = decode(read_json(self.sidecar), Sidecar)
        except (OSError, ValueError):
            return None
        is_ours = (sidecar.format, sidecar.key) == (FORMAT, self.key)
        return sidecar if is_ours and sidecar.is_whole else None

    def whole(self) -> bool:
        """Return whether the sidecar exists and the images have the size that it gives."""
        sidecar = self.about()
        return sidecar is not None and _size(self.pixels) == sidecar.bytes

    def sound(self) -> bool:
        """Return whether it is whole and every range has its checksum; read all of it."""
        sidecar = self.about()
        if sidecar is None or not self.whole():
            return False
        image_bytes = sidecar.bytes // sidecar.images
        try:
            with open_plain(self.pixels) as handle:
                return all(
                    _checksum(handle, image_bytes * (part.stop - part.start)) == part.crc32
                    for part in sidecar.ranges
                )
        except Unreadable:
            return False

    def used(self) -> None:
        """Record that it is used now."""
        os.utime(self.sidecar)

    def remove(self) -> None:
        """Delete its files; the caller has the exclusive hold."""
        for path in map(self.stem.with_suffix, FILES):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)  # nobody's but of who put it in the file's place
            else:
                path.unlink(missing_ok=True)

    def remove_unless_used(self) -> bool:
        """Delete its files and return True, or return False because a process holds it."""
        with _alone(self) as alone:
            if alone:
                self.remove()
        return alone

    def in_use(self) -> bool:
        """Return whether a process holds it, to use it or to make it."""
        with _alone(self) as alone:
            return not alone


class Hold:
    """This process's lock on an entry: shared at first, exclusive on request."""

    def __init__(self, entry: CacheEntry, wait: locks.Wait) -> None:
        self._path = entry.stem.with_suffix(".lock")
        self._wait = wait
        self._lock = locks.Lock(self._path)
        try:
            self._lock.take(shared=True, wait=wait)
        except BaseException:
            self._lock.close()
            raise

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process holds the entry, and keep them out.

        Changing between shared and alone lets go in between: look again at what is there.

        Raises:
            StillHeld: another process held it for longer than is waited.
        """
        self._lock.take(wait=self._wait)
        yield
        self._lock.take(shared=True, wait=self._wait)  # after an error the caller lets go of it

    def release(self) -> None:
        """Release the hold before the process ends."""
        self._lock.close()
        del _HELD[self._path]


_HELD: dict[Path, Hold] = {}  # a second lock of one process would wait for the first


def hold(entry: CacheEntry, wait: locks.Wait = locks.Wait()) -> Hold:  # noqa: B008 - a constant
    """Return a shared hold that lasts until this process ends; wait for a process that makes the entry.

    Raises:
        StillHeld: another process made it for longer than is waited.
    """
    path = entry.stem.with_suffix(".lock")
    if path not in _HELD:
        _HELD[path] = Hold(entry, wait)
    return _HELD[path]


def entries(folder: Path) -> list[CacheEntry]:
    """Return the entries in ``<cache>/prepared``, the least recently used first."""
    stems = {path.with_suffix("") for path in folder.glob("*") if path.suffix in FILES}
    return sorted(
        (CacheEntry(stem) for stem in stems), key=lambda entry: (entry.last_use, entry.key)
    )


@contextmanager
def one_makes_room(folder: Path) -> Iterator[None]:
    """Keep other processes from counting and reserving space meanwhile."""
    with locks.held(folder.with_suffix(".lock")):
        yield


def make_room(folder: Path, needed: int, limit: int, what: str) -> None:
    """Delete the least recently used entries that no process holds until ``needed`` bytes fit.

    Args:
        needed: bytes to come.
        limit: what the whole folder may hold, in bytes.
        what: what needs them, for the message.

    Raises:
        InputError: they cannot fit; nothing is deleted if they alone exceed the limit.
    """
    asks = f"{what} needs {needed / GB:.2f} GB in the cache {folder}"
    if needed > limit:
        raise InputError(
            f"{asks} and run.cache_limit_gb={limit / GB:g} allows less: give run.cache_limit_gb="
            f"{_rounded_up(needed)} or more, or prepare fewer images with workload.images=N"
        )
    held = sum(entry.bytes for entry in entries(folder))
    for entry in entries(folder):
        if held + needed <= limit:
            return
        freed = entry.bytes
        if entry.remove_unless_used():
            held -= freed
    if held + needed > limit:
        raise InputError(
            f"{asks}, of which runs in progress use {held / GB:.2f} GB, and run.cache_limit_gb="
            f"{limit / GB:g} allows less together: wait for them, or give run.cache_limit_gb="
            f"{_rounded_up(held + needed)} or more"
        )


def _rounded_up(size: int) -> str:
    """Return bytes as GB with two digits after the point, never less than they are."""
    return f"{-(-size * 100 // GB) / 100:g}"


@contextmanager
def _alone(entry: CacheEntry) -> Iterator[bool]:
    """Hold an entry alone for a moment, or yield False at once if a process holds it."""
    path = entry.stem.with_suffix(".lock")
    if path in _HELD:
        yield False
        return
    with locks.held(path, wait=None) as alone:
        yield alone


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _checksum(handle: IO[bytes], size: int) -> int:
    checksum = 0
    while size:
        block = handle.read(min(size, BLOCK_BYTES))
        if not block:
            return -1
        checksum = zlib.crc32(block, checksum)
        size -= len(block)
    return checksum
