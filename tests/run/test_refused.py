"""A run that is refused stays as it was, its log of the look at the model too."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.command_line import CommandLine, Ended


@pytest.mark.slow
def test_a_refused_run_stays_as_it_was(smoke_run: Ended, cli: CommandLine) -> None:
    folder = cli.copy_of(smoke_run)

    def files() -> dict[str, Any]:
        return {
            str(path.relative_to(folder.path)): path.read_bytes()
            for path in folder.path.rglob("*")
            if path.is_file() and path.name != ".lock"
        }

    before = files()
    assert before["inspect.log"] is not None
    ended = cli(f"run.id={folder.id}", "workload.images=96")
    assert ended.code == 2 and "was planned otherwise (" in ended.err
    assert files() == before
