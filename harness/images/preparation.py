"""Prepare a record's images once: on all cores, into the cache, under a lock."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from harness.config import project_path
from harness.errors import HarnessError, InputError
from harness.facts.machine_facts import Versions
from harness.facts.typed import decode, plain
from harness.files import durable, locks, whole_files
from harness.host import calls
from harness.host.memory import free_memory
from harness.images import cache, sidecar
from harness.images.cache import CacheEntry
from harness.images.prepared import FORMAT, Prepared, cache_key, geometry, pixel_libraries
from harness.images.record_file import RecordIndex
from harness.images.sidecar import Preparation, Sidecar
from harness.process import executor
from harness.process.confinement import FILE_BYTES
from harness.process.jobs import Limits, PrepareJob
from harness.storage import outcomes
from harness.storage.configuration import RunOptions, Transform
from harness.storage.stage_facts import Decoded

SPARE_BYTES = 256 << 20  # leave this much of the disk free
WORTH_A_PROCESS = 128  # images; a process's start takes as long as decoding some hundred large ones
DECODER_BYTES = 4 << 30  # of a process; the largest image that is decoded takes a tenth
DECODER_USUAL_BYTES = 256 << 20  # that a process takes with photographs; 160 MB with small images
DECODING = {  # one process a core, and in each nothing but the one thread that decodes
    "MXNET_CPU_MEM_POOL_TYPE": "Round",  # the default keeps a buffer for each size of image it met
    "MXNET_ENGINE_TYPE": "NaiveEngine",  # runs an operator at once instead of handing it over
    "OMP_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
}


@dataclass(frozen=True)
class Source:
    """A record to prepare: its index, its SHA-256 and how many of its images are needed."""

    index: RecordIndex
    sha256: str
    images: int


@dataclass(frozen=True)
class Place:
    """The folder of the cache, and how many bytes it may hold."""

    cache: Path
    limit: int

    @classmethod
    def of(cls, options: RunOptions) -> Place:
        """Return the place that the section ``run`` of the configuration names."""
        return cls(project_path(options.cache), int(options.cache_limit_gb * cache.GB))

    @property
    def folder(self) -> Path:
        return self.cache / "prepared"


def ensure(
    source: Source,
    transform: Transform,
    versions: Versions,
    place: Place,
    cores: int,
    environment: Mapping[str, str],
    progress: executor.Progress,
    timeout_s: float = 0,
    wait: locks.Wait = locks.Wait(),  # noqa: B008 - a constant
) -> tuple[Prepared, Preparation]:
    """Return the prepared images and their costs; prepare them unless the cache holds them.

    They stay in the cache until this process ends: it holds their lock.

    Args:
        versions: of what is installed.
        timeout_s: of each decoding process; 0 is no limit.
        wait: for another process that prepares the same images.

    Raises:
        StillHeld: that took longer than is waited.
        InputError: an image does not decode, or the disk or the cache's limit has no room.
        HarnessError: a decoding process died.
    """
    whole_files.make_folder(place.folder, "run.cache")
    encoded = source.index.images_digest(source.images)
    key = cache_key(encoded, source.images, transform, versions)
    entry = CacheEntry(place.folder / key)
    prepared = Prepared(entry.pixels, source.images, transform.crop)
    began = time.perf_counter()
    held = cache.hold(entry, wait)
    preparation = Preparation(images=source.images)
    try:
        is_verified = False
        while not (entry.whole() if is_verified else entry.sound()):
            with held.alone():
                is_verified = True
                if not entry.sound():  # another process may have made it meanwhile
                    preparation = _build(
                        source,
                        transform,
                        versions,
                        entry,
                        place,
                        cores,
                        environment,
                        progress,
                        timeout_s,
                    )
        entry.used()
    except BaseException:
        held.release()
        raise
    return prepared, replace(preparation, seconds=time.perf_counter() - began)


def _build(
    source: Source,
    transform: Transform,
    versions: Versions,
    entry: CacheEntry,
    place: Place,
    cores: int,
    environment: Mapping[str, str],
    progress: executor.Progress,
    timeout_s: float,
) -> Preparation:
    """Write the images and then the sidecar: a process that is killed leaves no whole entry."""
    part = Prepared(entry.stem.with_suffix(".part"), source.images, transform.crop)
    indexed, log = entry.stem.with_suffix(".npy"), entry.stem.with_suffix(".log")
    began = time.perf_counter()
    try:
        with cache.one_makes_room(place.folder):
            entry.remove()
            what = f"preparing {part.images} images of {source.index.path}"
            cache.make_room(place.folder, part.bytes, place.limit, what)
            _reserve(part)
        known = (source.index.offsets[:, None], source.index.digests)
        np.save(indexed, np.hstack(known)[: source.images])
        job = PrepareJob(
            record=str(source.index.path),
            indexed=str(indexed),
            transform=transform,
            target=str(part.path),
            images=part.images,
            start=0,
            stop=part.images,
            report=True,
            confine=Limits(memory_bytes=DECODER_BYTES, file_bytes=max(part.bytes, FILE_BYTES)),
        )
        decoding = {**environment, **DECODING}
        ended = _decode(job, source, cores, decoding, log, progress, timeout_s)
        durable.sync(part.path)  # or a power cut could leave a sidecar of zeros
        durable.put(part.path, entry.pixels)
        whole_files.write_json(
            entry.sidecar,
            plain(
                Sidecar(
                    format=FORMAT,
                    key=entry.key,
                    record=sidecar.Source(path=str(source.index.path), sha256=source.sha256),
                    images=part.images,
                    transform=geometry(transform),
                    libraries=pixel_libraries(versions),
                    bytes=part.bytes,
                    ranges=[decode(worker.value, Decoded) for worker in ended],
                    made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                    seconds=time.perf_counter() - began,
                )
            ),
            "run.cache",
        )
        log.unlink(missing_ok=True)
        peak = max(worker.peak_rss_bytes for worker in ended)
        return Preparation(
            cached=False, images=part.images, processes=len(ended), peak_rss_bytes=peak
        )
    finally:
        part.path.unlink(missing_ok=True)
        indexed.unlink(missing_ok=True)


def _decode(
    job: PrepareJob,
    source: Source,
    cores: int,
    environment: Mapping[str, str],
    log: Path,
    progress: executor.Progress,
    timeout_s: float,
) -> list[executor.Ended]:
    """Decode one range of the images in each process; return the ends of the processes."""
    fitting = max(1, (free_memory() or sys.maxsize) // DECODER_USUAL_BYTES)
    processes = min(cores, -(-source.images // WORTH_A_PROCESS), fitting)
    edges = np.linspace(0, source.images, processes + 1).astype(int).tolist()
    workers: list[executor.Worker] = []

    def report(done: int, total: int, what: str) -> None:
        # one speaks for all: their ranges are alike, and the others' pipes are read after its end
        progress(min(done * processes, source.images), source.images, what)

    try:
        for start, stop in zip(edges, edges[1:]):
            mine = replace(job, start=start, stop=stop, report=not workers)
            workers.append(executor.Worker(mine, environment, log, log.parent))
        ended = [_checked(worker.wait(report, timeout_s), source, log) for worker in workers]
    finally:
        for worker in workers:
            worker.stop()
    progress(source.images, source.images, "images")
    return ended


def _reserve(part: Prepared) -> None:
    """Create the file at its full size, so that a full disk shows now."""
    free = shutil.disk_usage(part.path.parent).free
    try:
        if part.bytes + SPARE_BYTES > free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with part.path.open("wb") as handle:
            calls.reserve(handle.fileno(), part.bytes)
    except OSError as error:
        raise InputError(
            f"preparing {part.images} images needs {part.bytes / 1e9:.2f} GB in {part.path.parent}, "
            f"which has {free / 1e9:.2f} GB free ({error.strerror}): free some (./run.sh cache "
            "shows what is kept) or give run.cache=DIR"
        ) from None


def _checked(ended: executor.Ended, source: Source, log: Path) -> executor.Ended:
    if ended.kind == executor.DONE:
        return ended
    if ended.error and ended.error.kind == outcomes.INPUT:
        log.unlink(missing_ok=True)
        raise InputError(ended.message)
    raise HarnessError(
        f"decoding {source.index.path} failed: {ended.message}; start it again (log: {log})"
    )
