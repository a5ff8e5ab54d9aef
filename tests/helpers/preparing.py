"""Preparation of a record's images by real processes, with few settings to give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.config import compose_config
from harness.facts.machine_facts import Versions
from harness.files.whole_files import sha256_of
from harness.images import preparation
from harness.images.preparation import Place, Source
from harness.images.prepared import Prepared
from harness.images.record_file import RecordFile
from harness.images.sidecar import Preparation
from harness.run.worker_setup import build_environment
from harness.storage.configuration import Transform
from harness.words.overrides import set_to

TRANSFORM = Transform(resize=64, keep_ratio=False, crop=56)
VERSIONS = Versions(
    mxnet="2",
    mxnet_commit="c",
    mxnet_libmxnet_sha256="digest",
    neural_compressor="1",
    numpy="1",
)


def nothing(done: int, total: int, what: str) -> None:
    """Progress that nobody watches."""


def ensured(
    record: Path,
    cache: Path,
    progress: Callable[[int, int, str], None] = nothing,
    cores: int = 2,
    environment: dict[str, str] | None = None,
    limit: int = 10**9,
) -> tuple[Prepared, Preparation]:
    with RecordFile(record) as source:
        index = source.index(10)
    given = build_environment({}, compose_config([set_to("run.cache", str(cache))]).config, ())
    return preparation.ensure(
        Source(index, sha256_of(record), len(index)),
        TRANSFORM,
        VERSIONS,
        Place(cache, limit),
        cores,
        given if environment is None else environment,
        progress,
    )
