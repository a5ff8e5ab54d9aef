"""Call a command of the user's that is told of a red night: ``nightly.notify``."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.process.lifetime import die_with_parent

LIMIT_S = 60.0  # for the command
LOOK_EVERY_S = 0.05
STOPPING_S = 2.0  # for what was killed to be gone
LOG = "nightly.notify.log"


def command_words(command: str) -> list[str]:
    """Return a command's program and its words, as a shell splits them; no shell starts it.

    Raises:
        InputError: its quotes do not close, or there is no such program.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(f"nightly.notify={command}: {error}; close the quotes") from None
    if not words or shutil.which(words[0]) is None:
        raise InputError(
            f"nightly.notify={command}: there is no program {words[0] if words else command!r}; give "
            "the path of one, and its words"
        )
    return words


def notify(words: list[str], night: dict[str, Any], log: Path, limit_s: float = LIMIT_S) -> str:
    """Call a command with a night's JSON on stdin.

    Args:
        night: as in ``nightly.json``.
        log: gets what the command prints.

    Returns:
        why it failed; empty if it ended with exit code 0 in time. It never raises for the command.
        What the command left running, such as the delivery of a mail, has the rest of the limit.
    """
    end = time.monotonic() + limit_s
    with tempfile.TemporaryFile() as text, log.open("wb") as printed:
        text.write(json.dumps(night, indent=1).encode())
        text.seek(0)
        try:
            process = subprocess.Popen(
                words,
                stdin=text,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        except OSError as error:
            return f"{words[0]} cannot be started ({error.strerror})"
        failures, late = [], ""
        try:
            code = process.wait(limit_s)
            if code:
                failures.append(f"{words[0]} ended with exit code {code}")
            if not _wait_for_group(process.pid, end):
                late = f"what {words[0]} left running"
        except subprocess.TimeoutExpired:
            late = words[0]
        finally:
            is_stopped = _stop(process)
    if late:
        ending = "was stopped" if is_stopped else "could not be stopped"
        failures.append(f"{late} had not ended after {limit_s:g} s and {ending}")
    return "; ".join(failures)


def _stop(process: subprocess.Popen[bytes]) -> bool:
    """Stop a command with what it started; return whether all of it ended.

    What runs as another user, such as a setuid mail program, cannot be told to end.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOPPING_S)
    return _wait_for_group(process.pid, time.monotonic() + STOPPING_S)


def _wait_for_group(number: int, end: float) -> bool:
    """Return whether all processes of a group ended before a moment of the monotonic clock."""
    while _is_running(number):
        if time.monotonic() >= end:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def _is_running(number: int) -> bool:
    """Return whether a process of a group runs; not one that ended and that nobody reaps."""
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    states = set(_states(number))
    return not states or not states <= {"Z", "X"}  # /proc may hide those of other users


def _states(number: int) -> Iterator[str]:
    """Yield the state of each process of a group, a letter of ``/proc/PID/stat``."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):  # it ended
            # the name in brackets may have any character
            state, _, group = path.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(group) == number:
                yield state
