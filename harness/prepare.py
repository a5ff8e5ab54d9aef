"""Prepare a record's images once: on all cores, into the cache, under a lock."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import executor, store
from harness.errors import HarnessError, InputError
from harness.workloads.prepared import Prepared, cache_key
from harness.workloads.record_file import RecordIndex

SPARE_BYTES = 256 << 20  # leave this much of the disk free


@dataclass(frozen=True)
class Source:
    """A record to prepare: its index, its SHA-256 and how many of its images are needed."""

    index: RecordIndex
    sha256: str
    images: int


def ensure(
    source: Source,
    transform: Mapping[str, Any],
    mxnet: str,
    cache: Path,
    cores: int,
    environment: Mapping[str, str],
    progress: executor.Progress,
) -> tuple[Prepared, dict[str, Any]]:
    """Return the prepared images, made now unless the cache holds them, and how long it took.

    Raises:
        InputError: an image does not decode, or the cache has no space.
        HarnessError: a decoding process died.
    """
    folder = cache / "prepared"
    store.make_folder(folder, "run.cache")
    key = cache_key(source.sha256, source.images, transform, mxnet)
    prepared = Prepared(folder / f"{key}.u8", source.images, transform["crop"])
    began = time.perf_counter()
    with (folder / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second writer waits and then finds the file
        cached = prepared.complete()
        if not cached:
            _build(source, transform, prepared, cores, environment, progress)
    seconds = time.perf_counter() - began
    return prepared, {"cached": cached, "seconds": seconds, "images": source.images, "cores": cores}


def _build(
    source: Source,
    transform: Mapping[str, Any],
    prepared: Prepared,
    cores: int,
    environment: Mapping[str, str],
    progress: executor.Progress,
) -> None:
    stem = prepared.path.with_suffix("")
    part = Prepared(stem.with_suffix(".part"), prepared.images, prepared.crop)
    offsets = stem.with_suffix(".npy")
    log = stem.with_suffix(".log")
    workers: list[executor.Worker] = []
    try:
        _reserve(part)
        np.save(offsets, source.index.offsets[: source.images])
        edges = np.linspace(0, source.images, min(cores, source.images) + 1).astype(int).tolist()
        for start, stop in zip(edges, edges[1:]):
            job = {
                "stage": "prepare",
                "record": str(source.index.path),
                "offsets": str(offsets),
                "transform": dict(transform),
                "target": str(part.path),
                "images": part.images,
                "start": start,
                "stop": stop,
            }
            workers.append(executor.Worker(job, environment, log, prepared.path.parent))
        for number, worker in enumerate(workers):
            _check(worker.wait(progress), source, log)
            progress(edges[number + 1], source.images, "images")
        part.path.replace(prepared.path)
        log.unlink(missing_ok=True)
    finally:
        for worker in workers:
            worker.stop()
        part.path.unlink(missing_ok=True)
        offsets.unlink(missing_ok=True)


def _reserve(part: Prepared) -> None:
    """Create the file at its full size, so that a full disk is known now."""
    free = shutil.disk_usage(part.path.parent).free
    try:
        if part.bytes + SPARE_BYTES > free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with part.path.open("wb") as handle:
            os.posix_fallocate(handle.fileno(), 0, part.bytes)
    except OSError as error:
        raise InputError(
            f"preparing {part.images} images needs {part.bytes / 1e9:.2f} GB in {part.path.parent}, "
            f"which has {free / 1e9:.2f} GB free ({error.strerror}): free some or give run.cache=DIR"
        ) from None


def _check(ended: executor.Ended, source: Source, log: Path) -> None:
    if ended.kind == executor.DONE:
        return
    if ended.error and ended.error["kind"] == "input":
        log.unlink(missing_ok=True)
        raise InputError(ended.message)
    raise HarnessError(f"decoding {source.index.path} failed: {ended.message} (log: {log})")
