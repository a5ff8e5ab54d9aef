"""Locks: two processes are kept apart whatever the file system and the kernel do not have."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness import PROJECT
from harness.errors import HarnessError
from harness.files import locks
from harness.files.holders import LONGEST_COMMAND
from harness.render.progress import Lines, told_once
from helpers.compiled import compiled_library
from helpers.refused_calls import NO_LOCKS, without

HOLDS = """
import sys
from pathlib import Path
from harness.files.locks import Wait, held
told = []
def tell(holder, seconds):
    told or print("waits", holder, flush=True)
    told.append(holder)
wait = None if sys.argv[2] == "at once" else Wait(float(sys.argv[2]), "some.key", tell)
with held(Path(sys.argv[1]), wait) as got:
    print("holds" if got else "busy", flush=True)
    sys.stdin.read() if got else None
"""


class Notes(Lines):
    """Notes that are kept instead of printed."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


KINDS = ["flock", "EPERM", "ENOSYS", "ENOLCK", "EINVAL", "EOPNOTSUPP"]


class Process:
    """A process that takes a lock and holds it until it is ended."""

    def __init__(self, kind: Kind, path: Path, how: str = "at once", code: str = HOLDS) -> None:
        self.process = subprocess.Popen(
            [*kind.before, sys.executable, "-c", code, str(path), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(PROJECT), **kind.environment},
        )

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self, kill: bool = False) -> str:
        if kill:
            self.process.kill()
        return self.process.communicate()[1]


class Kind:
    """How processes are started: with all calls, without flock, or without locks in a folder."""

    def __init__(
        self, before: Sequence[str] = (), environment: dict[str, str] | None = None
    ) -> None:
        self.before, self.environment = before, environment or {}


