"""The systemd units and the CI workflow, as far as they can be tried without either."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from harness import PROJECT
from harness.command_line.verbs import find_verb
from harness.config import compose_config

FOLDER = PROJECT / "docs" / "nightly"


def words_of(command: str) -> list[str]:
    found = re.search(r"run\.sh (.*)", command)
    assert found, command
    return found[1].split()


def composes(words: list[str]) -> None:
    verb, *overrides = words
    assert find_verb(verb)
    compose_config([re.sub(r'"[^"]*"', "x", word) for word in overrides])


def test_the_service_starts_a_night() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(FOLDER / "inc-bench-nightly.service")
    assert unit["Service"]["Type"] == "oneshot"
    composes(words_of(unit["Service"]["ExecStart"]))
    timer = configparser.RawConfigParser()
    timer.read(FOLDER / "inc-bench-nightly.timer")
    assert timer["Timer"]["OnCalendar"]


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    for unit in FOLDER.glob("inc-bench-nightly.*"):
        text = unit.read_text().replace("/opt/inc-bench/run.sh", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert not complaints


def test_the_workflow_starts_a_night() -> None:
    flow = yaml.safe_load((FOLDER / "github-workflow.yml").read_text())
    (job,) = flow["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    composes(words_of(commands[0]))
    assert all(step.get("if") == "always()" for step in job["steps"][2:])
    assert flow[True]["schedule"][0]["cron"]  # YAML 1.1 reads the key "on" as true
