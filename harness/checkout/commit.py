"""The commit of a checkout, read with git where git is there and knows the checkout."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from harness.process.variables import passed_to_workers
from harness.storage.plan import COMMIT, Checkout

MEASURING = ("harness", "conf", "requirements", "run.sh")  # paths that decide what a run measures
KNOWN_BY = "harness/__main__.py"  # tracked only where the repository is this project's
PATIENCE_S = 60.0
SETTINGS = ("-c", "core.fsmonitor=false")  # a repository's own settings must start no program


def read_checkout(root: Path) -> Checkout | None:
    """Return the commit of a checkout, and whether what is measured is as committed.

    Args:
        root: the project's folder.

    Returns:
        None where git is not installed, fails, or does not track the project: in a copy without
        ``.git``, or in a repository of another owner.
    """
    commit = git(root, "rev-parse", "--verify", "HEAD")
    tracked = git(root, "ls-files", "--error-unmatch", "--", KNOWN_BY)
    if commit is None or tracked is None or not re.fullmatch(COMMIT, commit.strip()):
        return None
    changes = git(root, "status", "--porcelain", "--untracked-files=all", "--", *MEASURING)
    return None if changes is None else Checkout(commit=commit.strip(), clean=not changes.strip())


def git(root: Path, *words: str) -> str | None:
    """Return what git prints of a folder; None if it cannot tell."""
    environment = {**passed_to_workers(os.environ), "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    try:
        ended = subprocess.run(
            ["git", "--no-optional-locks", *SETTINGS, "-C", str(root), *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.stdout.decode("utf-8", "replace")
