"""Decode one range of a record's images into the prepared file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from harness.files.reading import read_npy
from harness.images.decode import decode_range
from harness.images.prepared import Prepared
from harness.process.jobs import PrepareJob
from harness.storage.stage_facts import Decoded

REPORT_EVERY_S = 0.2


def run(job: PrepareJob, progress: Callable[[int, int, str], None]) -> Decoded:
    """Decode the images of a job into their places in the file.

    Raises:
        InputError: an image does not decode, or is not the one that was indexed.
    """
    reported = time.monotonic()

    def report(done: int, total: int, what: str) -> None:
        nonlocal reported
        if job.report and time.monotonic() - reported > REPORT_EVERY_S:
            reported = time.monotonic()
            progress(done, total, what)

    indexed = read_npy(Path(job.indexed), "<i8", (None, None))
    checksum = decode_range(
        Path(job.record),
        indexed[:, 0],
        job.transform,
        Prepared(Path(job.target), job.images, job.transform.crop),
        job.start,
        job.stop,
        report,
        indexed[:, 1:],
    )
    return Decoded(start=job.start, stop=job.stop, crc32=checksum)
