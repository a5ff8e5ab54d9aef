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
from typing import Any

import numpy as np

from benchmarks.arguments import positive
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
from harness.files.whole_files import sha256_of
from harness.host import machine, threads
from harness.host.topology import read_topology
from harness.images import preparation
from harness.images.preparation import Place, Source
from harness.images.prepared import Prepared
from harness.images.record_file import RecordFile
from harness.process import executor
from harness.run.job_result import require_value
from harness.run.worker_setup import absolute_paths, build_environment

LARGE = {"resize": 256, "crop": 224}  # what the published workload does with such pictures
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
    config = compose_config(["method=[fp32_fused]", f"run.cache={scratch / 'cache'}"]).values
    settings = threads.resolve(config["threads"], read_topology(), threads.find_kmp_library())
    workload = absolute_paths(config["workload"])
    bench = Bench(config, settings.environment, scratch, options.passes)
    bundled = bench.record("bundled", Path(workload["rec"]), workload, options.images)
    made = scratch / "large.rec"
    say(f"making {options.large} pictures")
    make_record(made, options.large, workload["classes"])
    geometry = {**workload, "transform": {**workload["transform"], **LARGE}}
    lines: list[Line] = []
    for record in (bundled, bench.record("500 x 375", made, geometry, None)):
        lines += loading_lines(bench.loading(record))
    lines = loop_lines(bench.loop(bundled, options.null_batches)) + lines
    return to_markdown(machine.describe(), settings.environment, lines)


@dataclass(frozen=True)
class Record:
    """A record, how it is transformed, and the file of its labels."""

    name: str
    source: Source
    workload: dict[str, Any]
    labels: Path

    @property
    def path(self) -> Path:
        return self.source.index.path


@dataclass(frozen=True)
class Bench:
    """Runs workers in a folder of its own."""

    config: Mapping[str, Any]
    threads: Mapping[str, str]
    scratch: Path
    passes: int

    def record(self, name: str, path: Path, workload: dict[str, Any], images: int | None) -> Record:
        with RecordFile(path) as file:
            index = file.index(workload["classes"])
        labels = self.scratch / f"{path.stem}.npy"
        np.save(labels, index.labels[:images])
        count = min(images or len(index), len(index))
        return Record(name, Source(index, sha256_of(path), count), workload, labels)

    def start(self, job: Mapping[str, Any]) -> executor.Ended:
        """Run one worker under the harness's thread environment.

        Raises:
            HarnessError: it failed.
        """
        log = self.scratch / "worker.log"
        environment = build_environment(self.threads, self.config, ())
        ended = executor.Worker(job, environment, log, self.scratch).wait(nothing)
        require_value(ended, "preparing", log)
        return ended

    def prepared(self, record: Record, cache: Path) -> tuple[Prepared, dict[str, Any]]:
        """Prepare a record as a run does."""
        return preparation.ensure(
            record.source,
            record.workload["transform"],
            {},
            Place(cache, LIMIT),
            read_topology().usable_cores,
            build_environment({}, self.config, ()),
            nothing,
        )

    def loading(self, record: Record) -> Loading:
        """Time both loaders in turn, each from a cold start, and then reading the batches."""
        images = record.source.images
        job = {
            "stage": "benchmarks.overhead.data_path",
            "record": str(record.path),
            "idx": str(record.path.with_suffix(".idx")),  # a worker reads what its job names
            "images": images,
            "labels": str(record.labels),
            "workload": record.workload,
        }
        published, cold, warm, cached = [], [], [], []
        for number in range(self.passes):
            say(f"{record.name}: pass {number + 1} of {self.passes}")
            published.append(self.start({**job, "by": "published"}))
            cache = self.scratch / f"{record.path.stem}_{number}"
            prepared, how = self.prepared(record, cache)
            cold.append(how)
            warm.append(self.prepared(record, cache)[1])
            cached.append(self.start({**job, "by": "cache", "prepared": str(prepared.path)}))
            if number + 1 < self.passes:
                prepared.path.unlink()
        return Loading(
            record.name,
            images,
            published_s=min(
                each.seconds - each.value["read_s"] for each in published
            ),  # its end included
            published_loop_s=min(each.value["load_s"] for each in published),
            prepare_s=min(how["seconds"] for how in cold),
            warm_s=max(how["seconds"] for how in warm),
            published_read_s=min(each.value["read_s"] for each in published),
            cache_read_s=min(each.value["read_s"] for each in cached),
            published_bytes=max(each.peak_rss_bytes for each in published),
            prepare_bytes=max(how["peak_rss_bytes"] for how in cold),
        )

    def loop(self, record: Record, null_batches: int) -> dict[str, list[float]]:
        """Time the loop around the null model and around fp32 fused, in one worker."""
        say("the timed loop")
        last = self.scratch / f"{record.path.stem}_{self.passes - 1}"
        prepared, _ = self.prepared(record, last)
        images, workload = record.source.images, record.workload
        tuning = min(images, workload["tuning"]["batches"] * workload["batch_size"])
        places = {"prepared": str(prepared.path), "labels": str(record.labels)}
        cpus = list(read_topology().allowed_cpus)
        made = {"workload": workload, "workspace": str(self.scratch), "cpus": cpus}
        job = {
            "stage": "benchmarks.overhead.loop",
            "null_batches": null_batches,
            "optimize": {
                **made,
                "method": self.config["method"]["fp32_fused"],
                "tuning": {**places, "stored": images, "images": tuning},
                "shared": None,
            },
            "validate": {
                **made,
                **places,
                "images": images,
                "predictions": "predictions.npz",
            },
        }
        told: dict[str, list[float]] = self.start(job).value
        return told


def nothing(done: int, total: int, what: str) -> None:
    """Progress that nobody watches."""


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
