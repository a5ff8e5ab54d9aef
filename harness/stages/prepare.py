"""Decode one range of a record's images into the prepared file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.files.reading import read_npy
from harness.images.decode import decode_range
from harness.images.prepared import Prepared

REPORT_EVERY_S = 0.2


def run(job: dict[str, Any], progress: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Decode images ``start`` .. ``stop`` of ``record`` into ``target``.

    Returns:
        the range and the CRC-32 of its bytes.

    Raises:
        InputError: an image does not decode, or is not the one that was indexed.
    """
    reported = time.monotonic()

    def report(done: int, total: int, what: str) -> None:
        nonlocal reported
        if job["report"] and time.monotonic() - reported > REPORT_EVERY_S:
            reported = time.monotonic()
            progress(done, total, what)

    start, stop = job["start"], job["stop"]
    indexed = read_npy(Path(job["indexed"]), "<i8", (None, None))
    checksum = decode_range(
        Path(job["record"]),
        indexed[:, 0],
        job["transform"],
        Prepared(Path(job["target"]), job["images"], job["transform"]["crop"]),
        start,
        stop,
        report,
        indexed[:, 1:],
    )
    return {"start": start, "stop": stop, "crc32": checksum}
