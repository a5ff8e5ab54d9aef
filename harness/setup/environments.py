"""Where the environments are, who uses them, and when one may go.

`.venv` is a link to a folder of `.venvs`. An environment is made in its own folder there, and then the
link is replaced in one step, so whoever runs stays in the environment that it started in. A user holds
a shared lock on its environment's file `lock` as long as it runs; only what nobody holds is deleted.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harness import PROJECT
from harness.files.locks import lock_open_file

STAMP = "environment.json"  # written when all of an environment is done: its identity at each level
LOCK = "lock"
NOT_A_PROGRAM = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP, errno.ENOEXEC)
SIZES = "235 MB to download, 1 GB on disk"
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of renameat2


class SetupError(Exception):
    """What failed and what to do about it, in words for the user."""


@dataclass(frozen=True)
class Environment:
    """One environment and the shared lock on it: a descriptor, or None where it has no lock file."""

    path: Path
    lock: int | None

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    def identity(self, level: str) -> str | None:
        """Return what this environment is at a level, or None if it was not made for that."""
        try:
            made = json.loads((self.path / STAMP).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # of an earlier version, or damaged
            return None
        found = made.get(level) if isinstance(made, dict) else None
        return found if isinstance(found, str) else None

    def release(self) -> None:
        if self.lock is not None:
            os.close(self.lock)


class Place:
    """The environments of a checkout: the harness's own, or those of an engine.

    Args:
        engine: its name, which ends the names of what is here; empty for the harness's own.
    """

    def __init__(self, root: Path = PROJECT, engine: str = "") -> None:
        ending = f"-{engine}" if engine else ""
        self.link = root / f".venv{ending}"
        self.folder = root / f".venvs{ending}"
        self.making = root / f".venv{ending}.lock"
        self.measuring = root / ".venv.measuring"  # locked as long as a verb that measures runs

    def published(self) -> Environment | None:
        """Return the environment that `.venv` leads to, held; None if there is none."""
        while True:
            path = self._target()
            if path is None:
                return None
            found = Environment(path, _shared(path / LOCK))
            if self._target() == path:
                return found
            found.release()  # it was replaced in between, and may be gone

    def hold_measuring(self) -> None:
        """Say to other starts of this checkout, as long as this process lives, that it measures."""
        _shared(self.measuring, create=True)

    def require_nothing_measured(self) -> None:
        """Refuse to make an environment, which loads the machine, while this checkout measures.

        This process may hold the lock itself, for what it measures later.

        Raises:
            SetupError: another process measures.
        """
        own = self._held_measuring()
        try:
            descriptor = os.open(self.measuring, os.O_RDONLY) if own is None else own
        except FileNotFoundError:
            return
        try:
            if lock_open_file(descriptor) is False:
                raise SetupError(
                    "another run.sh of this checkout measures now, and making an environment would "
                    "disturb it: start this again when that has ended"
                )
        finally:
            if own is None:
                os.close(descriptor)
            else:  # the attempt has taken the shared lock away
                lock_open_file(own, shared=True, wait=True)

    def _held_measuring(self) -> int | None:
        """Return the descriptor of ``hold_measuring``, which this process had before its exec, too."""
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # that of the listing is closed
                if os.path.samestat(os.fstat(int(name)), os.stat(self.measuring)):
                    return int(name)
        return None

    def new(self, identity: str) -> Path:
        """Make an empty folder for an environment; the caller is the only maker."""
        self.folder.mkdir(exist_ok=True)
        for number in range(1, 1000):
            path = self.folder / (identity[:16] + (f"-{number}" if number > 1 else ""))
            with suppress(FileExistsError):
                path.mkdir()
                (path / LOCK).touch()
                return path
        raise SetupError(f"{self.folder} is full of environments: delete those that nobody uses")

    def publish(self, path: Path) -> None:
        """Have `.venv` lead to a finished environment, in one step."""
        os.sync()  # after a power cut the link must not lead to empty files
        aside = self.folder / f"replaced-by-{path.name}-{os.getpid()}"
        aside.symlink_to(path.relative_to(self.link.parent))
        if self.link.is_dir() and not self.link.is_symlink():  # of an earlier version
            _exchange(aside, self.link)
        else:
            aside.replace(self.link)

    def clear(self, *, unfinished: bool = False) -> None:
        """Delete the environments that are not published and that nobody holds; quietly if it fails.

        Args:
            unfinished: only what a set-up left behind that was killed.
        """
        current = self._target()
        for path in sorted(self.folder.glob("*")):
            if path == current or (unfinished and not _is_unfinished(path)):
                continue
            with suppress(OSError), _unused(path) as unused:
                if unused:
                    path.unlink() if path.is_symlink() else shutil.rmtree(path)

    def make_ready(
        self,
        fitting: Callable[[], Environment | None],
        make: Callable[[int], Path],
        problem: Callable[[Environment], str | None],
        ready: str,
    ) -> Environment:
        """Return an environment, held: a new one, or that of whoever made one meanwhile.

        Args:
            fitting: returns the environment that is there, held, if it fits.
            make: makes one in a folder of its own, under the makers' lock, and returns that.
            problem: says why an environment does not start, or None.
            ready: what is said when it is done.

        Raises:
            SetupError: it could not be made, or does not start; or this checkout measures now.
            OSError: its folder cannot be written.
        """
        self.require_nothing_measured()
        with exclusive(self.making) as lock:
            there = fitting()
            if there is not None:
                return there
            self.clear(unfinished=True)
            path = make(lock)
            if (why := problem(Environment(path, None))) is not None:
                raise SetupError(f"the new environment {path} does not start: {why}")
            self.publish(path)
            say(ready)
            there = self.published()
            self.clear()
        if there is None:
            raise SetupError(f"{self.link} is gone again: start ./run.sh again")
        return there

    def _target(self) -> Path | None:
        try:
            return Path(os.path.realpath(self.link, strict=True))
        except (FileNotFoundError, NotADirectoryError):
            return None


def identity(packages: Sequence[Path]) -> str:
    """Return what an environment is: the interpreter as it knows itself, and all that is installed.

    Args:
        packages: the lock files, and the set-up's own text.
    """
    interpreter = [
        sys.implementation.name,
        sys.version,
        list(platform.python_build()),
        os.path.realpath(sys.base_prefix),
        os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
    ]
    digest = hashlib.sha256(json.dumps(interpreter).encode())
    for path in packages:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@contextmanager
def exclusive(path: Path) -> Iterator[int]:
    """Hold the lock file at `path`, waiting for whoever has it; yields its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        is_held = lock_open_file(descriptor)
        if is_held is None:
            say(f"warning: {path.parent} has no locks: start no other run.sh until this is done")
        elif not is_held:
            say("another run.sh is setting up the environment; waiting for it")
            lock_open_file(descriptor, wait=True)
        yield descriptor
    finally:
        os.close(descriptor)


