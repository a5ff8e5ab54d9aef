"""The three ways a run ends badly; the command line turns each into its exit code."""

from __future__ import annotations

import errno
import sys

STACK = ("Traceback (most recent call last)", 'File "', "[bt]", "Stack trace")


PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)


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
    """Return what the system refused, as the error that it is to the user."""
    what = f"{error.filename or 'a file'}: {error.strerror or error}"
    if error.errno in PLACE:
        return InputError(
            f"{what}: make space or change the permissions, or give run.results=DIR or run.cache=DIR;"
            " what is finished is kept"
        )
    return HarnessError(f"{what}; what is finished is kept")


def one_line(error: BaseException) -> str:
    """Return what an error says on one line, without the C++ stack trace that MXNet puts before it."""
    lines = (line.strip() for line in str(error).splitlines())
    return " ".join(line for line in lines if line and not line.startswith(STACK))[:300]


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
