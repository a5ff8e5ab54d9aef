"""Files of rows that are the same file on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.storage.recorded_files import digest_of, is_intact, share


def rows(path: Path, *contents: str) -> list[Path]:
    """Return folders with a file network.onnx each."""
    folders = [path / str(number) for number in range(len(contents))]
    for folder, content in zip(folders, contents, strict=True):
        folder.mkdir()
        (folder / "network.onnx").write_text(content)
    return folders


@pytest.mark.parametrize("has_links", [True, False])
def test_rows_with_the_same_file_share_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    folders = rows(tmp_path, "one", "one", "another")
    shared = [share(digest_of(f / "network.onnx", f), f, folders) for f in folders]
    assert all(is_intact(f / file.path, file) for f, file in zip(folders, shared, strict=True))
    assert shared[0] == shared[1] != shared[2]
    assert shared[0].path == f"network-{shared[0].sha256[:16]}.onnx"
    numbers = [(f / file.path).stat().st_ino for f, file in zip(folders, shared, strict=True)]
    assert (numbers[0] == numbers[1]) == has_links and numbers[2] not in numbers[:2]
    assert [len(list(folder.iterdir())) for folder in folders] == [1, 1, 1]


def test_a_row_that_is_made_again_changes_no_other(tmp_path: Path) -> None:
    folders = rows(tmp_path, "one", "one")
    shared = [share(digest_of(f / "network.onnx", f), f, folders) for f in folders]
    (folders[1] / shared[1].path).unlink()
    (folders[1] / shared[1].path).write_text("torn")  # by an attempt that was interrupted
    (folders[1] / "network.onnx").write_text("one")
    again = share(digest_of(folders[1] / "network.onnx", folders[1]), folders[1], folders)
    assert again == shared[0]
    assert all(is_intact(folder / again.path, again) for folder in folders)
