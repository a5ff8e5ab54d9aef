"""What a power cut leaves: a record is on its disk only after all that it names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.facts import typed
from harness.files import durable
from harness.storage import damage, recorded_files, store
from harness.storage.record import MethodRecord
from harness.storage.store import RunFolder
from helpers import sample_records
from helpers.command_line import TINY, CommandLine, Ended


class Disk:
    """What ``fsync`` has put on the disk: files by their inode, and the names in each folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[int, bytes] = {}
        self._folders: dict[Path, dict[str, int]] = {}

    def sync(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_dir():
            self._folders[path] = {each.name: each.stat().st_ino for each in path.iterdir()}
        else:
            self._files[os.fstat(descriptor).st_ino] = path.read_bytes()

    def after_a_power_cut(self) -> dict[str, bytes]:
        """Return the files that can be found from the root down; unsynced ones are empty."""
        found = {}
        waiting = [self._root]
        while waiting:
            folder = waiting.pop()
            for name, inode in self._folders.get(folder, {}).items():
                path = folder / name
                if path in self._folders or path.is_dir():
                    waiting.append(path)
                else:
                    found[str(path.relative_to(self._root))] = self._files.get(inode, b"")
        return found


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(tmp_path)
    monkeypatch.setattr(os, "fsync", disk.sync)
    return disk


def measured(folder: RunFolder) -> MethodRecord:
    """Return a row with the files that a worker leaves: written, and not on the disk."""
    base = folder.method("fp32")
    base.mkdir(parents=True)
    for name in ("model-symbol.json", "model-0000.params", store.HISTORY):
        (base / name).write_bytes(name.encode() * 100)
    np.savez_compressed(base / "predictions.npz", top=np.zeros((2, 5), np.uint16))
    symbol, params, history, predictions = (
        recorded_files.digest_of(base / name, base)
        for name in ("model-symbol.json", "model-0000.params", store.HISTORY, "predictions.npz")
    )
    row = sample_records.measured("fp32", 1.0)
    assert row.optimize is not None and row.validate is not None
    return replace(
        row,
        optimize=typed.changed(row.optimize, symbol=symbol.stored, params=params.stored),
        validate=typed.changed(row.validate, predictions=predictions.stored),
        history=history,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    folder = RunFolder(tmp_path / "results" / "machine" / "one")
    with folder.locked():
        yield folder


def test_all_that_a_record_names_is_on_the_disk_before_it(disk: Disk, folder: RunFolder) -> None:
    folder.save_plan(replace(sample_records.plan(), run="one"))
    row = measured(folder)
    assert row.optimize is not None
    folder.save_optimized("fp32", row.optimize)
    folder.save_record(row)
    left = {
        name.removeprefix("results/machine/one/"): content
        for name, content in disk.after_a_power_cut().items()
    }
    for path, _ in folder.files_of(row):
        assert left[str(path.relative_to(folder.path))] == path.read_bytes() != b""
    for name in (store.PLAN, row.path, f"methods/fp32/{store.OPTIMIZED}"):
        assert left[name] == (folder.path / name).read_bytes() != b""


def test_a_record_is_never_there_before_what_it_names(
    disk: Disk, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power is cut at every single synchronisation."""
    row = measured(folder)
    seen = []

    def sync(descriptor: int) -> None:
        disk.sync(descriptor)
        left = disk.after_a_power_cut()
        if f"results/machine/one/{row.path}" in left:
            seen.append(left)

    monkeypatch.setattr(os, "fsync", sync)
    folder.save_record(row)
    assert seen
    for left in seen:
        for path, _ in folder.files_of(row):
            assert left[f"results/machine/one/{path.relative_to(folder.path)}"]


def test_new_folders_are_kept_up_to_the_one_that_was_there(disk: Disk, tmp_path: Path) -> None:
    durable.write(tmp_path / "a" / "b" / "c" / "file", b"text")
    assert disk.after_a_power_cut() == {"a/b/c/file": b"text"}


def test_a_missing_file_does_not_keep_a_record_from_being_written(folder: RunFolder) -> None:
    row = measured(folder)
    (folder.method("fp32") / "model-0000.params").unlink()
    folder.save_record(row)
    assert (folder.path / row.path).is_file()


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def changed(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("harm", [emptied, changed, Path.unlink])
@pytest.mark.parametrize("name", ["predictions.npz", "model-symbol.json", "model-0000.params"])
def test_a_row_whose_files_are_damaged_is_set_aside(
    folder: RunFolder, name: str, harm: Callable[[Path], None]
) -> None:
    row = measured(folder)
    folder.save_record(row)
    rounds = [sample_records.timed("fp32", 1, [1.0]), sample_records.timed("int8_fp32", 1, [1.0])]
    for each in rounds:
        folder.save(each)
    harm(folder.method("fp32") / name)
    is_model = name.startswith("model")
    aside = damage.set_aside_damaged(folder)
    if harm is Path.unlink and is_model:  # nothing needs it until the row is timed
        assert aside == []
    else:
        assert aside == [row.path, *([rounds[0].path] if is_model else [])]
        assert (folder.path / f"{row.path}.damaged").is_file()
    assert damage.set_aside_damaged(folder) == []
    assert (folder.path / rounds[1].path).is_file()


@pytest.fixture(scope="module")
def two_rows(session_run: Callable[..., Ended]) -> Ended:
    return session_run("method=[fp32,mine]", *TINY)


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("methods/mine/predictions.npz", emptied),
        ("methods/mine/predictions.npz", Path.unlink),
        ("records/01_mine.json", emptied),
    ],
)
def test_the_table_shows_the_other_rows(
    two_rows: Ended, cli: CommandLine, name: str, harm: Callable[[Path], None]
) -> None:
    copied = cli.copy_of(two_rows)
    harm(copied.path / name)
    ended = cli("table", f"run={copied.id}")
    assert ended.code == 0, ended.err
    rows = [line for line in ended.out.splitlines() if line.startswith("|")]
    (lost,) = [line for line in rows if f"run.id={copied.id}, which measures that again" in line]
    assert lost.startswith("| mine") and Path(name).name in lost
    assert sum("| ok" in line for line in rows) == 1
    refused = cli("pack", f"run={copied.id}")
    assert refused.code == 3 and str(copied.path / name) in refused.err


def test_a_damaged_round_is_told_and_left_out(folder: RunFolder) -> None:
    folder.save(sample_records.timed("fp32", 1, [1.0]))
    folder.save(sample_records.timed("fp32", 2, [1.0]))
    emptied(folder.path / sample_records.timed("fp32", 2, [1.0]).path)
    readable = damage.load_readable(folder, sample_records.plan())
    assert [each.round for each in readable.rounds] == [1]
    assert len(readable.lost) == 1
    assert "002_fp32_1.json is damaged and left out" in readable.lost[0]


def test_the_outcome_of_a_damaged_row_is_not_written(two_rows: Ended, cli: CommandLine) -> None:
    copied = cli.copy_of(two_rows)
    emptied(copied.method("mine") / "predictions.npz")
    before = {path: path.read_bytes() for path in copied.path.glob("records/*.json")}
    cli("table", f"run={copied.id}")
    assert {path: path.read_bytes() for path in copied.path.glob("records/*.json")} == before