def failure_of(command: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """Return why a program of an environment fails: what it says on stderr; None where it does not.

    Raises:
        OSError: nothing can be started now.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env=environment, check=False
        )
    except OSError as error:
        if error.errno not in NOT_A_PROGRAM:
            raise  # no process or no memory to be had, which says nothing of the environment
        return str(error)
    if done.returncode:
        return done.stderr.strip() or f"it ended with exit code {done.returncode}"
    return None


def say(message: str) -> None:
    """Tell the user on stderr: stdout belongs to the verb that run.sh runs."""
    print(f"run.sh: {message}", file=sys.stderr, flush=True)


def _shared(path: Path, create: bool = False) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | (os.O_CREAT if create else 0), 0o644)
    except FileNotFoundError:
        return None
    try:
        lock_open_file(descriptor, shared=True, wait=True)
    except BaseException:
        os.close(descriptor)
        raise
    os.set_inheritable(descriptor, True)  # the harness holds it on, over exec
    return descriptor


@contextmanager
def _unused(path: Path) -> Iterator[bool]:
    """Yield whether nobody uses a folder that is not published; nobody begins to in the block."""
    try:
        descriptor = os.open(path / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        yield not _is_mapped(path)
        return
    try:
        is_held = None
        with suppress(OSError):  # it stays then, as where it is held or there are no locks
            is_held = lock_open_file(descriptor)
        yield bool(is_held)
    finally:
        os.close(descriptor)


def _is_unfinished(path: Path) -> bool:
    return path.is_symlink() or ((path / LOCK).exists() and not (path / STAMP).exists())


def _is_mapped(folder: Path) -> bool:
    """Return whether a process has a file of a folder in its memory: earlier versions hold no lock."""
    inside = f" {folder}/"
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            if inside in maps.read_text(encoding="utf-8", errors="replace"):
                return True
    return False


def _exchange(first: Path, second: Path) -> None:
    """Let two paths change places, in one step where the kernel and the file system know it."""
    libc = ctypes.CDLL(None, use_errno=True)
    one, two = os.fsencode(first), os.fsencode(second)
    if hasattr(libc, "renameat2") and not libc.renameat2(
        AT_FDCWD, one, AT_FDCWD, two, RENAME_EXCHANGE
    ):
        return
    kept = first.with_name(f"{first.name}-earlier")
    second.rename(kept)
    first.rename(second)
