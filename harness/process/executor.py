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
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import convert, to_builtins

from harness.host.calls import child_end
from harness.process.confinement import Confined
from harness.process.jobs import Failure, Job, Message, Order, Progressed, Result
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
    """One running job.

    Attributes:
        began: when it was started, in seconds of CLOCK_MONOTONIC.
    """

    def __init__(
        self,
        job: Job,
        environment: Mapping[str, str],
        log: Path,
        folder: Path,
        python: Path | None = None,
        takes_orders: bool = False,
        inherited: Sequence[int] = (),
    ) -> None:
        """Start the job.

        Args:
            log: where what it prints goes, as much as ``WorkerLog`` keeps.
            folder: in it the worker gets a working directory of its own, empty, and removed after
                it. What is to stay needs an absolute path.
            python: the interpreter of an engine's environment; None: this one.
            takes_orders: whether ``order`` is going to be called.
            inherited: descriptors that it has, too, by the same numbers.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._log = WorkerLog(log)
        self._aside = tempfile.TemporaryDirectory(
            dir=folder, prefix=ASIDE, ignore_cleanup_errors=True
        )
        self.began = time.monotonic()
        self._unread = b""
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
                pass_fds=[write, *inherited],
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
        self._send(job.stored)
        if not takes_orders:
            self._close_orders()

    @property
    def pid(self) -> int:
        return self._process.pid

    def order(self, message: Order) -> None:
        """Give an order to a worker that takes them; one that has ended does not get it."""
        self._send(to_builtins(message))

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died; its end tells how
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def _close_orders(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def wait(self, progress: Progress, timeout_s: float = 0) -> Ended:
        """Block until the job ends; pass its progress on.

        A KeyboardInterrupt while waiting stops the worker before it goes on up.
        """
        answer: Result | Failure | None = None
        late_s = None
        try:
            for _, message in listen([self], timeout_s):
                if isinstance(message, Progressed):
                    progress(message.done, message.total, message.what)
                elif isinstance(message, (Result, Failure)):
                    answer = message
        except Late:
            late_s = timeout_s
        except BaseException:
            self.abandon()
            raise
        return self.end(answer, late_s)

    def abandon(self) -> None:
        """Stop the worker without asking how it ended."""
        self._close_pipes()
        self.stop()

    def end(self, answer: Result | Failure | None, late_s: float | None = None) -> Ended:
        """Return how the job ended, after ``listen`` said so; end what is left of it.

        Args:
            answer: the worker's last one.
            late_s: the limit in seconds that it did not keep: it is stopped.
        """
        self._close_pipes()
        if late_s is not None:
            self.stop()
        else:
            self._signal_group(signal.SIGKILL)  # what it started and left behind
        self._log.close()
        status, usage = self._reap()
        self._aside.cleanup()
        seconds = time.monotonic() - self.began
        peak = usage.ru_maxrss * 1024 if usage else 0
        if late_s is not None:
            return Ended(TIMEOUT, None, None, f"no end after {late_s:g} s", seconds, peak)
        if isinstance(answer, Result):
            return Ended(DONE, answer.value, None, "", seconds, peak, answer.confined)
        if answer:
            return Ended(ERROR, None, answer, answer.message, seconds, peak)
        death = _death(status)
        if status == -signal.SIGKILL and _memory_kills() > self._memory_kills:
            death += f" as memory ran out (it held {peak / 1e6:.0f} MB at the most)"
        return Ended(KILLED, None, None, death, seconds, peak)

    def _close_pipes(self) -> None:
        self._close_orders()
        os.close(self._read)

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

    def hear(
        self, readable: Collection[int], heard: selectors.BaseSelector
    ) -> list[Message] | None:
        """Read what a worker wrote to those of its descriptors that are readable.

        Args:
            heard: where the descriptors are registered; one that has ended is taken out.

        Returns:
            its messages; None if there is nothing to read from its pipe of messages.
        """
        if self._log.read in readable and not self._log.take():
            heard.unregister(self._log.read)
        if self._read not in readable:
            return None
        block = os.read(self._read, 1 << 16)
        if not block:
            heard.unregister(self._read)
            return None
        *lines, self._unread = (self._unread + block).split(b"\n")
        # JSON of Python's, which has NaN
        return [convert(json.loads(line), Message) for line in lines]

    @property
    def descriptors(self) -> tuple[int, int]:
        """What ``hear`` reads from: messages, and what the worker prints."""
        return self._read, self._log.read


class Late(Exception):
    """A limit has passed, and a worker has not ended."""


def listen(workers: Sequence[Worker], timeout_s: float = 0) -> Iterator[tuple[int, Message | None]]:
    """Yield the messages of workers as they come, each with the worker's position; None is its end.

    The end of the process counts, not that of the pipe: a child of its own may hold that open, and a
    worker may hang on its way out.

    Args:
        timeout_s: of each worker, from its start; 0: no limit.

    Raises:
        Late: the limit has passed.
    """
    deadline = min(worker.began for worker in workers) + timeout_s if timeout_s else None
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        running: dict[int, int] = {}  # the descriptor of the end, by the worker's position
        for number, worker in enumerate(workers):
            running[number] = stack.enter_context(child_end(worker.pid))
            for descriptor in (*worker.descriptors, running[number]):
                selector.register(descriptor, selectors.EVENT_READ)
        while running:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = {key.fd for key, _ in selector.select(left)}
            late = deadline is not None and time.monotonic() >= deadline
            # it may talk without end
            if not ready or (late and ready.isdisjoint(running.values())):
                raise Late
            for number in [*running]:
                messages = workers[number].hear(ready, selector)
                if messages is not None:
                    yield from ((number, message) for message in messages)
                elif running[number] in ready:
                    for descriptor in (*workers[number].descriptors, running.pop(number)):
                        with contextlib.suppress(KeyError):
                            selector.unregister(descriptor)
                    yield number, None


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