@pytest.fixture(scope="module")
def no_locks(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    return compiled_library(tmp_path_factory.mktemp("no_locks"), "no_locks", NO_LOCKS)


@pytest.fixture(params=[*KINDS, "no flock"])
def kind(request: pytest.FixtureRequest, tmp_path: Path, no_locks: Path | None) -> Kind:
    if request.param == "flock":
        return Kind()
    if request.param == "no flock":
        return Kind(without("flock", errno.EPERM))
    if no_locks is None:
        pytest.skip("needs a C compiler for a file system that refuses locks")
    (tmp_path / "files").mkdir()
    number = str(getattr(errno, request.param))
    under = {"NO_LOCKS_UNDER": str(tmp_path / "files"), "NO_LOCKS_ERRNO": number}
    return Kind((), {"LD_PRELOAD": str(no_locks), **under})


@pytest.mark.parametrize("ends", [False, True])
def test_two_processes_are_kept_apart_and_a_death_lets_go(
    kind: Kind, tmp_path: Path, ends: bool
) -> None:
    path = tmp_path / "files" / "deep" / ".lock"
    first = Process(kind, path)
    assert first.says() == "holds"
    second = Process(kind, path)
    assert second.says() == "busy"
    waiting = Process(kind, path, "0")
    # a lock of an open file description names nobody; its holder's list of open files does
    assert waiting.says().startswith(f"waits pid {first.process.pid} of user ")
    said = first.end(kill=ends) + second.end()
    assert waiting.says() == "holds"
    waiting.end()
    assert ("no locks on this file system" in said) == ("LD_PRELOAD" in kind.environment)


def test_a_folder_is_locked_as_a_file_is(kind: Kind, tmp_path: Path) -> None:
    first = Process(kind, tmp_path)
    assert first.says() == "holds"
    second = Process(kind, tmp_path)
    assert second.says() == "busy"
    first.end()
    second.end()


def test_a_wait_ends_at_its_limit_and_names_who_holds_the_lock(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "files" / ".lock"
    first = Process(kind, path)
    assert first.says() == "holds"
    second = Process(kind, path, "0.2")
    assert second.says().startswith("waits ")
    assert second.process.wait() == 1
    said = second.end()
    first.end()
    assert f"{path} is locked by pid {first.process.pid} of user " in said
    assert "after 0.2 s of waiting" in said and "some.key=SECONDS" in said


SHARES = """
import sys
from pathlib import Path
from harness.files.locks import Lock, Wait
lock = Lock(Path(sys.argv[1]))
lock.take(shared=True)
print("shares", flush=True)
for line in sys.stdin:
    lock.take(shared=line.strip() == "share", wait=Wait(0))
    print(line.strip(), flush=True)
"""


def test_a_long_command_of_a_holder_is_cut_between_words(tmp_path: Path) -> None:
    code = f"{HOLDS}# {' longwords' * 30}"
    holder = Process(Kind(), tmp_path / "lock", code=code)
    assert holder.says() == "holds"
    second = locks.Lock(tmp_path / "lock")
    try:
        assert not second.take()
        command = getattr(second.holder(), "command", "")
    finally:
        second.close()
        holder.end()
    words = " ".join([sys.executable, "-c", *code.split()])
    assert command.endswith(" …") and len(command) <= LONGEST_COMMAND + 2
    assert words.startswith(f"{command[:-2]} ")


def test_a_wait_says_whom_it_waits_for_and_how_long_at_most() -> None:
    show = Notes()
    tell = told_once(show, "another run measures", 5400.0)
    tell("pid 1", 0.0)
    tell("pid 1", 1.0)
    told_once(show, "another run measures", 0.0)("pid 2", 0.0)
    assert show.notes == [
        "another run measures: waiting for it, for 1:30:00 at most (run.wait_s): pid 1",
        "another run measures: waiting for it: pid 2",
    ]


def test_holders_that_share_do_not_wait_for_ever_to_be_alone(kind: Kind, tmp_path: Path) -> None:
    """Each lets go of its share while it waits, so one after the other is alone."""
    path = tmp_path / "files" / ".lock"
    both = [Process(kind, path, code=SHARES) for _ in range(2)]
    assert [each.says() for each in both] == ["shares", "shares"]
    alone = Process(kind, path)
    assert alone.says() == "busy"
    alone.end()
    for each in both:
        assert each.process.stdin is not None
        each.process.stdin.write("alone\n")  # and then it ends
        each.process.stdin.close()
    assert [each.says() for each in both] == ["alone", "alone"]
    for each in both:
        each.process.wait()


def test_a_lock_file_that_was_deleted_while_it_was_waited_for(tmp_path: Path) -> None:
    """Whoever gets the lock of a file that is gone has locked nothing."""
    path = tmp_path / "run" / ".lock"
    first, late = locks.Lock(path), locks.Lock(path)
    assert first.take()
    path.unlink()
    path.parent.rmdir()
    first.close()
    assert late.take()
    other = locks.Lock(path)
    assert not other.take()
    late.close()
    assert other.take()
    other.close()


def test_without_any_lock_nothing_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    monkeypatch.setattr(locks.fcntl, "fcntl", refuse)
    refused = pytest.raises(HarnessError, match=r"cannot be locked \(flock: .*run\.results")
    with refused, locks.held(tmp_path / "x"):
        pass
    with pytest.raises(HarnessError, match="nothing can be locked"):
        locks.weakness(tmp_path)


def test_the_local_folder_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"inc-bench-locks-{os.geteuid()}"
    first, second = tmp_path / "first", tmp_path / "second"
    for each in (first, second):
        each.mkdir()
    monkeypatch.setattr(locks, "LOCAL", (first, second))
    assert locks.local_folder() == first / name
    (first / name).chmod(0o777)  # others could remove what is in it
    assert locks.local_folder() == second / name
    (second / name).rmdir()
    (second / name).symlink_to(tmp_path)
    with pytest.raises(HarnessError, match="must be yours alone"):
        locks.local_folder()


HISTORY = """
import sys
from pathlib import Path
from harness.nightly.memory.database import opened
with opened(Path(sys.argv[1])) as history:
    history._connection.execute("BEGIN IMMEDIATE")
    names = "machine, run, created, folder, alike, environment, shifted, regressions, acknowledged"
    row = ["m", sys.argv[2], "", "", "{}", "{}", "", "", ""]
    history._connection.execute(f"INSERT INTO runs ({names}) VALUES (?,?,?,?,?,?,?,?,?)", row)
    print("holds", flush=True)
    sys.stdin.read()
    history._connection.execute("COMMIT")
"""


def test_the_history_is_written_where_nothing_locks(kind: Kind, tmp_path: Path) -> None:
    """SQLite takes record locks alone, so it is told to take none and a lock of ours stands for it."""
    folder = tmp_path / "files"
    folder.mkdir(exist_ok=True)
    first = Process(kind, folder, "one", HISTORY)
    assert first.says() == "holds"
    second = Process(kind, folder, "two", HISTORY)
    first.end()
    assert second.says() == "holds"
    second.end()
    from harness.nightly.memory.database import opened

    with opened(folder) as history:
        assert history.machines() == ["m"]
        found = history._connection.execute("SELECT run FROM runs ORDER BY run").fetchall()
    assert found == [("one",), ("two",)]


def test_one_module_locks_files() -> None:
    calls = {
        path.relative_to(PROJECT / "harness").as_posix()
        for path in (PROJECT / "harness").rglob("*.py")
        if re.search(r"\bfcntl\.(flock|lockf)\b|\bF_(OFD_)?SETLKW?\b", path.read_text())
        or re.search(r"from fcntl import", path.read_text())
    }
    assert calls == {"files/locks.py", "serving/line.py"}  # of memory that is no file of a disk


def test_an_open_file_is_locked_by_one_of_two(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    files = [os.open(path, os.O_RDONLY | os.O_CREAT) for _ in range(3)]
    assert [locks.lock_open_file(file, shared=True) for file in files] == [True, True, True]
    assert locks.lock_open_file(files[0]) is False
    for file in files[1:]:
        os.close(file)
    assert locks.lock_open_file(files[0], wait=True) is True
    os.close(files[0])


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EPERM])
def test_an_open_file_that_nothing_locks_is_said_to_be_so(tmp_path: Path, number: int) -> None:
    code = (
        "import os, sys; from harness.files.locks import lock_open_file\n"
        "print(lock_open_file(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)))"
    )
    done = subprocess.run(
        [*without("flock", number), sys.executable, "-c", code, str(tmp_path / "lock")],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "None\n"
