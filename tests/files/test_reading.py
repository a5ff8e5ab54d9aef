"""Files that somebody else may have put there: nothing waits, follows a link or unfolds to gigabytes."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import PROJECT
from harness.cli import call
from harness.errors import HarnessError, InputError
from harness.files import reading, whole_files
from harness.files.reading import Unreadable, open_plain, parse_json
from harness.images.cache import CacheEntry
from harness.images.prepared import FORMAT
from harness.nightly.memory.database import NAME, opened
from harness.storage import recorded_files
from harness.storage.stage_facts import File

MEMORY = 1 << 30  # bytes of a process that reads the worst JSON which is allowed


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.symlink_to("/dev/zero")


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


ODD: dict[str, Callable[[Path], Any]] = {
    "FIFO": fifo,
    "link": link,
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "folder": Path.mkdir,
    "socket": unix_socket,
}


@pytest.fixture
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder whose name is short enough for a socket's."""
    monkeypatch.chdir(tmp_path)
    return Path()


class One(msgspec.Struct):
    a: int


@pytest.mark.parametrize("kind", ODD)
def test_only_plain_files_are_opened(short: Path, kind: str) -> None:
    path = short / "odd.json"
    ODD[kind](path)
    with pytest.raises(Unreadable):
        open_plain(path)
    with pytest.raises(HarnessError, match=r"odd\.json cannot be read"):
        whole_files.load_json(path)
    assert not recorded_files.is_intact(path, File(path="f", sha256="0" * 64))
    assert reading.read_struct(path, One) is None
    for read in (
        lambda: reading.read_npy(path, "<i8", (1,)),
        lambda: reading.read_npz(path, "top", "<u2", (1,)),
    ):
        with pytest.raises(reading.BadArray):
            read()


@pytest.mark.parametrize("kind", ODD)
def test_a_history_that_is_no_plain_file_is_not_opened(short: Path, kind: str) -> None:
    ODD[kind](short / NAME)
    with (
        pytest.raises(InputError, match=r"history\.sqlite is not the history.*rebuild=true"),
        opened(short),
    ):
        pass  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_a_sidecar_that_is_no_plain_file_is_damage(short: Path, kind: str) -> None:
    folder = short / "cache" / "prepared"
    folder.mkdir(parents=True)
    ODD[kind](folder / "key.json")
    (folder / "key.u8").write_bytes(b"1")
    entry = CacheEntry(folder / "key")
    assert entry.about() is None and not entry.whole() and not entry.sound()


def sidecar(**changes: Any) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "key": "key",
        "record": {"path": "/data/x.rec", "sha256": "0" * 64},
        "images": 2,
        "transform": {"resize": 8, "keep_ratio": True, "crop": 7},
        "bytes": 10,
        "ranges": [{"start": 0, "stop": 2, "crc32": zlib.crc32(bytes(10))}],
        **changes,
    }


MADE_UP = {
    "nothing but format and key": {"format": FORMAT, "key": "key"},
    "no images": sidecar(images=0),
    "images that are no number": sidecar(images="2"),
    "bytes that no image divides": sidecar(bytes=9),
    "ranges that are no list": sidecar(ranges=5),
    "a range without an end": sidecar(ranges=[{"start": 0, "crc32": 0}]),
    "a gap between ranges": sidecar(ranges=[{"start": 1, "stop": 2, "crc32": 0}]),
    "too few ranges": sidecar(ranges=[{"start": 0, "stop": 1, "crc32": 0}]),
    "a range backwards": sidecar(ranges=[{"start": 0, "stop": 3, "crc32": 0},
                                         {"start": 3, "stop": 2, "crc32": 0}]),
    "no record": sidecar(record=None),
    "no geometry": sidecar(transform={}),
}  # fmt: skip
UNPARSED = {"nested JSON": "[" * 100_000, "many values": "[" + "0," * 3_000_000 + "0]"}


