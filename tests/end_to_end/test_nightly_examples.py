"""The systemd units and the CI workflow, as far as they can be tried without either."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

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


def unit_of(name: str) -> configparser.RawConfigParser:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(FOLDER / name)
    return unit


def test_the_service_starts_a_night() -> None:
    """As a user of its own, whose results and cache are where it may write."""
    unit = unit_of("inc-bench-nightly.service")
    service = unit["Service"]
    assert service["Type"] == "oneshot" and service["User"] == "inc-bench"
    words = words_of(service["ExecStart"])
    composes(words)
    assert f"run.results=/var/lib/{service['StateDirectory']}/results" in words
    assert f"HOME=/var/lib/{service['StateDirectory']}" in service["Environment"].split()
    assert "XDG_CACHE_HOME=/var/cache" in service["Environment"].split()
    assert service["CacheDirectory"] == "inc-bench"  # below XDG_CACHE_HOME
    assert service["ReadWritePaths"] == service["WorkingDirectory"]  # the environment is made there
    assert (FOLDER / unit["Unit"]["OnFailure"]).is_file()
    timer = configparser.RawConfigParser()
    timer.read(FOLDER / "inc-bench-nightly.timer")
    assert timer["Timer"]["OnCalendar"]


@pytest.mark.parametrize("has_mail", [True, False])
def test_a_failed_night_is_told_by_what_onfailure_starts(tmp_path: Path, has_mail: bool) -> None:
    """The commands are stand-ins; the script is the unit's, with what systemd replaces replaced."""
    unit = unit_of("inc-bench-nightly-failed.service")["Service"]
    shell, option, script = shlex.split(unit["ExecStart"].replace("\\\n", " "))
    script = script.replace("$$", "$").replace("%%", "%")
    says = {
        "journalctl": 'printf "Act: do so\\n100 %%\\n"',
        "systemd-cat": f"cat > {tmp_path}/journal",
    }
    if has_mail:
        says["mail"] = f'echo "$@" > {tmp_path}/mail; cat >> {tmp_path}/mail'
    for name, body in says.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    for name in ("cat", "uname"):
        found = shutil.which(name)
        assert found
        (tmp_path / name).symlink_to(found)
    named, _, value = unit["Environment"].partition("=")
    done = subprocess.run(
        [shell, option, script], env={"PATH": str(tmp_path), named: value}, check=False
    )
    assert done.returncode == 0
    assert (tmp_path / "journal").read_text() == "Act: do so\n100 %\n"
    assert (tmp_path / "mail").exists() == has_mail
    if has_mail:
        title, *said = (tmp_path / "mail").read_text().splitlines()
        assert title.startswith("-s inc-bench: the night failed on ") and title.endswith(" root")
        assert said == ["Act: do so", "100 %"]


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    for unit in FOLDER.glob("inc-bench-nightly*"):
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
    assert not complaints and done.returncode == 0


def workflow() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the workflow and the steps of the job that measures."""
    flow = yaml.safe_load((FOLDER / "github-workflow.yml").read_text())
    return flow, flow["jobs"]["nightly"]["steps"]


def test_the_workflow_starts_a_night() -> None:
    flow, steps = workflow()
    commands = [step["run"] for step in steps if "run" in step]
    composes(words_of(commands[0]))
    assert flow[True]["schedule"][0]["cron"]  # YAML 1.1 reads the key "on" as true
    job = flow["jobs"]["nightly"]
    assert steps[1]["timeout-minutes"] < job["timeout-minutes"]  # what shows it has its time, too
    limit = re.search(r" --kill-after=(\d+)m (\d+)h ", commands[0])
    assert limit and int(limit[1]) + 60 * int(limit[2]) < steps[1]["timeout-minutes"]


@pytest.mark.parametrize(
    ("limit", "sent", "kept"),
    [("1s", None, "SIGTERM"), ("6h", signal.SIGTERM, "SIGTERM"), ("6h", signal.SIGINT, "SIGINT")],
)
def test_a_stopped_step_of_the_workflow_tells_the_night_once(
    tmp_path: Path, limit: str, sent: signal.Signals | None, kept: str
) -> None:
    """At the time limit; and as a runner does, which signals the step's first process alone."""
    _, (_, judging, *_) = workflow()
    night = tmp_path / "run.sh"
    night.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, signal, time\n"
        "told = []\n"
        "for number in (signal.SIGINT, signal.SIGTERM):\n"
        "    signal.signal(number, lambda number, _: told.append(signal.Signals(number).name))\n"
        "pathlib.Path('ready').touch()\n"
        "while not told:\n"
        "    time.sleep(0.02)\n"
        "time.sleep(0.5)\n"
        "pathlib.Path('kept').write_text(' '.join(told))\n"
        "raise SystemExit(3)\n"
    )
    night.chmod(0o755)
    command = ["bash", "-e", "-c", judging["run"].replace(" 6h ", f" {limit} ")]
    env = {"HOME": str(tmp_path), "NIGHT": "night-1-1", "PATH": os.environ["PATH"]}
    step = subprocess.Popen(command, cwd=tmp_path, env=env, start_new_session=True)
    end = time.monotonic() + 60
    while not (tmp_path / "ready").exists() and time.monotonic() < end:
        time.sleep(0.05)
    if sent is not None:
        step.send_signal(sent)
    assert step.wait(60) == 3
    assert (tmp_path / "kept").read_text() == kept


