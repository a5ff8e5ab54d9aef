"""The first bad commit, by ``git bisect run``: it chooses the commits, and its program asks this process.

The program writes the commit that git wants tested into one pipe and reads its exit code from another.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.bisect.pairs import Answer
from harness.checkout.git import git_command, git_environment, run_git
from harness.errors import HarnessError

# exit codes that git bisect run knows; what cannot be told is not tested, so git tries its neighbours
CODES: dict[Answer, int] = {"good": 0, "bad": 1, "not separable": 125, "not measured": 125}
STOP = 128
PROGRAM = """
git rev-parse BISECT_HEAD >"/dev/fd/$1" || exit 128
read -r code <"/dev/fd/$2" || exit 128
exit "$code"
"""
FIRST_BAD = re.compile(r"^# first bad commit: \[([0-9a-f]+)\]", re.M)
POSSIBLE = re.compile(r"^# possible first bad commit: \[([0-9a-f]+)\]", re.M)


@dataclass(frozen=True)
class CommitRange:
    """The commits that may be the first bad one.

    Attributes:
        commits: one where it was found; the others could not be told from it.
        last_good: the parent to confirm against; empty where more than one is left.
    """

    commits: tuple[str, ...]
    last_good: str = ""


def count_commits(history: Path, good: str, bad: str, paths: Sequence[str]) -> int:
    """Return how many commits after the good one touch what is measured."""
    return len(_changes(history, good, bad, paths))


def first_bad_commit(
    history: Path, good: str, bad: str, paths: Sequence[str], test: Callable[[str], Answer]
) -> CommitRange:
    """Return the first bad commit, or those that may be it.

    Args:
        history: a clone, in which git keeps the state of the search.
        paths: only commits that touch them are tested.
        test: says whether a commit is good or bad.

    Raises:
        HarnessError: git fails, as where the branches of the two part at a bad commit.
    """
    run_git(history, "bisect", "reset")
    changes = _changes(history, good, bad, paths)
    end = _last_change(history, good, bad, changes)
    begun = run_git(history, "bisect", "start", "--no-checkout", end, good, "--", *paths)
    if begun.returncode:
        raise HarnessError(f"git bisect start failed: {(begun.stderr or begun.stdout).strip()}")
    if not FIRST_BAD.search(_log(history)):
        _run(history, test)
    log = _log(history)
    found = FIRST_BAD.search(log)
    if found is None:
        possible = dict.fromkeys(POSSIBLE.findall(log))  # commits of other paths, too
        left = [commit for commit in possible if commit in changes]
        if len(left) != 1:
            return CommitRange(tuple(left))
    only = left[0] if found is None else found[1]
    parent = run_git(history, "rev-parse", "--verify", "--quiet", f"{only}^").stdout.strip()
    return CommitRange((only,), parent)


def _changes(history: Path, good: str, bad: str, paths: Sequence[str]) -> list[str]:
    """Return the commits after the good one that touch what is measured, the newest first."""
    return run_git(history, "rev-list", f"{good}..{bad}", "--", *paths).stdout.split()


def _last_change(history: Path, good: str, bad: str, changes: Sequence[str]) -> str:
    """Return the last commit that touches what is measured: it has the bad one's files.

    The bad commit itself need not touch them. If git began with it, it would test that last one, and
    a test that errs there would leave it nothing to find.
    """
    last = changes[0] if changes else bad
    return last if is_ancestor(history, good, last) else bad


def is_ancestor(history: Path, commit: str, of: str) -> bool:
    return not run_git(history, "merge-base", "--is-ancestor", commit, of).returncode


def _run(history: Path, test: Callable[[str], Answer]) -> None:
    asking, asked = os.pipe()
    answered, answering = os.pipe()
    command = ["bisect", "run", "sh", "-c", PROGRAM, "sh", str(asked), str(answered)]
    process = subprocess.Popen(
        git_command(history, *command),
        env=git_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(asked, answered),
    )
    os.close(asked)
    os.close(answered)
    with os.fdopen(asking) as commits, os.fdopen(answering, "w") as codes:
        try:
            for line in commits:
                codes.write(f"{CODES[test(line.strip())]}\n")
                codes.flush()
        except BaseException:
            with suppress(OSError):  # a Ctrl-C ended git, too
                codes.write(f"{STOP}\n")
                codes.flush()
            raise
        finally:
            printed, _ = process.communicate()
    if process.returncode and not POSSIBLE.search(_log(history)):
        said = printed.decode(errors="replace").strip().splitlines()[-3:]
        raise HarnessError(f"git bisect run failed: {'; '.join(said)}")


def _log(history: Path) -> str:
    return run_git(history, "bisect", "log").stdout
