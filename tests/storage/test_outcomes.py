"""Kinds of outcomes have one definition."""

from __future__ import annotations

import ast
from typing import get_args

from harness import PROJECT
from harness.storage import outcomes

OTHERS = {  # words with another meaning there
    "harness/doctor/finding.py": {"ok"},
    "harness/export/asv.py": {"timeout"},
    "harness/fleet/ray_cluster.py": {"refused"},
    "harness/fleet/schedule.py": {"refused"},
    "harness/methods/inc_settings.py": {"timeout"},
    "harness/methods/recovery.py": {"input"},
    "harness/nightly/nightly_report.py": {"failed"},
    "harness/process/executor.py": {"timeout"},
    "harness/report/html_report.py": {"ok"},
    "harness/storage/tuning_history.py": {"input"},
    "harness/errors.py": {"failed"},
    "harness/__main__.py": {"interrupted"},
    "harness/fleet/node.py": {"interrupted"},
}


def test_no_other_module_spells_a_kind() -> None:
    kinds = {*get_args(outcomes.Kind), outcomes.INPUT}
    spelled = {}
    for path in (PROJECT / "harness").rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        words = {node.value for node in nodes if isinstance(node, ast.Constant)}
        if words & kinds:
            spelled[path.relative_to(PROJECT).as_posix()] = words & kinds
    assert spelled.pop("harness/storage/outcomes.py") == kinds
    assert spelled == OTHERS


def test_finished_kinds_are_kinds() -> None:
    assert set(get_args(outcomes.Kind)) > outcomes.FINISHED
