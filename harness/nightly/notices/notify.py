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
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.process.lifetime import die_with_parent

LIMIT_S = 60.0  # for the command
LOOK_EVERY_S = 0.05
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
        try:
            code = process.wait(limit_s)
            _wait_for_group(process.pid, end)
        except subprocess.TimeoutExpired:
            return f"{words[0]} had not ended after {limit_s:g} s and was stopped"
        finally:
            with suppress(ProcessLookupError):  # with what it started
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return f"{words[0]} ended with exit code {code}" if code else ""


def _wait_for_group(number: int, end: float) -> None:
    """Return when no process of a group is left, or at a moment of the monotonic clock."""
    with suppress(ProcessLookupError):
        while time.monotonic() < end:
            os.killpg(number, 0)
            time.sleep(LOOK_EVERY_S)
