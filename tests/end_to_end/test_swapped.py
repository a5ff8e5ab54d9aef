"""Files that are replaced or overwritten while they are in use: nothing else is measured unseen."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

from harness import PROJECT
from harness.config import compose_config
from harness.errors import InputError
from harness.facts.machine_facts import Versions
from harness.facts.typed import decode
from harness.files.whole_files import sha256_of
from harness.images import preparation
from harness.images.preparation import Place, Source
from harness.images.prepared import Prepared
from harness.images.record_file import RecordFile, RecordIndex
from harness.process.jobs import WorkerWorkload
from harness.run.worker_setup import build_environment
from harness.storage.configuration import Transform
from harness.words.overrides import set_to
from harness.workloads import fp32_network, private
from harness.workloads.saved import load_exported
from helpers.command_line import OWN

pytestmark = pytest.mark.slow

TRANSFORM = Transform(resize=64, keep_ratio=False, crop=56)
VERSIONS = Versions(mxnet="2", mxnet_commit="c", mxnet_libmxnet_sha256="x", neural_compressor="1")


def nothing(done: int, total: int, what: str) -> None:
    """Nobody looks."""


def indexed(path: Path) -> RecordIndex:
    with RecordFile(path) as record:
        return record.index(10)


def ensured(index: RecordIndex, cache: Path) -> tuple[Prepared, bool]:
    source = Source(index, index.sha256, len(index))
    environment = build_environment(
        {}, compose_config([set_to("run.cache", str(cache))]).config, [PROJECT / "tests"]
    )
    place = Place(cache, 10**9)
    made, how = preparation.ensure(source, TRANSFORM, VERSIONS, place, 1, environment, nothing)
    preparation.cache.hold(preparation.cache.CacheEntry(made.path.with_suffix(""))).release()
    return made, how.cached


def renamed(new: Path, path: Path) -> None:
    new.replace(path)


def overwritten(new: Path, path: Path) -> None:
    with path.open("r+b") as handle:
        handle.write(new.read_bytes())
    os.utime(path, ns=(0, 0))


@pytest.fixture
def records(make_record: Callable[..., Path], jpegs: list[bytes]) -> tuple[Path, Path]:
    """Return two records of the same size, whose images are in another order."""
    images = [jpegs[0], jpegs[1], jpegs[0]]
    one = make_record([(n, image) for n, image in enumerate(images)], "one.rec")
    images[:2] = images[1::-1]
    return one, make_record([(n, image) for n, image in enumerate(images)], "other.rec")


def test_an_index_is_of_the_bytes_that_were_read(records: tuple[Path, Path]) -> None:
    one, other = map(indexed, records)
    assert one.sha256 == sha256_of(records[0])
    assert (one.digests[0] == one.digests[2]).all() and (one.digests[0] != one.digests[1]).any()
    assert (one.digests[0] == other.digests[1]).all()
    assert one.images_digest(3) != other.images_digest(3)
    assert one.images_digest(2) != one.images_digest(3)


@pytest.mark.parametrize("swap", [renamed, overwritten])
def test_a_record_that_is_swapped_enters_no_cache(
    records: tuple[Path, Path], tmp_path: Path, swap: Callable[[Path, Path], None]
) -> None:
    path, other = records
    kept, true = tmp_path / "kept.rec", indexed(path)
    shutil.copyfile(path, kept)
    swap(other, path)
    with pytest.raises(
        InputError, match=r"image 0 of .*one\.rec .*the record was changed meanwhile"
    ):
        ensured(true, tmp_path / "cache")
    assert not list(tmp_path.glob("cache/prepared/*.u8"))
    swap(kept, path)
    made, cached = ensured(true, tmp_path / "cache")
    assert not cached
    assert np.array_equal(made.read(0, 1), made.read(2, 3))


def test_another_order_in_the_idx_is_another_entry(
    records: tuple[Path, Path], tmp_path: Path
) -> None:
    """The record's own digest stays the same."""
    path, _ = records
    plain = indexed(path)
    lines = [f"{n}\t{at}\n" for n, at in enumerate(plain.offsets[[1, 0, 2]])]
    path.with_suffix(".idx").write_text("".join(lines))
    turned = indexed(path)
    assert plain.sha256 == turned.sha256
    first, second = (ensured(index, tmp_path / "cache")[0] for index in (plain, turned))
    assert first.path != second.path
    assert np.array_equal(first.read(0, 1), second.read(1, 2))


def test_images_that_changed_in_the_cache_are_prepared_again(
    records: tuple[Path, Path], tmp_path: Path
) -> None:
    index = indexed(records[0])
    made, _ = ensured(index, tmp_path / "cache")
    true = made.read(0, 3).copy()
    with made.path.open("r+b") as handle:  # of the right size
        handle.write(b"\xf9" * 100)
    assert ensured(index, tmp_path / "cache")[1] is False
    assert np.array_equal(made.read(0, 3), true)
    assert ensured(index, tmp_path / "cache")[1] is True


# Weights


def workload(params: Path, sha256: str) -> WorkerWorkload:
    model = {
        "_target_": "harness.workloads.models.zoo",
        "network": "resnet18_v1",
        "classes": 10,
        "params": str(params),
        "download": False,
    }
    stored = compose_config(["workload=tiny"], [OWN]).config.stored["workload"]
    files = {str(params): sha256}
    return decode({**stored, "model": model, "files": files}, WorkerWorkload)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("weights")
    made = []
    for seed in (1, 2):
        mx.random.seed(seed)
        net = mx.gluon.model_zoo.vision.get_model("resnet18_v1", classes=10)
        net.initialize()
        net(mx.np.zeros((1, 3, 32, 32)))
        made.append(folder / f"{seed}.params")
        net.save_parameters(str(made[-1]))
    return made[0], made[1]


@pytest.mark.parametrize("swap", [renamed, overwritten])
def test_weights_that_are_swapped_are_not_used(
    weights: tuple[Path, Path], tmp_path: Path, swap: Callable[[Path, Path], None]
) -> None:
    path, other = (tmp_path / each.name for each in weights)
    for source, target in zip(weights, (path, other), strict=True):
        shutil.copyfile(source, target)
    planned = workload(path, sha256_of(path))
    fp32_network(planned)
    swap(other, path)
    with pytest.raises(
        InputError, match=r"1\.params is not the file that the run was planned with"
    ):
        fp32_network(planned)


def test_a_file_that_a_loader_of_ones_own_reads_is_held_to_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "mine.params"
    path.write_bytes(b"one")
    with private.only({str(path): sha256_of(path)}):
        path.read_bytes()
    files = {str(path): sha256_of(path)}
    path.write_bytes(b"two")
    with pytest.raises(InputError, match="is not the file"), private.only(files):
        path.read_bytes()


def test_what_is_read_is_what_was_digested(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    with private.copied(path) as copy:
        path.write_bytes(b"two")
        assert copy.read_bytes() == b"one"


def test_a_saved_model_that_is_swapped_is_not_measured(tmp_path: Path) -> None:
    pairs = []
    for seed in (1, 2):
        mx.random.seed(seed)
        net = mx.gluon.nn.Dense(3, in_units=2)
        net.initialize()
        net.hybridize()
        net(mx.np.zeros((1, 2)))
        pairs.append(tuple(map(Path, net.export(str(tmp_path / str(seed))))))
    (symbol, params), (_, other) = pairs
    recorded = (sha256_of(symbol), sha256_of(params))
    load_exported(symbol, params, recorded)
    other.replace(params)
    with pytest.raises(InputError, match="is not the file"):
        load_exported(symbol, params, recorded)
