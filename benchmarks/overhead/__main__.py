"""Measure what the harness itself costs, and print it against the targets.

Exit codes: 0 it ran, whatever was found; 2 the input is at fault; 3 it failed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from msgspec.structs import replace

from benchmarks.arguments import positive
from benchmarks.overhead.jobs import DataPathJob, Loaded, LoopJob, LoopTimes
from benchmarks.overhead.report import (
    Line,
    Loading,
    loading_lines,
    loop_lines,
    to_markdown,
)
from benchmarks.vs_published.images import make_record
from harness.config import compose_config
from harness.errors import HarnessError, InputError, exit_code
from harness.facts.machine_facts import Versions
from harness.facts.typed import Facts, changed
from harness.files.whole_files import sha256_of
from harness.host import machine, threads
from harness.host.topology import read_topology
from harness.images import preparation
from harness.images.preparation import Place, Source
from harness.images.prepared import Prepared
from harness.images.record_file import RecordFile
from harness.images.sidecar import Preparation
from harness.process import executor
from harness.process.jobs import ImageSet, Job, OptimizeJob, SavedModel, ValidateJob, WorkerWorkload
from harness.run.job_result import require_answer
from harness.run.worker_setup import build_environment, workload_for_workers
from harness.storage.configuration import Configuration
from harness.storage.stage_facts import File

LARGE = {"resize": 256, "crop": 224}  # what the published workload does with such pictures
Answer = TypeVar("Answer", bound=Facts)
VERSIONS = Versions(mxnet="", neural_compressor="", mxnet_commit=None)  # the cache is new
LIMIT = 10**12  # the cache is the benchmark's own


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="./run.sh benchmark overhead",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=positive, help="of the bundled record; default: all")
    parser.add_argument(
        "--large", type=positive, default=1000, help="500 x 375 JPEGs; default: 1000"
    )
    parser.add_argument("--null-batches", type=positive, default=10_000)
    parser.add_argument("--passes", type=positive, default=3, help="the fastest counts; default: 3")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="overhead_") as scratch:
            print(measured(options, Path(scratch)), end="")
    except (InputError, HarnessError) as error:
        return exit_code(error)
    return 0


def measured(options: argparse.Namespace, scratch: Path) -> str:
    """Return the report.

    Raises:
        HarnessError: a process failed.
    """
    config = compose_config(["method=[fp32_fused]", f"run.cache={scratch / 'cache'}"]).config
    settings = threads.resolve(config.threads.stored, read_topology(), threads.find_kmp_library())
    workload = workload_for_workers(config.workload, {})
    bench = Bench(config, settings.environment, scratch, options.passes)
    assert workload.rec is not None
    if options.images is not None and options.images < workload.batch_size:
        raise InputError(
            f"--images {options.images}: whole batches are timed, so give {workload.batch_size} or more"
        )
    bundled = bench.record("bundled", Path(workload.rec), workload, options.images)
    made = scratch / "large.rec"
    say(f"making {options.large} pictures")
    make_record(made, options.large, workload.classes)
    large = changed(workload, transform={**workload.transform.stored, **LARGE})
    lines: list[Line] = []
    for record in (bundled, bench.record("500 x 375", made, large, None)):
        lines += loading_lines(bench.loading(record))
    lines = loop_lines(bench.loop(bundled, options.null_batches)) + lines
    return to_markdown(machine.describe(), settings.environment, lines)


@dataclass(frozen=True)
class Record:
    """A record, how it is transformed, and the file of its labels."""

    name: str
    source: Source
    workload: WorkerWorkload
    labels: Path

    @property
    def path(self) -> Path:
        return self.source.index.path

    def image_set(self, prepared: Prepared) -> ImageSet:
        images = self.source.images
        return ImageSet(
            prepared=str(prepared.path), stored=images, labels=str(self.labels), images=images
        )


@dataclass(frozen=True)
class Bench:
    """Runs workers in a folder of its own."""

    config: Configuration
    threads: Mapping[str, str]
    scratch: Path
    passes: int

    def record(self, name: str, path: Path, workload: WorkerWorkload, images: int | None) -> Record:
        with RecordFile(path) as file:
            index = file.index(workload.classes)
        labels = self.scratch / f"{path.stem}.npy"
        np.save(labels, index.labels[:images])
        count = min(images or len(index), len(index))
        return Record(name, Source(index, sha256_of(path), count), workload, labels)

    def start(self, job: Job, kind: type[Answer]) -> tuple[executor.Ended, Answer]:
        """Run one worker under the harness's thread environment; return its end and its answer.

        Raises:
            HarnessError: it failed.
        """
        log = self.scratch / "worker.log"
        environment = build_environment(self.threads, self.config, ())
        ended = executor.Worker(job, environment, log, self.scratch).wait(nothing)
        return ended, require_answer(ended, kind, "preparing", log)

    def prepared(self, record: Record, cache: Path) -> tuple[Prepared, Preparation]:
        """Prepare a record as a run does."""
        return preparation.ensure(
            record.source,
            record.workload.transform,
            VERSIONS,
            Place(cache, LIMIT),
            read_topology().usable_cores,
            build_environment({}, self.config, ()),
            nothing,
        )

    def loading(self, record: Record) -> Loading:
        """Time both loaders in turn, each from a cold start, and then reading the batches."""
        images = record.source.images
        job = DataPathJob(
            record=str(record.path),
            idx=str(record.path.with_suffix(".idx")),
            images=images,
            workload=record.workload,
        )
        published, cold, warm, cached = [], [], [], []
        for number in range(self.passes):
            say(f"{record.name}: pass {number + 1} of {self.passes}")
            published.append(self.start(job, Loaded))
            cache = self.scratch / f"{record.path.stem}_{number}"
            prepared, how = self.prepared(record, cache)
            cold.append(how)
            warm.append(self.prepared(record, cache)[1])
            job_of_cache = replace(job, cached=record.image_set(prepared))
            cached.append(self.start(job_of_cache, Loaded)[1])
            if number + 1 < self.passes:
                prepared.path.unlink()
        return Loading(
            record.name,
            images,
            published_s=min(  # its end included
                ended.seconds - loaded.read_s for ended, loaded in published
            ),
            published_loop_s=min(loaded.load_s for _, loaded in published),
            prepare_s=min(how.seconds for how in cold),
            warm_s=max(how.seconds for how in warm),
            published_read_s=min(loaded.read_s for _, loaded in published),
            cache_read_s=min(loaded.read_s for loaded in cached),
            published_bytes=max(ended.peak_rss_bytes for ended, _ in published),
            prepare_bytes=max(how.peak_rss_bytes or 0 for how in cold),
        )

    def loop(self, record: Record, null_batches: int) -> LoopTimes:
        """Time the loop around the null model and around fp32 fused, in one worker."""
        say("the timed loop")
        last = self.scratch / f"{record.path.stem}_{self.passes - 1}"
        prepared, _ = self.prepared(record, last)
        images, workload = record.source.images, record.workload
        image_set, cpus = record.image_set(prepared), list(read_topology().allowed_cpus)
        tuning = min(images, workload.tuning.batches * workload.batch_size)
        symbol, params = (File(path=name, sha256="0" * 64) for name in ("symbol", "params"))
        job = LoopJob(
            null_batches=null_batches,
            optimize=OptimizeJob(
                workload=workload,
                method=self.config.method["fp32_fused"],
                tuning=replace(image_set, images=tuning),
                cpus=cpus,
                workspace=str(self.scratch),
            ),
            validate=ValidateJob(
                model=SavedModel(  # its files are those that are optimised in the same worker
                    workload=workload,
                    images=image_set,
                    workspace=str(self.scratch),
                    symbol=symbol,
                    params=params,
                ),
                cpus=cpus,
                predictions="predictions.npz",
            ),
        )
        return self.start(job, LoopTimes)[1]


def nothing(done: int, total: int, what: str) -> None:
    """Progress that nobody watches."""


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
