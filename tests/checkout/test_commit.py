"""What git says of the checkout that runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from harness.checkout.commit import KNOWN_BY, read_checkout
from harness.checkout.git import git_environment

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
    notes: list[str] = []
    checkout = read_checkout(project, notes.append)
    assert checkout is not None
    assert (checkout.commit, checkout.clean) == (run_git(project, "rev-parse", "HEAD"), True)
    assert not notes


def test_what_does_not_run_leaves_a_checkout_clean(project: Path) -> None:
    notes: list[str] = []
    (project / "README.md").write_text("read on\n")
    (project / "results").mkdir()
    (project / "results/plan.json").write_text("{}\n")
    checkout = read_checkout(project, notes.append)
    assert checkout is not None and checkout.clean
    assert not notes


@pytest.mark.parametrize("name", [KNOWN_BY, "harness/new.py", "conf/method/own.yaml", "run.sh"])
def test_a_changed_or_new_file_that_runs_makes_it_unclean(project: Path, name: str) -> None:
    notes: list[str] = []
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / name).write_text("changed\n")
    checkout = read_checkout(project, notes.append)
    assert checkout is not None and not checkout.clean
    assert not notes


def test_a_copy_in_a_repository_of_others_has_no_commit(project: Path) -> None:
    notes: list[str] = []
    copy = project / "copies/other"
    shutil.copytree(project / "harness", copy / "harness")
    assert read_checkout(copy, notes.append) is None
    assert not notes


def test_without_git_nothing_is_known(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    shutil.copytree(project / "harness", tmp_path / "copy/harness")
    assert read_checkout(tmp_path / "copy", notes.append) is None  # not in a repository
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_checkout(project, notes.append) is None
    assert not notes


def test_variables_and_settings_of_others_do_not_count(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    started = tmp_path / "started"
    run_git(project, "config", "core.fsmonitor", f"touch {started}")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert read_checkout(project, notes.append) is not None
    assert not started.exists()
    assert not notes


def test_a_checkout_of_another_user_has_no_commit_and_a_note_says_so(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where root measures in the checkout of a service's user."""
    notes: list[str] = []
    others = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1", "GIT_CONFIG_NOSYSTEM": "1"}
    environment = {**git_environment(), **others, "HOME": str(tmp_path)}
    monkeypatch.setattr("harness.checkout.git.git_environment", lambda: environment)
    assert read_checkout(project, notes.append) is None
    (said,) = notes
    assert "is not known; git detected dubious ownership" in said and "sudo -u" in said
