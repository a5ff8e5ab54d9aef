"""Completion, by what argcomplete answers and in real shells."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import PROJECT
from harness.command_line.completion import shell_code
from harness.command_line.proposals import propose
from harness.command_line.verbs import all_verbs
from harness.config import choices
from helpers.command_line import OWN, PATIENCE_S
from helpers.small_project import SmallProject

ENTRY = PROJECT / "harness" / "__main__.py"
RUNS = f"run.results={PROJECT / 'results'}"


def proposed(line: str) -> set[str]:
    """Return what the last word of a line, which may be empty, can become."""
    *words, prefix = line.split(" ")
    return set(propose(words, prefix))


def test_verbs() -> None:
    assert proposed("") >= {verb.name for verb in all_verbs()}
    assert proposed("ta") == {"table", "table.intervals="}
    assert not proposed("table ver") & {"verify"}


def test_words_of_a_verb_and_its_options() -> None:
    assert {"run=", "to=", "models=", "sign="} <= proposed(f"pack {RUNS} ")
    assert proposed("pack models=") == {"models=true", "models=false"}
    assert proposed("compare --f") == {"--force"}
    assert "--conf" in proposed("table --") and "--force" not in proposed("table --")
    assert proposed("acknowledge metric=b") == {"metric=batch_s"}
    assert "method=int8_inc_mse" in proposed("recover method=int8_inc")


def test_runs() -> None:
    for line in (f"table {RUNS} pub", f"table run.results={PROJECT / 'results'} pub"):
        assert proposed(line) == {"published"}
    assert proposed(f"verify {RUNS} with=") >= {"with=published", "with=latest"}
    assert proposed(f"table {RUNS} late") == {"latest"}
    assert proposed(f"{RUNS} run.id=p") == {"run.id=published"}
    assert "nightly.baseline=published" in proposed(f"nightly {RUNS} nightly.baseline=")


def test_runs_of_one_id_are_told_apart(tmp_path: Path) -> None:
    for place in ("m/one", "n/one", "m/two", "m/bad name"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "plan.json").touch()
    names = set(propose(["compare", f"run.results={tmp_path}"], "run="))
    assert names == {"run=m/one", "run=n/one", "run=two", "run=latest"}


def test_keys_and_choices_of_the_configuration() -> None:
    assert proposed("tuning.max") == {"tuning.max_trials="}
    assert proposed("+tuning.se") == {"+tuning.seed="} and proposed("~tuning.se") == {
        "~tuning.seed"
    }
    assert proposed("nightly protocol=c") == {"protocol=careful"}
    assert proposed("experiment=") == {f"experiment={each}" for each in choices("experiment")}
    assert proposed("methods.shared_calibration=") == {
        f"methods.shared_calibration={each}" for each in ("true", "false")
    }
    assert proposed("method=[fp32,fp32_f") == {
        "method=[fp32,fp32_fused,",
        "method=[fp32,fp32_fused]",
    }
    assert "protocol.rounds=" in proposed("protocol=careful protocol.ro")
    assert proposed("workload=nosuch workload.re") >= {"workload.rec="}  # not one that composes


def test_folders_of_the_users_own_count() -> None:
    assert "workload=tiny" in proposed(f"--conf {OWN} workload=t")
    assert "workload=tiny" not in proposed("workload=t")


def test_words_of_a_program_are_its_own() -> None:
    assert proposed("benchmark ov") == {"overhead"}
    assert not proposed("test -") and not proposed("test-fuzz tar")


# --- in shells


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Return a run.sh that answers with this environment, in a folder of an awkward name."""
    path = tmp_path / "it's a (place) $HOME" / "run.sh"
    path.parent.mkdir()
    command = shlex.join([sys.executable, "-I", str(ENTRY), "start"])
    path.write_text(f'#!/bin/bash\nexec {command} "$@"\n')
    path.chmod(0o755)
    return path


@contextmanager
def typing(*command: str, folder: Path) -> Iterator[Callable[[str, str], str]]:
    """Start a shell in a terminal; yield what types a text and waits until a pattern is shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        variables = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb"}
        os.execvpe(command[0], command, {**variables, "PS1": "ready> ", "COLUMNS": "200"})
    shown = ""

    def type_(text: str, until: str) -> str:
        nonlocal shown
        os.write(terminal, text.encode())
        begin, end = len(shown), time.monotonic() + PATIENCE_S
        while not re.search(until, shown[begin:]):
            ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
            assert ready, shown
            shown += os.read(terminal, 4096).decode(errors="replace")
        return shown[begin:]

    try:
        yield type_
    finally:
        os.kill(pid, signal.SIGKILL)
        os.close(terminal)
        os.waitpid(pid, 0)


def test_bash(script: Path, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.write_text(shell_code("bash", script))
    other = tmp_path / "run.sh"  # somebody else's: it is completed, and never started
    other.write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\n")
    other.chmod(0o755)
    with typing("bash", "--norc", "--noprofile", "-i", folder=tmp_path) as type_:
        type_("", "ready> ")
        type_("set +o history; . ./code && echo in''stalled\r", r"installed\r\n.*ready> ")
        type_("./run.sh ackn\t", "acknowledge $")
        type_("metr\t", "metric=$")
        type_("ba\t", "batch_s $")
        type_("\x15./run.sh workload=im\t", "imagenet $")
        type_("\x15./run.sh method=[fp32,fp32_s\t", "ummed")
        type_(f"\x15./run.sh table {RUNS} publi\t", "published $")
        type_("\x15./run.sh workload.rec=star\t", "star")
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(shell: str, script: Path, tmp_path: Path) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    code = tmp_path / "code"
    code.write_text(shell_code(shell, script))
    if shell == "fish":
        line = f"source {code}; complete --do-complete './run.sh ackn'"
        done = subprocess.run(
            [found, "--no-config", "-c", line], capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.stdout.startswith("acknowledge"), done.stderr
        return
    with typing(found, "-f", "-i", folder=tmp_path) as type_:
        type_("", "ready> ")
        type_("autoload -U compinit; compinit -u; . ./code && echo in''stalled\r", "installed")
        type_("./run.sh ackn\t", "acknowledge")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_verb_prints_the_code(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness", "completion", shell],
        cwd=PROJECT, capture_output=True, text=True, check=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.stdout == shell_code(shell, PROJECT / "run.sh")


def test_without_an_environment_nothing_is_proposed_and_nothing_made(tmp_path: Path) -> None:
    project = SmallProject.written(tmp_path / "fresh")
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": "./run.sh ta", "COMP_POINT": "11"}
    done = project(variables=asked)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
    assert not (project.root / ".venv").exists()
