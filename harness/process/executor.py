"""Run one job in a fresh interpreter and return how it ended. The parent blocks; it never polls."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import convert

from harness.host.calls import child_end
from harness.process.confinement import Confined
from harness.process.jobs import Failure, Job, Message, Progressed, Result
from harness.process.own_modules import python_command
from harness.process.variables import passed_to_workers
from harness.process.worker_log import WorkerLog

DONE = "done"
ERROR = "error"
KILLED = "killed"
TIMEOUT = "timeout"
GRACE_S = 5.0
VMSTAT = Path("/proc/vmstat")
ASIDE = ".worker-"  # begins the names of workers' working directories

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes:
        kind: DONE with ``value``; ERROR with the worker's ``error``; KILLED by a
            signal or gone without an answer; TIMEOUT.
        message: one line for KILLED and TIMEOUT.
        seconds: wall clock of the process.
        peak_rss_bytes: the most memory it held at once.
        confined: what the worker had given up (``confinement.confine``); None unless it is DONE.
    """

    kind: str
    value: Any = None
    error: Failure | None = None
    message: str = ""
    seconds: float = 0.0
    peak_rss_bytes: int = 0
    confined: Confined | None = None


def worker_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return a worker's whole environment: the allowed variables of this process, and ``extra``."""
    # nor does what a worker starts import from its working directory
    own = {"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1"}
    return {**passed_to_workers(os.environ), **own, **extra}


def clear_asides(folder: Path) -> None:
    """Remove the working directories that workers of a killed process left below a run's folder."""
    for path in folder.rglob(f"{ASIDE}*"):
        shutil.rmtree(path, ignore_errors=True)


class Worker:
    """One running job."""

    def __init__(
        self,
        job: Job,
        environment: Mapping[str, str],
        log: Path,
        folder: Path,
        python: Path | None = None,
    ) -> None:
        """Start the job.

        Args:
            log: where what it prints goes, as much as ``WorkerLog`` keeps.
            folder: in it the worker gets a working directory of its own, empty, and removed after
                it. What is to stay needs an absolute path.
            python: the interpreter of an engine's environment; None: this one.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._log = WorkerLog(log)
        self._aside = tempfile.TemporaryDirectory(
            dir=folder, prefix=ASIDE, ignore_cleanup_errors=True
        )
        self._began = time.monotonic()
        self._memory_kills = _memory_kills()
        self._read, write = os.pipe()
        try:
            self._process = subprocess.Popen(
                python_command(
                    "harness.process.worker", str(write), str(os.getpid()), python=python
                ),
                stdin=subprocess.PIPE,
                stdout=self._log.write,
                stderr=self._log.write,
                cwd=self._aside.name,
                env=dict(environment),
                pass_fds=[write],
                start_new_session=True,
            )
        except OSError as error:
            cwd = self._aside.name
            self._aside.cleanup()
            if str(error.filename) == cwd and os.access(folder, os.X_OK):
                # subprocess names the folder, whatever failed between the fork and the program
                raise OSError(error.errno, f"{error.strerror} (setsid or dup2 in it)") from None
            raise
        self._log.started()
        os.close(write)
        assert self._process.stdin is not None
        try:
            with self._process.stdin as handle:
                handle.write(json.dumps(job.stored).encode())
        except BrokenPipeError:
            pass  # it died at once; wait() tells how

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, progress: Progress, timeout_s: float = 0) -> Ended:
        """Block until the job ends; pass its progress on.

        A KeyboardInterrupt while waiting stops the worker before it goes on up.
        """
        deadline = self._began + timeout_s if timeout_s else None
        answer: Result | Failure | None = None
        timed_out = False
        try:
            for message in self._messages(deadline):
                if message is None:
                    timed_out = True
                elif isinstance(message, Progressed):
                    progress(message.done, message.total, message.what)
                else:
                    answer = message
        except BaseException:
            self.stop()
            raise
        finally:
            os.close(self._read)
        if timed_out:
            self.stop()
        else:
            self._signal_group(signal.SIGKILL)  # what it started and left behind
        self._log.close()
        status, usage = self._reap()
        self._aside.cleanup()
        seconds = time.monotonic() - self._began
        peak = usage.ru_maxrss * 1024 if usage else 0
        if timed_out:
            return Ended(TIMEOUT, None, None, f"no end after {timeout_s:g} s", seconds, peak)
        if isinstance(answer, Result):
            return Ended(DONE, answer.value, None, "", seconds, peak, answer.confined)
        if answer:
            return Ended(ERROR, None, answer, answer.message, seconds, peak)
        death = _death(status)
        if status == -signal.SIGKILL and _memory_kills() > self._memory_kills:
            death += f" as memory ran out (it held {peak / 1e6:.0f} MB at the most)"
        return Ended(KILLED, None, None, death, seconds, peak)

    def stop(self) -> None:
        """End the worker and its children: SIGTERM, then SIGKILL after a few seconds."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._signal_group(number)
            try:
                waited = os.waitid(
                    os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG
                )
                if waited is None and number is signal.SIGTERM:
                    self._wait_quietly(GRACE_S)
            except ChildProcessError:
                break
        self._log.close()
        self._aside.cleanup()

    def _signal_group(self, number: signal.Signals) -> None:
        if self._process.returncode is None:  # reaped, its number may be another's
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _wait_quietly(self, seconds: float) -> None:
        """Wait for the worker's end without reaping it, so that its resource usage stays readable."""
        with child_end(self._process.pid) as ended, selectors.DefaultSelector() as selector:
            selector.register(ended, selectors.EVENT_READ)
            selector.select(seconds)

    def _reap(self) -> tuple[int, Any]:
        try:
            _, status, usage = os.wait4(self._process.pid, 0)
        except ChildProcessError:
            return 0, None
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return self._process.returncode, usage

    def _messages(self, deadline: float | None) -> Iterator[Message | None]:
        """Yield the worker's messages as they come until it has ended; None if the deadline passes.

        The end of the process counts, not that of the pipe: a child of its own may hold that open,
        and a worker may hang on its way out.
        """
        buffer = b""
        with child_end(self._process.pid) as ended, selectors.DefaultSelector() as selector:
            selector.register(self._read, selectors.EVENT_READ)
            selector.register(ended, selectors.EVENT_READ)
            selector.register(self._log.read, selectors.EVENT_READ)
            while True:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                ready = {key.fd for key, _ in selector.select(left)}
                late = deadline is not None and time.monotonic() >= deadline
                if not ready or (late and ended not in ready):  # it may talk without end
                    yield None
                    return
                if self._log.read in ready and not self._log.take():
                    selector.unregister(self._log.read)
                if self._read in ready:
                    block = os.read(self._read, 1 << 16)
                    if block:
                        *lines, buffer = (buffer + block).split(b"\n")
                        # JSON of Python's, which has NaN
                        yield from (convert(json.loads(line), Message) for line in lines)
                        continue
                    selector.unregister(self._read)
                if ended in ready:
                    return


def _memory_kills() -> int:
    """Return how many processes the kernel has killed for lack of memory, in all control groups."""
    try:
        counted = dict(line.split() for line in VMSTAT.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(counted.get("oom_kill", 0))


def _death(status: int) -> str:
    if status < 0:
        try:
            return f"killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"
    return f"ended with exit code {status} without an answer"
