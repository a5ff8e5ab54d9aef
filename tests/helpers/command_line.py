"""The command line as a user starts it: in a process of its own, watched, signalled, resumed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from harness import PROJECT
from harness.host import isa
from harness.process.own_modules import VARIABLE
from harness.storage.record import MethodRecord
from harness.storage.store import RunFolder
from helpers.instruction_sets import LIMIT
from helpers.shared import shared, shared_folder

OWN = PROJECT / "tests" / "own"  # a folder such as a user gives with --conf
sys.path.append(str(OWN))  # for tests that use it in their own process
os.environ[VARIABLE] = json.dumps([str(OWN)])
PATIENCE_S = 3 * 3600  # only a hang lasts so long, however slow or busy the machine is
# Where nothing looks at times: a core for each process that runs tests. A bound thread would wait for
# the first CPU, which those of all other tests are bound to, and a team would spin for its members.
ONE_THREAD = ("threads.count=1", "threads.proc_bind='FALSE'")
TINY = ("workload=tiny", *ONE_THREAD, "protocol.profile_batches=0", "--conf", str(OWN))
T = TypeVar("T")


def until(found: Callable[[], T | None], what: str) -> T:
    """Return what ``found`` gives as soon as it gives something."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f"waited in vain for {what}")


def same_after(files: Sequence[Path]) -> dict[Path, tuple[bytes, int]]:
    """Return the files' contents and times of change, to compare before and after."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@dataclass
class Ended:
    """How a command ended, and the folders of the runs that are in its results."""

    code: int
    out: str
    err: str
    results: Path

    @property
    def folder(self) -> RunFolder:
        """The one run."""
        (plan,) = self.results.glob("*/*/plan.json")
        return RunFolder(plan.parent)

    @property
    def outcomes(self) -> dict[str, str]:
        return {name: str(record.outcome) for name, record in self.records.items()}

    @property
    def records(self) -> dict[str, MethodRecord]:
        return {record.method: record for record in self.folder.load_records()}


@dataclass
class Started:
    """A command that runs."""

    process: subprocess.Popen[str]
    results: Path
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._out: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(stream, into), daemon=True)
            for stream, into in (
                (self.process.stderr, self.lines),
                (self.process.stdout, self._out),
            )
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: Any, into: list[str]) -> None:
        for line in stream:
            into.append(line)

    def _alive(self) -> None:
        assert self.process.poll() is None, "it ended early:\n" + "".join(self.lines)

    def says(self, text: str) -> None:
        """Wait until a line of stderr holds ``text``."""

        def found() -> bool:
            if any(text in line for line in list(self.lines)):
                return True
            self._alive()
            return False

        until(found, text)

    def makes(self, pattern: str) -> Path:
        """Wait until a file under the results matches ``pattern``."""

        def found() -> Path | None:
            self._alive()
            return next(self.results.glob(pattern), None)

        return until(found, pattern)

    def worker(self) -> psutil.Process:
        """Wait until a worker runs and return it."""

        def found() -> psutil.Process | None:
            self._alive()
            with contextlib.suppress(psutil.Error):  # one that has just ended
                for child in psutil.Process(self.process.pid).children():
                    if "harness.process.worker" in child.cmdline():
                        return child
            return None

        return until(found, "a worker")

    def end(self) -> Ended:
        """Wait for the end."""
        code = self.process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join()
        return Ended(code, "".join(self._out), "".join(self.lines), self.results)


def limit_of(words: Sequence[str]) -> list[str]:
    """Return what asks for the limit that the tests run under, or their rows would be INVALID."""
    verb = next((word for word in words[:1] if "=" not in word and word[:1] != "-"), "run")
    inherited = os.environ.get(isa.VARIABLE, "").upper() == LIMIT  # a test may set another
    given = any(word.startswith("max_cpu_isa=") for word in words)
    measures = verb in ("run", "nightly", "aa", "fleet")
    return [f"max_cpu_isa={LIMIT}"] if LIMIT and inherited and measures and not given else []


@dataclass
class CommandLine:
    """``python -m harness`` with results and cache of the test's own."""

    results: Path
    cache: Path
    started: list[Started] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)  # besides this process's own
    through: Sequence[str] = ()  # a command that starts the one that it is given
    project: Path = PROJECT  # the checkout

    def start(self, *words: str) -> Started:
        if threading.current_thread() is threading.main_thread():
            # ignored where a shell started pytest in the background, and that would be inherited
            signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            [*self.through, sys.executable, "-m", "harness", *words, *self.places(words)],
            cwd=self.project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **self.variables},
        )
        self.started.append(Started(process, self.results))
        return self.started[-1]

    def places(self, words: Sequence[str]) -> list[str]:
        """Return where to keep things, for the verbs that take it."""
        only_results = words[:1] in (("table",), ("recover",), ("compare",))
        results = [f"run.results={self.results}"]
        if only_results:
            return results
        limit = [] if self.through else limit_of(words)
        return [*results, f"run.cache={self.cache}", *limit]

    def __call__(self, *words: str) -> Ended:
        return self.start(*words).end()

    def copy_of(self, ended: Ended) -> RunFolder:
        """Copy a run into these results."""
        folder = ended.folder.path
        copied = self.results / folder.parent.name / folder.name
        shutil.copytree(folder, copied)
        return RunFolder(copied)

    def close(self) -> None:
        """End whatever a failed test left running; workers die with their parent."""
        for started in self.started:
            if started.process.poll() is None:
                started.process.kill()
                started.end()


