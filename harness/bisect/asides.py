"""Checkouts of the project beside this one, one for each of what is measured in turn."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.bisect.pairs import Version
from harness.checkout.git import refused_owner, run_git
from harness.errors import HarnessError, InputError
from harness.files.whole_files import make_folder
from harness.setup.environments import STAMP

LOCK_FILES = "requirements"
COMMON_LOCKS = ("requirements/build.lock", "requirements/run.lock")
HISTORY = "history"


@dataclass(frozen=True)
class State:
    """What a version is made of.

    Attributes:
        commit: its code.
        locks: texts of lock files that replace those of the commit, by path.
    """

    commit: str
    locks: Mapping[str, str] = field(default_factory=dict)


class Asides:
    """The checkouts of a search, in a folder of their own.

    Each version is measured in a checkout whose environment of packages is made of its lock files, by
    the set-up of that version; this process's environment is taken where it is the same.

    Args:
        root: the repository that has the commits.
        folder: where the checkouts are made; it can be deleted at any time.
        locks: paths of the lock files that count: versions that differ in others share an environment.
    """

    def __init__(self, root: Path, folder: Path, locks: Collection[str] = COMMON_LOCKS) -> None:
        self.root, self.folder, self.locks = root, folder, locks
        make_folder(folder, "run.cache")
        self._states: dict[Version, State] = {}
        self._current: dict[Path, Version] = {}

    def require_commits(self, commits: Sequence[str]) -> None:
        """Refuse commits that the repository does not have, or that the checkout is not made of.

        A plan names the commit, and the code of the commit runs: an object that only lies in the
        repository, as that of a fetched branch, is no part of the trusted checkout.

        Raises:
            InputError: one is missing, or no ancestor of HEAD; there is no repository or no git; or
                the repository belongs to another user.
        """
        for commit in commits:
            known = self._run(self.root, "cat-file", "-e", f"{commit}^{{commit}}")
            if known.returncode:
                refusal = refused_owner(self.root, known.stderr)
                if refusal is not None:
                    raise InputError(refusal)
                raise InputError(
                    f"{self.root} has no commit {commit[:12]}: fetch it (git fetch), or start this in "
                    "the checkout that measured the runs"
                )
            if self._run(self.root, "merge-base", "--is-ancestor", commit, "HEAD").returncode:
                raise InputError(
                    f"commit {commit[:12]} is no part of what is checked out in {self.root}, and no "
                    "code runs because a plan names it: check out a branch that has it"
                )

    def history(self) -> Path:
        """Return a clone without files, in which ``git bisect`` keeps its state."""
        return self._clone(self.folder / HISTORY)

    def text_of(self, commit: str, path: str) -> str | None:
        """Return a file of a commit; None if it has none."""
        shown = self._run(self.root, "show", f"{commit}:{path}")
        return None if shown.returncode else shown.stdout

    def lock_texts(self, commit: str) -> dict[str, str]:
        """Return the lock files of a commit that count, by path."""
        listed = self._run(self.root, "ls-tree", "-r", "--name-only", commit, f"{LOCK_FILES}/")
        names = [name for name in listed.stdout.splitlines() if name in self.locks]
        return {name: self.text_of(commit, name) or "" for name in names}

    def subject(self, commit: str) -> str:
        """Return the first line of a commit's message."""
        return self._run(self.root, "log", "-1", "--format=%s", commit).stdout.strip()

    def add(self, version: Version, state: State) -> Version:
        self._states[version] = state
        return version

    def place(self, version: Version, is_reference: bool) -> Path:
        """Return the checkout of a version, with its files.

        Args:
            is_reference: it is the version that others are measured in turn with.

        Raises:
            HarnessError: git fails.
        """
        state = self._states[version]
        locks = {**self.lock_texts(state.commit), **state.locks}
        digest = hashlib.sha256(repr(sorted(locks.items())).encode()).hexdigest()[:12]
        path = self.folder / f"{'reference' if is_reference else 'candidate'}-{digest}"
        if self._current.get(path) == version:
            return path
        self._clone(path)
        self._checked(path, "checkout", "--quiet", "--force", "--detach", state.commit)
        for name, text in state.locks.items():
            (path / name).write_text(text, encoding="utf-8")
        engines = {link.name: link.resolve() for link in self.root.glob(".venv-*")}
        for name, environment in {".venv": Path(sys.prefix), **engines}.items():
            link = path / name
            if (environment / STAMP).is_file() and not link.exists():
                link.unlink(missing_ok=True)  # of a search that was stopped, to what is gone
                link.symlink_to(environment)  # another is made where the lock files differ
        self._current[path] = version
        return path

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _clone(self, path: Path) -> Path:
        if not path.is_dir():
            options = ("--quiet", "--shared", "--no-checkout")
            self._checked(self.folder, "clone", *options, str(self.root), str(path))
        return path

    def _checked(self, folder: Path, *words: str) -> str:
        ended = self._run(folder, *words)
        if ended.returncode:
            raise HarnessError(f"git {words[0]} failed in {folder}: {ended.stderr.strip()}")
        return ended.stdout

    def _run(self, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return run_git(folder, *words)
        except OSError as error:
            raise InputError(
                f"git cannot be started ({error.strerror}): install it; a search over commits and lock "
                "files reads them with it"
            ) from None
