"""The commit of a checkout, read with git where git is there and knows the checkout."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from harness.checkout.git import refused_owner, run_git
from harness.storage.plan import CODE, COMMIT, Checkout

MEASURING = (*CODE, "requirements", "run.sh")  # paths that decide what a run measures
KNOWN_BY = "harness/__main__.py"  # tracked only where the repository is this project's
PATIENCE_S = 60.0


def read_checkout(root: Path, note: Callable[[str], None]) -> Checkout | None:
    """Return the commit of a checkout, and whether what is measured is as committed.

    Args:
        root: the project's folder.
        note: is told where git refuses to read a repository of another user.

    Returns:
        None where git is not installed, fails, or does not track the project: in a copy without
        ``.git``, or in a repository of another owner.
    """
    commit = _git(root, note, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None
    tracked = _git(root, note, "ls-files", "--error-unmatch", "--", KNOWN_BY)
    if tracked is None or not re.fullmatch(COMMIT, commit.strip()):
        return None
    changes = _git(root, note, "status", "--porcelain", "--untracked-files=all", "--", *MEASURING)
    return None if changes is None else Checkout(commit=commit.strip(), clean=not changes.strip())


def _git(root: Path, note: Callable[[str], None], *words: str) -> str | None:
    """Return what git prints of a folder; None if it cannot tell."""
    try:
        ended = run_git(root, "--no-optional-locks", *words, timeout_s=PATIENCE_S)
    except (OSError, subprocess.SubprocessError):
        return None
    refusal = refused_owner(root, ended.stderr)
    if refusal is not None:
        note(f"warning: the commit of {root} is not known; {refusal}")
    return None if ended.returncode else ended.stdout
