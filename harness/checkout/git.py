"""How git is called: without hooks, and without what leads it to another repository."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from harness.process.variables import passed_to_workers

DUBIOUS = "detected dubious ownership"  # git's words for a repository of another user
# a repository's own settings must start no program
SETTINGS = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")


def git_command(folder: Path, *words: str) -> list[str]:
    """Return a call of git in a folder; its environment is ``git_environment``."""
    return ["git", *SETTINGS, "-C", str(folder), *words]


def git_environment() -> dict[str, str]:
    """Return the variables that git sees: none of those that lead it elsewhere."""
    return {**passed_to_workers(os.environ), "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}


def run_git(
    folder: Path, *words: str, timeout_s: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run git in a folder and return how it ended, with what it printed.

    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it took longer.
    """
    return subprocess.run(
        git_command(folder, *words),
        env=git_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout_s,
        check=False,
    )


def refused_owner(folder: Path, printed: str) -> str | None:
    """Return git's refusal to read a repository of another user, and what to do; None if it is none.

    Args:
        printed: by git on stderr, of a call in the folder.
    """
    said = next((line for line in printed.splitlines() if DUBIOUS in line), None)
    places = [folder, folder / ".git"]
    if said is None or not places[1].exists():  # then it is a repository around the project
        return None
    others = [place for place in places if place.stat().st_uid != os.geteuid()] or places
    try:
        owner = others[0].owner()
    except KeyError:  # a number without a name
        owner = f"'#{others[0].stat().st_uid}'"
    return f"git {said.removeprefix('fatal: ')}: run it as the owner: sudo -u {owner} ./run.sh ..."
