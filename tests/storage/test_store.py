"""Runs on disk: whole files only, one process at a time, and errors that say what to do."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import PROJECT
from harness.errors import HarnessError, InputError
from harness.facts.typed import changed
from harness.files import whole_files
from harness.storage import damage, recorded_files, store
from harness.storage.known_runs import find_run
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord, Outcome
from harness.storage.store import RunFolder
from helpers import sample_records
from helpers.command_line import PATIENCE_S

WRITES_FOR_EVER = """
import itertools, sys
from pathlib import Path
from harness.files.whole_files import write_json
for number in itertools.count():
    write_json(Path(sys.argv[1]), [number] * 20_000)
"""
DIES_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from harness.files import whole_files
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
whole_files.write_json(Path(sys.argv[1]), ["new"] * 1000)
"""
HOLDS_THE_LOCK = """
import sys
from pathlib import Path
from harness.storage.store import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def started(code: str, *arguments: Path, **streams: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return subprocess.Popen(command, text=True, env=environment, **streams)


def plan(run: str = "one") -> RunPlan:
    return replace(sample_records.plan(), run=run)


def record(position: int, method: str = "fp32") -> MethodRecord:
    outcome = Outcome("no solution", "none met it", "methods/x/optimize.log", 7)
    return MethodRecord("one", method, f"label of {method}", position, outcome)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "results" / "machine" / "one")


def test_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    writer = started(WRITES_FOR_EVER, path)
    try:
        deadline = time.monotonic() + PATIENCE_S
        seen: set[int] = set()
        reads, last = 0, ""
        while (len(seen) < 20 or reads < 2000) and time.monotonic() < deadline:
            if path.exists():
                text = path.read_text()
                if text != last:  # one that was whole is whole
                    values = json.loads(text)
                    assert len(values) == 20_000
                    assert len(set(values)) == 1
                    seen.add(values[0])
                reads, last = reads + 1, text
    finally:
        writer.kill()
        writer.wait()
    assert len(seen) >= 20
    assert len(list(tmp_path.iterdir())) <= 2  # the file, and the part of the one that was killed


def test_death_while_writing_keeps_the_old_file(folder: RunFolder) -> None:
    folder.save_record(record(0))
    path = folder.path / store.RECORDS / "00_fp32.json"
    before = path.read_bytes()
    writer = started(DIES_WHILE_WRITING, path)
    assert writer.wait(PATIENCE_S) == -signal.SIGKILL
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 2  # what it had written is there under another name
    assert folder.load_records() == [record(0)]
    folder.save_record(record(0, "fp32"))
    assert folder.load_records() == [record(0)]


def test_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "x.json").mkdir()
    for path, reason in [
        (tmp_path / "file" / "x.json", "File exists"),
        (tmp_path / "x.json", "Is a directory"),
        (Path("/proc/nowhere/x.json"), "No such file or directory"),
    ]:
        with pytest.raises(InputError) as caught:
            whole_files.write_atomically(path, "text")
        assert str(caught.value).startswith(f"{path} cannot be written ({reason}): ")
        assert "run.results=DIR" in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "x.json"]


def test_file_that_grows_too_large_leaves_the_old_one(folder: RunFolder) -> None:
    folder.save_record(record(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(
            InputError, match=r"cannot be written \(File too large\): free some space"
        ):
            whole_files.write_atomically(folder.path / store.RECORDS / "00_fp32.json", "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in (folder.path / store.RECORDS).iterdir()] == ["00_fp32.json"]
    assert folder.load_records() == [record(0)]


def test_plan_and_records_come_back_as_they_were(folder: RunFolder) -> None:
    assert folder.load_plan() is None
    assert folder.load_records() == []
    folder.save_plan(plan())
    for position, method in [(10, "last"), (2, "middle"), (0, "first")]:
        folder.save_record(record(position, method))
    loaded = folder.load_plan()
    assert loaded is not None
    assert loaded.as_dict() == json.loads(json.dumps(plan().as_dict()))
    assert [r.method for r in folder.load_records()] == ["first", "middle", "last"]
    assert folder.load_records()[1] == record(2, "middle")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ('{"schema": 1, "run"', "cannot be read"),
        ("\udcff", "cannot be read"),
        ("[]", "schema None, this version reads 2"),
        ('{"schema": 99}', "schema 99, this version reads 2"),
        ('{"schema": 2}', "restore"),
    ],
)
def test_damaged_json_is_named(folder: RunFolder, text: str, said: str) -> None:
    folder.save_plan(plan())
    folder.save_record(record(0))
    for name, load in [
        (store.PLAN, folder.load_plan),
        (f"{store.RECORDS}/00_fp32.json", folder.load_records),
    ]:
        path = folder.path / name
        path.write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(HarnessError) as caught:
            load()
        assert str(path) in str(caught.value)
        assert said in str(caught.value)


@pytest.fixture
def holder(folder: RunFolder) -> Iterator[subprocess.Popen[str]]:
    """Return a process that holds the folder's lock."""
    process = started(HOLDS_THE_LOCK, folder.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_one_process_at_a_time(folder: RunFolder, holder: subprocess.Popen[str]) -> None:
    with (
        pytest.raises(InputError, match=r"another process is working on run one.*run\.id"),
        folder.locked(),
    ):
        pass
    holder.kill()  # the lock goes with the process
    holder.wait()
    with folder.locked():
        pass
    with folder.locked():
        pass


def test_what_a_refused_run_left_is_removed(folder: RunFolder) -> None:
    with folder.locked():
        (folder.path / store.INSPECT_LOG).touch()
        folder.discard()
    assert not folder.path.parent.exists()
    assert folder.path.parent.parent.is_dir()
    with folder.locked():
        (folder.path / "mine.txt").touch()
        folder.discard()
    assert [path.name for path in folder.path.iterdir()] == ["mine.txt"]
    with folder.locked():
        folder.save_plan(plan())
        (folder.path / store.INSPECT_LOG).touch()
        folder.discard()
    names = {path.name for path in folder.path.iterdir()}
    assert names == {store.PLAN, store.INSPECT_LOG, store.LOCK, "mine.txt"}


def test_damaged_records_are_set_aside_and_parts_removed(folder: RunFolder) -> None:
    folder.save_record(record(0))
    folder.save_record(record(1, "int8"))
    folder.save_plan(plan())
    whole, cut = (folder.path / each.path for each in (record(0), record(1, "int8")))
    os.truncate(cut, 20)
    kept = cut.read_bytes()
    part = whole.with_name(f".{whole.name}.77.part")
    part.write_bytes(b"{")
    older = folder.path / "rounds" / "001_fp32_1.json"
    whole_files.write_json(older, {"schema": 1})  # whole, though not to be read by this version
    listed = folder.method("fp32") / store.OPTIMIZED
    whole_files.write_atomically(listed, "[]")
    assert damage.set_aside_damaged(folder) == ["methods/fp32/optimize.json", f"records/{cut.name}"]
    assert cut.with_name(f"{cut.name}.damaged").read_bytes() == kept
    assert not part.exists() and not cut.exists() and not listed.exists()
    assert older.is_file()
    assert [each.method for each in folder.load_records()] == ["fp32"]
    assert damage.set_aside_damaged(folder) == []


def test_an_interrupt_while_writing_leaves_no_part(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    folder.save_record(record(0))
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folder.save_record(record(0, "fp32"))
    (left,) = (folder.path / "records").iterdir()
    assert left.name == "00_fp32.json"


def test_a_run_whose_plan_is_lost_is_seen(folder: RunFolder) -> None:
    """What a refused run left is removed: that must not be a run's measurements."""
    assert not folder.has_lost_its_plan
    folder.save_record(record(0))
    assert folder.has_lost_its_plan
    folder.save_plan(plan())
    assert not folder.has_lost_its_plan


def test_arrays_are_those_recorded(folder: RunFolder) -> None:
    base = folder.method("fp32")
    base.mkdir(parents=True)
    path = base / "predictions.npz"
    values = np.arange(10, dtype=np.uint16).reshape(2, 5)
    np.savez_compressed(path, top=values)
    file = recorded_files.digest_of(path, base)
    assert file.stored == {
        "path": "predictions.npz",
        "bytes": path.stat().st_size,
        "sha256": whole_files.sha256_of(path),
    }
    row = sample_records.measured("fp32", 1.0)
    assert row.validate is not None
    row = replace(row, validate=changed(row.validate, predictions=file.stored))
    np.testing.assert_array_equal(folder.load_predictions(row, 2), values)
    with pytest.raises(HarnessError, match=r"no predictions \(its shape is .* expected 3 x any"):
        folder.load_predictions(row, 3)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    advice = r"restore it, or give run\.id=one, which measures the row again"
    with pytest.raises(HarnessError, match=rf"predictions\.npz is missing or is not .*{advice}"):
        folder.load_predictions(row, 2)
    path.unlink()
    with pytest.raises(HarnessError, match=r"predictions\.npz is missing"):
        folder.load_predictions(row, 2)


def test_digests_of_large_files_are_those_of_sha256sum(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(np.random.default_rng(0).bytes((4 << 20) + 1))
    said = subprocess.run(["sha256sum", str(path)], capture_output=True, text=True, check=True)
    assert whole_files.sha256_of(path) == said.stdout.split()[0]


def test_find_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run one under .*: there is none yet"):
        find_run(tmp_path / "nowhere", "one")
    for machine, run in [("a", "one"), ("a", "two"), ("b", "one"), ("b", "three"), ("b", "zero")]:
        RunFolder(tmp_path / machine / run).save_plan(plan(run))
    (tmp_path / "a" / "unplanned").mkdir()
    assert find_run(tmp_path, "two").path == tmp_path / "a" / "two"
    assert find_run(tmp_path, "two").id == "two"
    with pytest.raises(
        InputError, match=r"run one exists for several machines: name one of a/one, b/one"
    ):
        find_run(tmp_path, "one")
    with pytest.raises(InputError, match=r"no run four .*: the last ones are three, two, zero"):
        find_run(tmp_path, "four")
    with pytest.raises(InputError, match="no run unplanned"):
        find_run(tmp_path, "unplanned")
