"""A run is loaded once: every file that it is made of is opened once, and digested as it is read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.compare.compared_run import load_compared_runs
from harness.compare.pricing.prices import Prices
from harness.files.whole_files import sha256_of
from harness.report.report_writer import write_report
from harness.table.loaded_run import load_run
from harness.table.tables import write_tables
from helpers.sample_run import SECONDS, made_run

PRICES = Prices("list", "2026-01-01", "a bill", "USD")


def of_run(folder: Path) -> set[str]:
    paths = [folder / "plan.json", folder / "labels.npy"]
    for pattern in ("records/*.json", "rounds/*.json", "methods/*/predictions.npz"):
        paths += folder.glob(pattern)
    return {str(path) for path in paths}


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the files under the test's folder that are opened for reading."""
    counts: Counter[str] = Counter()
    real = os.open

    def counting(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_DIRECTORY):
            counts[os.fspath(path)] += 1
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", counting)
    return counts


@pytest.mark.parametrize(
    "use",
    [
        write_tables,
        load_run,
        pytest.param(
            lambda folder: write_report(folder, folder.path.parent / "cache"),
            marks=pytest.mark.slow,  # it draws
        ),
        lambda folder: load_compared_runs(folder.path.parents[1], [folder.id], PRICES, {}),
    ],
    ids=["table", "load", "report", "compare"],
)
def test_each_file_is_opened_once(
    tmp_path: Path, opened: Counter[str], use: Callable[[Any], object]
) -> None:
    folder = made_run(tmp_path / "results")
    opened.clear()
    use(folder)
    names = of_run(folder.path)
    assert len(names) == 2 + 6 + 3 * 5 + 5
    assert {name: opened[name] for name in names} == dict.fromkeys(names, 1)


def test_digests_are_of_the_files(tmp_path: Path) -> None:
    run = load_run(made_run(tmp_path))
    jsons = [name for name in of_run(run.folder.path) if name.endswith(".json")]
    assert {str(run.folder.path / name): digest for name, digest in run.digests.items()} == {
        name: sha256_of(Path(name)) for name in jsons
    }
    assert list(run.predictions) == list(SECONDS)
    for name, best in run.predictions.items():
        with np.load(run.folder.method(name) / "predictions.npz") as kept:
            np.testing.assert_array_equal(best, kept["top"])
