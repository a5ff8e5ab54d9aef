"""What run.sh does before a verb runs: a clean environment of variables, and one of packages.

It ends in exec, so the process that run.sh was becomes the harness: signals reach it, and its exit code
is the harness's own. Before that a trial start has shown that it comes as far as its own code, whose
failures are caught (`harness/__main__.py`); so exit code 1 comes from a verdict.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping

from harness import PROJECT
from harness.process.interrupt import catch_signals
from harness.process.variables import passed_on
from harness.setup.engine_env import engine_lock, ready_engine
from harness.setup.environments import SIZES, Environment, Place, SetupError, failure_of, say
from harness.setup.setup_env import make, require_supported_platform, wanted

ENTRY = str(PROJECT / "harness" / "__main__.py")


def launch(words: list[str], level: str, renew: bool) -> int:
    """Start a verb in the environment, which ends this program; returns an exit code if that fails.

    Args:
        level: of the environment that the verb needs.
        renew: the verb measures: it needs the environment of the current lock files, and may make it.
            Others take one that works, and make none unless set-up is all that is asked for. That may
            be of engines as well, which are named after it.
    """
    os.chdir(PROJECT)
    environment = passed_on(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    catch_signals()
    sets_up = words[1:2] == ["--set-up"]
    try:
        locks = [engine_lock(name, ()) for name in words[2:]] if sets_up else []
    except SetupError as error:
        say(f"error: {error}")
        return 2
    try:
        require_supported_platform()
        place = Place()
        held = ready(place, level, renew, makes=renew or sets_up)
        if renew and not sets_up:
            place.hold_measuring()
        for lock in locks:
            ready_engine(lock).release()
        shown = words[:2] if sets_up else words
        command = [str(held.python), "-I", ENTRY, "start", *shown]
        start = variables(held, environment)
        for number in (
            signal.SIGPIPE,
            signal.SIGXFSZ,
        ):  # Python ignores them, and that is inherited
            signal.signal(number, signal.SIG_DFL)
        os.execve(command[0], command, start)
    except SetupError as error:
        say(f"error: {error}")
    except OSError as error:
        say(
            f"error: {error}. Environments are made in {Place().folder}: is it writable, with 1 GB "
            "free? An earlier environment is still there as it was"
        )
    except KeyboardInterrupt:
        say("interrupted; an earlier environment is still there as it was")
    return 3


def answer() -> int:
    """Complete a command line for a shell, in the environment that is there, if one is.

    Ends this program, or returns the exit code that says that nothing can be proposed.
    """
    held = Place().published()
    if held is None:
        return 3
    os.chdir(PROJECT)
    command = [str(held.python), "-I", ENTRY, "start"]
    os.execve(command[0], command, variables(held, os.environ))


def ready(place: Place, level: str, renew: bool, makes: bool = True) -> Environment:
    """Return the environment for a verb, held: the one that is there, or a new one.

    Args:
        renew: make a new one if the lock files or the Python are others now. Otherwise one that works
            is taken.
        makes: one may be made.

    Raises:
        SetupError: none fits and none may be made, or it could not be made.
    """
    there = _fitting(place, level, renew)
    if there is not None:
        return there
    if not makes:
        missing = "no environment that starts" if place.link.exists() else "no environment yet"
        raise SetupError(
            f"there is {missing}, and a verb that only reads makes none: type ./run.sh run --set-up, "
            f"which makes it once ({SIZES})"
        )
    return place.make_ready(
        lambda: _fitting(place, level, renew),
        lambda lock: make(place, level, lock),
        _trial,
        "the environment is ready",
    )


def variables(held: Environment, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the harness's variables: those passed on, this Python, and libraries the system lacks."""
    native = held.path / "lib" / "native"  # OpenMP and quadmath
    paths = [str(native)] if native.is_dir() else []
    paths += [path for path in [environment.get("LD_LIBRARY_PATH")] if path]
    libraries = {"LD_LIBRARY_PATH": ":".join(paths)} if paths else {}
    # so that what starts another checkout's run.sh starts it with the same Python
    return {**environment, **libraries, "HARNESS_PYTHON": sys.executable}


def _fitting(place: Place, level: str, renew: bool) -> Environment | None:
    """Return the environment that is there, held, if it fits."""
    there = place.published()
    if there is None or _fits(there, level, renew):
        return there
    there.release()
    return None


def _fits(there: Environment, level: str, renew: bool) -> bool:
    current = there.identity(level) == wanted(level)
    if renew and not current:
        return False
    if (problem := _trial(there)) is not None:
        say(f"the environment {there.path} does not start ({problem}); a new one is needed")
        return False
    if not current:
        say(
            f"this verb only reads, so it uses {there.path.name} as it is, which was made for other "
            "lock files or another Python; the next run makes a new one"
        )
    return True


def _trial(there: Environment) -> str | None:
    """Start the harness as it will be started; return why its Python does not start, or None.

    Raises:
        SetupError: its Python starts and the harness does not; no new environment helps there.
        OSError: nothing can be started now.
    """
    start = variables(there, os.environ)
    problem = failure_of([str(there.python), "-I", ENTRY, "start", "--set-up"], start)
    if problem is None:
        return None
    without = failure_of([str(there.python), "-I", "-c", ""], start)
    if without is not None:
        return without
    raise SetupError(
        f"the harness does not start in {there.path}:\n{problem}\nIf this checkout is as it should "
        "be, delete .venv and start ./run.sh again"
    )