@pytest.mark.parametrize("left", [True, False])
def test_the_workflow_fails_once_for_a_verdict(tmp_path: Path, left: bool) -> None:
    """Steps after the verdict run in any case, show it, and fail for nothing."""
    _, (_, judging, *others) = workflow()
    assert "if" not in judging and "continue-on-error" not in judging
    assert all(step["if"] == "always()" for step in others)
    assert all(step["continue-on-error"] for step in others if "uses" in step)
    night = tmp_path / "inc-bench-results" / "m" / "night-1-1"
    night.mkdir(parents=True)
    if left:
        for name in ("nightly.md", "nightly.json", "nightly.junit.xml"):
            (night / name).write_text(name)
        page = night.parent / "history" / "index.html"
        page.parent.mkdir()
        page.write_text("page")
    summary = tmp_path / "summary"
    env = {
        "HOME": str(tmp_path),
        "GITHUB_WORKSPACE": str(tmp_path),
        "NIGHT": night.name,
        "GITHUB_STEP_SUMMARY": str(summary),
        "PATH": os.environ["PATH"],
    }
    for step in others:
        if "run" in step:  # as a runner does
            command = ["bash", "-e", "-o", "pipefail", "-c", step["run"]]
            done = subprocess.run(command, cwd=tmp_path, env=env, check=False)
            assert done.returncode == 0, step["name"]
    assert summary.read_text() == (
        "nightly.md" if left else "The night left no verdict: see the step Measure and judge.\n"
    )
    (shows,) = (step["with"] for step in others if "report_paths" in step.get("with", {}))
    assert (tmp_path / shows["report_paths"]).exists() == left
    assert shows["annotate_only"] is True and shows["fail_on_failure"] is False
    site = {str(path.relative_to(tmp_path / "site")) for path in (tmp_path / "site").rglob("*.*")}
    pages = {"m/history/index.html", f"m/{night.name}/nightly.md"} if left else set()
    assert site == {"index.html", *pages}
    index = (tmp_path / "site" / "index.html").read_text()
    assert ('href="m/history/index.html"' in index) == left


def test_the_pages_are_published_and_fail_for_nothing() -> None:
    """By a job that alone may write pages, from what the night's job handed over."""
    flow, steps = workflow()
    job = flow["jobs"]["pages"]
    assert job["needs"] == "nightly" and job["continue-on-error"] is True
    assert job["permissions"] == {"pages": "write", "id-token": "write"}
    assert flow["permissions"] == {"contents": "read"}
    used = [step["uses"] for step in (*steps, *job["steps"]) if "uses" in step]
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", name) for name in used)
    assert {"actions/upload-pages-artifact", "actions/deploy-pages"} <= {
        name.partition("@")[0] for name in used
    }


def test_actionlint_takes_the_workflow() -> None:
    """With the file that names the runner's label; INC_BENCH_ACTIONLINT may say where the program is."""
    program = os.environ.get("INC_BENCH_ACTIONLINT") or shutil.which("actionlint")
    if program is None:
        pytest.skip("actionlint is not installed")
    done = subprocess.run(
        [program, "-config-file", FOLDER / "actionlint.yaml", FOLDER / "github-workflow.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
