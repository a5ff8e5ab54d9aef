"""Exceptions and their exit codes, and what their messages have in common."""

from __future__ import annotations

import errno
import itertools
import linecache
import re
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

STACK = ("Traceback (most recent call last)", 'File "', "[bt]", "Stack trace")


SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL = (*SPACE, errno.EROFS)  # said of files alone, named or not
CLOSED = (errno.EACCES, errno.EPERM)  # of a file where one is named, else of the call itself
LIMITS = {  # what a limit says that was reached -> what raises it
    errno.EAGAIN: "there may be too many processes: ulimit -u or the container's --pids-limit",
    errno.EMFILE: "too many files are open: ulimit -n",
    errno.ENFILE: "too many files are open on this machine: sysctl fs.file-max",
    errno.ENOMEM: "memory is short: free some, or raise the container's limit",
}


class InputError(Exception):
    """The user's input is at fault: the message names the culprit and the next step. Exit code 2."""


class HarnessError(Exception):
    """The harness or a method failed through no fault of the input. Exit code 3."""


def exit_code(error: InputError | HarnessError) -> int:
    """Say on stderr what went wrong and return the exit code that it means."""
    is_input = isinstance(error, InputError)
    print(f"{'error' if is_input else 'failed'}: {error}", file=sys.stderr)
    return 2 if is_input else 3


def of_system(error: OSError) -> InputError | HarnessError:
    """Return what the system refused, as the error that it is to the user.

    Advice on files is given where a file is meant; of any other call its name is told.
    """
    named = error.filename is not None
    said = error.strerror or str(error)
    what = f"{error.filename if named else _call(error)}: {said}"
    if error.errno in FULL or (named and error.errno in CLOSED):
        return InputError(
            f"{error.filename or 'a file'}: {said}: {remedy(error)}, or give run.results=DIR or "
            "run.cache=DIR; what is finished is kept"
        )
    if error.errno in LIMITS:
        what = f"{what}: {LIMITS[error.errno]}"
    elif is_refused_call(error):
        what += (
            ": a container's seccomp profile or an older kernel refuses this system call; use a newer "
            "Docker or kernel, or start the container with --security-opt seccomp=unconfined"
        )
    return HarnessError(f"{what}; what is finished is kept")


def remedy(error: OSError) -> str:
    """Return what helps where a file cannot be written, by the number of the error."""
    if error.errno in SPACE:
        return "free some space"
    if error.errno in CLOSED:
        return "change the permissions of the file or its folder"
    if error.errno == errno.EROFS:
        return "mount the file system for writing"
    return "check the path"


def is_refused_call(error: BaseException) -> bool:
    """Say whether the system refused a call as such, not a file."""
    refused = (*CLOSED, errno.ENOSYS)
    return isinstance(error, OSError) and error.filename is None and error.errno in refused


def _call(error: OSError) -> str:
    """Return the call that raised an error, as far as its traceback tells."""
    step = error.__traceback__
    if step is None:
        return "a system call"
    while step.tb_next is not None:
        step = step.tb_next
    code = step.tb_frame.f_code
    positions: Iterable[tuple[Any, ...]] = getattr(code, "co_positions", tuple)()  # Python 3.11
    unknown = (step.tb_lineno, None, 0, None)
    first, _, column, _ = next(itertools.islice(positions, step.tb_lasti // 2, None), unknown)
    line = linecache.getline(code.co_filename, first or step.tb_lineno).encode()
    called = re.match(r"[\w.]+", line[column or 0 :].decode(errors="replace").strip())
    return called[0] if called else code.co_name


def without_credentials(url: str) -> str:
    """Return a URL without the name and password that it may hold."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def one_line(error: BaseException) -> str:
    """Return what an error says on one line, without the C++ stack trace that MXNet puts before it."""
    lines = (line.strip() for line in str(error).splitlines())
    return " ".join(line for line in lines if line and not line.startswith(STACK))[:300]


def proposal(word: str, known: Iterable[str], after: str = "") -> str:
    """Return a remark that proposes what a mistyped word may have meant; empty if nothing is near.

    Args:
        after: what is typed after the word that is proposed, such as ``=``.
    """
    near = nearest(word, known)
    return f" (did you mean {near}{after}?)" if near else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return what a mistyped word may have meant; empty if nothing is near."""
    from difflib import get_close_matches

    return "".join(get_close_matches(word, list(known), n=1))


class NoSolution(Exception):
    """A method searched and found no model that meets its criterion.

    Attributes:
        trials: how many models were evaluated.
    """

    def __init__(self, message: str, trials: int) -> None:
        super().__init__(message)
        self.trials = trials


class Refused(Exception):
    """A method cannot make what it is for on this machine or of this network: the message says why."""


class TuningTimeout(Exception):
    """A method's own time limit ended before it found a model that meets its criterion."""
