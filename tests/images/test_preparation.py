"""Preparing images with real decoding processes: once, whole or not at all, by one of several."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from harness import PROJECT
from harness.config import compose_config
from harness.errors import HarnessError, InputError
from harness.facts.typed import changed
from harness.images import preparation
from harness.images.cache import CacheEntry
from harness.images.preparation import Place, Source
from harness.images.prepared import Prepared
from harness.images.record_file import RecordFile
from harness.run.worker_setup import build_environment
from harness.words.overrides import set_to
from helpers.bundled_images import BUNDLED
from helpers.command_line import PATIENCE_S
from helpers.preparing import TRANSFORM, VERSIONS, ensured, nothing

BYTES = 56 * 56 * 3  # of one image
NO_PYTHON = {"PYTHONHOME": "/nowhere"}  # no worker can start in this
ODD_NAME = "cache with spaces, ü and 你"
AT_THE_SAME_TIME = """
import json, sys
from pathlib import Path
from helpers.preparing import ensured
prepared, how = ensured(Path(sys.argv[1]), Path(sys.argv[2]))
print(json.dumps(how.stored))
"""


def left_in(cache: Path) -> list[str]:
    """Return the kinds of files in the cache, apart from locks."""
    return sorted(path.suffix for path in (cache / "prepared").iterdir() if path.suffix != ".lock")


@pytest.fixture
def record(make_record: Callable[..., Path], jpegs: list[bytes]) -> Path:
    return make_record([(number % 10, image) for number, image in enumerate(jpegs[:11])])


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_prepared_once_and_again_when_damaged(record: Path, tmp_path: Path) -> None:
    from harness.images.decode import decode_range

    reports: list[tuple[int, int, str]] = []
    cache = tmp_path / ODD_NAME
    prepared, how = ensured(record, cache, lambda *report: reports.append(report))
    assert how.cached is False
    assert how.images == 11
    assert reports[-1] == (11, 11, "images")
    assert left_in(cache) == [".json", ".u8"]
    expected = Prepared(tmp_path / "expected.u8", 11, 56)
    expected.path.write_bytes(bytes(expected.bytes))
    with RecordFile(record) as source:
        offsets = source.index(10).offsets
    decode_range(record, offsets, TRANSFORM, expected, 0, 11)
    whole = expected.path.read_bytes()
    assert prepared.path.read_bytes() == whole
    assert len(np.unique(prepared.read(0, 11), axis=0)) == 11

    began = prepared.path.stat().st_mtime_ns
    again, how = ensured(record, cache, environment=NO_PYTHON)
    assert (again, how.cached) == (prepared, True)
    assert prepared.path.stat().st_mtime_ns == began

    prepared.path.write_bytes(whole[:-1])
    _, how = ensured(record, cache, cores=1)
    assert how.cached is False
    assert prepared.path.read_bytes() == whole


def test_ranges_of_several_processes_join(tmp_path: Path) -> None:
    from harness.images.decode import decode_range

    record = tmp_path / "first.rec"
    with RecordFile(BUNDLED / "fashion_mnist_test.rec") as source:
        end = int(source.index(10).offsets[2 * preparation.WORTH_A_PROCESS + 1])
    with (BUNDLED / "fashion_mnist_test.rec").open("rb") as whole:
        record.write_bytes(whole.read(end))
    reports: list[tuple[int, int, str]] = []
    prepared, how = ensured(record, tmp_path / "cache", lambda *each: reports.append(each), cores=4)
    assert (how.images, how.processes) == (257, 3)
    assert reports[-1] == (257, 257, "images")
    assert all(0 < done <= total for done, total, _ in reports)
    assert CacheEntry(prepared.path.with_suffix("")).sound()
    expected = Prepared(tmp_path / "expected.u8", 257, 56)
    expected.path.write_bytes(bytes(expected.bytes))
    with RecordFile(record) as source:
        decode_range(record, source.index(10).offsets, TRANSFORM, expected, 0, 257)
    assert prepared.path.read_bytes() == expected.path.read_bytes()


def test_what_determines_the_pixels_determines_the_name(record: Path, cache: Path) -> None:
    with RecordFile(record) as source:
        index = source.index(10)
    names: list[str] = []
    for digest, images, transform, versions in [
        ("a", 3, TRANSFORM, VERSIONS),
        ("b", 3, TRANSFORM, VERSIONS),
        ("a", 2, TRANSFORM, VERSIONS),
        ("a", 3, structs.replace(TRANSFORM, resize=65), VERSIONS),
        ("a", 3, structs.replace(TRANSFORM, crop=55), VERSIONS),
        ("a", 3, structs.replace(TRANSFORM, keep_ratio=True), VERSIONS),
        ("a", 3, TRANSFORM, changed(VERSIONS, mxnet="3")),
        ("a", 3, TRANSFORM, changed(VERSIONS, mxnet_libmxnet_sha256="another")),
        (
            "a",
            3,
            structs.replace(TRANSFORM, mean=(5, 5, 5)),
            changed(VERSIONS, numpy="2"),
        ),  # the first once more
    ]:
        pictures = np.full((len(index), 2), ord(digest))
        with pytest.raises(InputError, match="is not the one that was there"):
            source = Source(replace(index, digests=pictures), "any", images)
            preparation.ensure(source, transform, versions, Place(cache, 10**9), 1, {}, nothing)
        names = [path.stem for path in (cache / "prepared").glob("*.lock")]
    assert len(names) == 8


def test_two_at_the_same_time_make_one(record: Path, cache: Path) -> None:
    command = [sys.executable, "-c", AT_THE_SAME_TIME, str(record), str(cache)]
    environment = build_environment(
        {}, compose_config([set_to("run.cache", str(cache))]).config, [PROJECT / "tests"]
    )
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    said = [json.loads(process.communicate(timeout=PATIENCE_S)[0]) for process in both]
    assert sorted(how["cached"] for how in said) == [False, True]
    assert left_in(cache) == [".json", ".u8"]
    prepared, how = ensured(record, cache)
    assert how.cached is True
    assert len(np.unique(prepared.read(0, 11), axis=0)) == 11


def test_image_that_does_not_decode(
    make_record: Callable[..., Path], jpegs: list[bytes], cache: Path
) -> None:
    images = [*jpegs[:5], b"no image", *jpegs[5:8]]
    record = make_record([(0, image) for image in images], "broken.rec")
    with RecordFile(record) as source:
        offset = source.index(10).offsets[5]
    with pytest.raises(InputError) as caught:
        ensured(record, cache)
    message = str(caught.value)
    assert f"image 5 of {record} (at byte {offset}) does not decode: " in message
    assert "replace it" in message
    assert "\n" not in message
    assert "Traceback" not in message
    assert left_in(cache) == []


def test_workers_that_cannot_start(record: Path, cache: Path) -> None:
    with pytest.raises(
        HarnessError, match=r"made\.rec failed: ended with exit code 1 .*log: "
    ) as e:
        ensured(record, cache, environment=NO_PYTHON)
    assert left_in(cache) == [".log"]
    assert "/nowhere" in Path(str(e.value).split("log: ")[1].rstrip(")")).read_text()


def test_too_little_space(record: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil._ntuple_diskusage(10**12, 10**12 - 2 * 10**8, 2 * 10**8)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(InputError) as caught:
        ensured(record, cache)
    message = str(caught.value)
    assert message.startswith("preparing 11 images needs 0.00 GB in ")
    for part in (str(cache), "0.20 GB free", "No space left", "run.cache=DIR"):
        assert part in message
    assert left_in(cache) == []


def test_space_that_the_system_refuses(record: Path, cache: Path) -> None:
    """This process may write no file as large as the prepared images."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (11 * BYTES - 1, before[1]))
    try:
        with pytest.raises(
            InputError, match=r"needs 0\.00 GB .* GB free \(File too large\).*run\.cache"
        ):
            ensured(record, cache)
    finally:  # what the tests themselves print may go to a larger file
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert left_in(cache) == []


def test_cache_that_cannot_be_made(record: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        InputError, match=r"cannot be made \(Not a directory\): give run\.cache=DIR"
    ):
        ensured(record, tmp_path / "file")