def test_a_made_up_sidecar_is_damage_and_the_verb_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "prepared"
    folder.mkdir()
    names = {kind: kind.replace(" ", "_") for kind in (*MADE_UP, *UNPARSED)}
    entries = {kind: CacheEntry(folder / name) for kind, name in names.items()}
    for kind, entry in entries.items():
        entry.pixels.write_bytes(bytes(10))
        entry.sidecar.write_text(json.dumps(sidecar(key=names[kind])))
        assert entry.sound(), kind
        made_up = {**MADE_UP.get(kind, {}), "key": names[kind]}
        entry.sidecar.write_text(UNPARSED.get(kind) or json.dumps(made_up))
    where = f"run.cache={tmp_path}"
    assert call(["cache", where]) == 0
    listed = capsys.readouterr().out
    assert call(["cache", "check=all", where]) == 1
    checked = capsys.readouterr().out
    for kind, entry in entries.items():
        assert re.search(rf"^{names[kind]} .* damaged$", listed, re.MULTILINE), kind
        assert f"{names[kind]}: damaged" in checked
        assert not entry.whole(), kind


VIEWS = {
    "rows without an end": "CREATE VIEW runs AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT "
    "x+1 FROM n) SELECT x AS machine FROM n",
    "gigabytes of zeros": "CREATE VIEW rows AS SELECT 'm' AS machine, zeroblob(400000000) AS times",
    "a trigger": "CREATE TABLE runs (machine); CREATE TRIGGER t INSERT ON runs BEGIN SELECT 1; END",
    "a column that is computed": "CREATE TABLE runs (machine TEXT, run AS (zeroblob(400000000)))",
    "a further table": "CREATE TABLE more (x)",
}


@pytest.mark.parametrize("kind", VIEWS)
@pytest.mark.parametrize("on_top", [True, False], ids=["beside ours", "alone"])
def test_a_history_of_other_tables_is_not_read(tmp_path: Path, kind: str, on_top: bool) -> None:
    if on_top:
        with opened(tmp_path):
            pass
    with sqlite3.connect(tmp_path / NAME) as made:
        for name in ("rows", "runs") if on_top and " more " not in VIEWS[kind] else ():
            made.execute(f"DROP TABLE {name}")
        made.executescript(VIEWS[kind])
        made.execute("PRAGMA user_version=1")
    with (
        pytest.raises(HarnessError, match=r"is damaged.*rebuild=true"),
        opened(tmp_path) as history,
    ):
        history.machines()
    made.close()


def worst(values: int) -> bytes:
    """Return the JSON that takes the most memory for so many brackets and commas."""
    return b'{"optimize":[[]' + b",[]" * (values // 2 - 2) + b"]}"


def test_json_takes_no_more_memory_than_is_allowed(tmp_path: Path) -> None:
    """In a process of its own, which has no more: a few kilobytes of a pack can hold this."""
    (tmp_path / "allowed.json").write_bytes(worst(reading.MOST_VALUES))
    (tmp_path / "refused.json").write_bytes(worst(reading.MOST_VALUES + 9))
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]),) * 2)
from pathlib import Path
from harness.files import reading
reading.read_json(Path("allowed.json"))
try:
    reading.read_json(Path("refused.json"))
except ValueError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(MEMORY)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"it holds more than {reading.MOST_VALUES} values\n"
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


def test_a_large_record_is_still_read() -> None:
    """The times of 50,000 images, one a batch, and a search of 500 trials."""
    times = np.random.default_rng(0).random(50_000).tolist()
    trials = [{"changed": {f"node_{n}": "int8 minmax" for n in range(100)}} for _ in range(500)]
    record = {"validate": {k: times for k in ("data_s", "forward_s", "rest_s")}, "t": trials}
    assert parse_json(json.dumps(record, indent=1).encode()) == record


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"a": "text"}', b"[" * 9999, b'{"a": 1, "b": "\xff"}']
)
def test_a_struct_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f.json"
    path.write_bytes(content)
    assert reading.read_struct(path, One) is None
    path.write_bytes(b'{"a": 1, "b": [{}]}')
    assert reading.read_struct(path, One) == One(1)


def test_a_plain_file_is_read_to_its_end_and_no_larger_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    for size in (0, 7, 8):
        path.write_bytes(b"x" * size)
        assert reading.read_plain(path, 8) == b"x" * size
    path.write_bytes(b"x" * 9)
    with pytest.raises(Unreadable, match="more than 0 MB"):
        reading.read_plain(path, 8)
    status = Path("/proc/self/limits")  # of no size, as its system tells
    assert reading.read_plain(status) == status.read_bytes()
    path.write_bytes(b"x" * 8)
    monkeypatch.setattr(reading.os, "fstat", lambda descriptor: os.stat_result((0o100600,) * 10))
    assert reading.read_plain(path, 1 << 20) == b"x" * 8


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.slow
@given(VALUES)
@settings(max_examples=200)
def test_what_is_parsed_is_what_json_parses(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value