def strays(results: Path) -> list[psutil.Process]:
    """Return the processes that work in a folder of these results: workers."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(results):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def no_stray(results: Path) -> None:
    """Assert that no worker is left, or that what is left ends."""
    _, alive = psutil.wait_procs(strays(results), timeout=PATIENCE_S)
    assert not alive


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of prepared images of all runs of the tests."""
    return shared_folder(tmp_path_factory) / "cache"


@pytest.fixture
def cli(tmp_path: Path, shared_cache: Path) -> Any:
    command = CommandLine(tmp_path / "results", shared_cache)
    yield command
    command.close()


@pytest.fixture(scope="session")
def session_run(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Any:
    """Return a function that makes a run for several tests, which only read it.

    All processes that run tests get one run for the same words.
    """
    commands: list[CommandLine] = []

    def run(*words: str) -> Ended:
        def fill(folder: Path) -> None:
            commands.append(CommandLine(folder / "results", shared_cache))
            ended = commands[-1](*words)
            (folder / "ended.json").write_text(json.dumps([ended.code, ended.out, ended.err]))

        name = hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16]
        folder = shared(tmp_path_factory, f"run-{name}", fill)
        return Ended(*load(folder / "ended.json"), folder / "results")

    yield run
    for command in commands:
        command.close()


@pytest.fixture(scope="session")
def smoke_run(session_run: Callable[..., Ended]) -> Ended:
    """Return a run of one row of each kind on bundled images; INC makes exactly two trials."""
    return session_run(
        "method=[fp32,fp32_fused,int8_smart_naive,int8_inc_mse]",
        *ONE_THREAD,
        "workload.images=128",
        "workload.batch_size=32",
        "workload.tuning.batches=1",
        "tuning.sampling_size=32",
        "tuning.criterion=absolute",
        "tuning.tolerance=1.0",  # a model that predicts anything is good enough ...
        "tuning.timeout_s=3600",  # ... and with a time limit INC goes on to the last trial
        "tuning.max_trials=2",
    )


@pytest.fixture(scope="session")
def own_run(session_run: Callable[..., Ended]) -> Ended:
    """Return a run of methods and an INC strategy that are not the project's."""
    return session_run("method=[mine,int8_kl,int8_kl_again,int8_never]", *TINY)


def load(path: Path) -> Any:
    return json.loads(path.read_text())
