"""Read files that may be damaged, or that somebody else put there: runs, packs, the cache.

What has a file's name may be a FIFO that never answers, a device that never ends or a link to another
file, and some kilobytes of JSON may unfold to gigabytes. So a file is opened only if it is a plain one,
and JSON is measured before it is parsed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import IO, Any

LARGEST_JSON = 64 << 20  # bytes; a record with the trials of the longest searches has a few MB
MOST_VALUES = 3_000_000  # the times of 60 million images have so many; parsed, 0.4 GB at the most


class Unreadable(ValueError):
    """The file is not one to read; the message says why."""


def open_plain(path: Path) -> IO[bytes]:
    """Open a plain file for reading; never follow a link at its end, never wait for a writer.

    Raises:
        Unreadable: it is a link, a folder, a FIFO, a socket or a device.
        OSError: as for ``open``.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Unreadable("it is a link, not a plain file") from None
        if error.errno == errno.ENXIO:
            raise Unreadable("it is a socket, not a plain file") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unreadable("it is not a plain file")
    return os.fdopen(descriptor, "rb")


def read_json(path: Path) -> Any:
    """Return a JSON file's value.

    Raises:
        OSError, ValueError: it cannot be opened, or is damaged, too large or nested too deeply.
    """
    return read_json_and_digest(path)[0]


def read_json_and_digest(path: Path) -> tuple[Any, str]:
    """Return a JSON file's value and the SHA-256 of the bytes that it was read from.

    Raises:
        OSError, ValueError: as ``read_json``.
    """
    with open_plain(path) as handle:
        content = handle.read(LARGEST_JSON + 1)
    return parse_json(content), hashlib.sha256(content).hexdigest()


def parse_json(content: bytes) -> Any:
    """Return the value of JSON text, whose memory is bounded before it is parsed.

    Raises:
        ValueError: it is no JSON, too large or nested too deeply.
    """
    if len(content) > LARGEST_JSON:
        raise ValueError(f"it has more than {LARGEST_JSON >> 20} MB")
    if sum(map(content.count, (b"[", b"{", b","))) > MOST_VALUES:  # each value has one before it
        raise ValueError(f"it holds more than {MOST_VALUES} values")
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
