"""The image: what it is made of, and that it prints tables where a container tool runs.

Without such a tool the Dockerfile is checked as text, by hadolint too where it is installed, and a copy
of what would get into the image measures a table.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from harness import PROJECT
from harness.setup.setup_env import LEVELS
from helpers.command_line import PATIENCE_S
from helpers.instruction_sets import LIMIT

TOOLS = ("docker", "podman")
TAG = "inc-bench:test"
DOCKERFILE = (PROJECT / "Dockerfile").read_text()
IGNORED = (PROJECT / ".dockerignore").read_text()


def instructions() -> list[tuple[str, str]]:
    """Return each instruction with its arguments, continued lines joined."""
    lines = [line for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(line.split(None, 1)[0], " ".join(line.split()[1:])) for line in joined]


def arguments(name: str) -> list[str]:
    return [value for instruction, value in instructions() if instruction == name]


def container_tool() -> str:
    """Return the tool that can build here, or skip."""
    for tool in filter(shutil.which, TOOLS):
        if subprocess.run([tool, "info"], capture_output=True, check=False).returncode == 0:
            return tool
    pytest.skip(f"none of {', '.join(TOOLS)} is on PATH and has a service that answers")


def test_the_base_is_debian_slim_by_tag_and_digest() -> None:
    (base,) = arguments("FROM")
    assert re.fullmatch(r"debian:bookworm-\d{8}-slim@sha256:[0-9a-f]{64}", base)


def test_it_runs_as_another_user_than_root() -> None:
    names = [name for name, _ in instructions()]
    (user,) = arguments("USER")
    assert user not in ("root", "0") and f"--user-group {user}" in arguments("RUN")[0]
    set_up = instructions().index(("RUN", "./run.sh run --set-up"))
    assert names.index("USER") < set_up < names.index("ENTRYPOINT")
    (copied,) = arguments("COPY")
    assert f"--chown={user}:{user}" in copied


def test_packages_come_from_the_locks_alone() -> None:
    system, set_up = arguments("RUN")
    (installed,) = re.findall(r"apt-get install ([^&]*)", system)
    packages = {word for word in installed.split() if not word.startswith("--")}
    assert packages == {"ca-certificates", "python3.11"}
    assert "--no-install-recommends" in installed and "rm -rf /var/lib/apt/lists/*" in system
    assert "pip" not in system + set_up and "curl" not in DOCKERFILE and "ADD" not in DOCKERFILE
    for lock in ("build.lock", *LEVELS["run"]):
        text = (PROJECT / "requirements" / lock).read_text()
        pinned = re.findall(r"^[\w.-]+==", text, re.MULTILINE)
        hashed = re.findall(r"^[\w.-]+==[^\n]*\\\n\s+--hash=sha256:", text, re.MULTILINE)
        assert len(pinned) == len(hashed) > 0


def test_running_it_measures_the_table() -> None:
    assert [json.loads(value) for value in arguments("ENTRYPOINT")] == [["./run.sh"]]
    assert [json.loads(value) for value in arguments("CMD")] == [["run"]]


def test_hadolint_has_nothing_to_say() -> None:
    if shutil.which("hadolint") is None:
        pytest.skip("hadolint is not on PATH")
    checked = subprocess.run(
        ["hadolint", str(PROJECT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def context() -> Iterator[str]:
    """Yield the files of the repository that .dockerignore lets into the image."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    rules = [line for line in IGNORED.splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"  # only what is named gets in
    taken = [rule[1:] for rule in rules if rule.startswith("!")]
    left = [rule.removeprefix("**/") for rule in rules[1:] if not rule.startswith("!")]
    for name in listed.stdout.splitlines():
        is_taken = any(name == rule or name.startswith(f"{rule}/") for rule in taken)
        if is_taken and not any(fnmatch(part, rule) for part in name.split("/") for rule in left):
            yield name


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    for name in context():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, folder / name)
    return folder


def in_the_copy(copied: Path, *words: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "harness", *words],
        cwd=copied,
        env={**os.environ, "PYTHONPATH": str(copied)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_no_run_and_no_environment_gets_in(copied: Path) -> None:
    assert {path.name for path in (copied / "results").iterdir()} == {"example"}
    assert not (copied / "tests").exists() and not (copied / ".git").exists()
    assert not list(copied.rglob("model-*"))


def test_what_gets_in_prints_the_example(copied: Path, tmp_path: Path) -> None:
    printed = in_the_copy(copied, "table", "published", f"run.cache={tmp_path}")
    assert "int8 INC mycustom" in printed


@pytest.mark.slow
def test_what_gets_in_measures_a_table(copied: Path, tmp_path: Path) -> None:
    limit = [f"max_cpu_isa={LIMIT}"] if LIMIT else []
    words = ["run", "experiment=smoke", "method=[fp32]", f"run.cache={tmp_path}", *limit]
    printed = in_the_copy(copied, *words)
    assert "fp32 no optimization" in printed


@pytest.mark.slow
def test_the_image_prints_tables() -> None:
    tool = container_tool()
    (base,) = arguments("FROM")
    if subprocess.run([tool, "pull", base], capture_output=True, check=False).returncode:
        pytest.skip(f"{tool} cannot pull {base}")
    built = subprocess.run(
        [tool, "build", "--tag", TAG, str(PROJECT)], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr[-3000:]
    running = [tool, "run", "--rm", "--init", "--network", "none"]
    for words in (["table", "published"], ["run", "experiment=smoke"]):
        ended = subprocess.run(
            [*running, TAG, *words], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert ended.returncode == 0, ended.stderr
        assert "fp32 no optimization" in ended.stdout
    user = [*running, "--entrypoint", "id", TAG, "-u"]
    asked = subprocess.run(user, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() not in ("", "0")
