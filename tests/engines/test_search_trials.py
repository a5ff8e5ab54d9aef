"""The evaluations of a search are on the disk as they end."""

from __future__ import annotations

import json
from pathlib import Path

from harness.engines.search_trials import Trials
from harness.storage.store import TRAJECTORY


def test_a_search_that_is_killed_has_left_its_evaluations(tmp_path: Path) -> None:
    said: list[tuple[int, int, str]] = []
    trials = Trials(lambda *of_progress: said.append(of_progress), tmp_path, "trials", 5)
    for accuracy, changed in ((0.5, {}), (0.75, {"conv": "fp32"})):
        trials.add(accuracy, changed)
        kept = json.loads((tmp_path / TRAJECTORY).read_text())  # nothing said that a search ended
        assert kept == trials.entries
    assert [(one["trial"], one["accuracy"]) for one in kept] == [(1, 0.5), (2, 0.75)]
    assert all(one["seconds"] >= 0 for one in kept) and kept[1]["changed"] == {"conv": "fp32"}
    assert said == [(1, 5, "trials"), (2, 5, "trials")]
