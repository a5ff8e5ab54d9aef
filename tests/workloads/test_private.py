"""Private copies of files that name each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import InputError
from harness.files.whole_files import sha256_of
from harness.workloads.private import copied_together


def test_what_is_digested_is_what_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    graph, weights = tmp_path / "engine.xml", tmp_path / "engine.bin"
    graph.write_text("graph")
    weights.write_text("weights")
    recorded = {path: sha256_of(path) for path in (graph, weights)}
    with copied_together(recorded) as folder:
        weights.write_text("others")
        assert folder.is_absolute() and folder.parent == tmp_path
        assert (folder / graph.name).read_text() == "graph"
        assert (folder / weights.name).read_text() == "weights"
    assert not folder.exists()
    with (
        pytest.raises(InputError, match=r"engine\.bin is not the file .* restore it"),
        copied_together(recorded),
    ):
        pass
    weights.unlink()
    with (
        pytest.raises(InputError, match=r"engine\.bin does not exist: restore it"),
        copied_together(recorded),
    ):
        pass
    assert list(tmp_path.iterdir()) == [graph]
