"""What git says of the checkout that runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from harness.checkout.commit import KNOWN_BY, read_checkout

AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


def run_git(root: Path, *words: str) -> str:
    ended = subprocess.run(
        ["git", "-C", str(root), *AUTHOR, *words], check=True, capture_output=True, text=True
    )
    return ended.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    root = tmp_path / "project"
    (root / KNOWN_BY).parent.mkdir(parents=True)
    (root / KNOWN_BY).write_text("print()\n")
    (root / "README.md").write_text("read\n")
    run_git(tmp_path, "init", "-q", str(root))
    run_git(root, "add", ".")
    run_git(root, "commit", "-qm", "first")
    return root


def test_the_commit_and_that_nothing_was_changed(project: Path) -> None:
    checkout = read_checkout(project)
    assert checkout is not None
    assert (checkout.commit, checkout.clean) == (run_git(project, "rev-parse", "HEAD"), True)


def test_what_does_not_run_leaves_a_checkout_clean(project: Path) -> None:
    (project / "README.md").write_text("read on\n")
    (project / "results").mkdir()
    (project / "results/plan.json").write_text("{}\n")
    checkout = read_checkout(project)
    assert checkout is not None and checkout.clean


@pytest.mark.parametrize("name", [KNOWN_BY, "harness/new.py", "conf/method/own.yaml", "run.sh"])
def test_a_changed_or_new_file_that_runs_makes_it_unclean(project: Path, name: str) -> None:
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / name).write_text("changed\n")
    checkout = read_checkout(project)
    assert checkout is not None and not checkout.clean


def test_a_copy_in_a_repository_of_others_has_no_commit(project: Path) -> None:
    copy = project / "copies/other"
    shutil.copytree(project / "harness", copy / "harness")
    assert read_checkout(copy) is None


def test_without_git_nothing_is_known(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(project / "harness", tmp_path / "copy/harness")
    assert read_checkout(tmp_path / "copy") is None  # not in a repository
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_checkout(project) is None


def test_variables_and_settings_of_others_do_not_count(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    run_git(project, "config", "core.fsmonitor", f"touch {started}")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert read_checkout(project) is not None
    assert not started.exists()
