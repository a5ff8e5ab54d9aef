"""A search does not grow from trial to trial; ``./run.sh benchmark soak`` makes 500."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.soak import slope, soak
from harness.storage.store import HISTORY


def test_slope_is_that_after_the_warm_up() -> None:
    warm = [1000 * trial for trial in range(100)]
    steady = [100_000 + 2 * trial for trial in range(400)]
    assert slope(warm + steady) == pytest.approx(200 / 1024)


@pytest.mark.slow
def test_a_short_search(tmp_path: Path) -> None:
    found = soak(160, tmp_path / "results")
    assert 144 <= found.trials <= 160  # INC draws some configurations twice
    assert found.peak_mb < 2.0  # per 100 trials; over so few, one block more or less shows
    assert found.kb[HISTORY] < 160 * 2
