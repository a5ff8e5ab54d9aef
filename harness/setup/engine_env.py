"""The environment of an engine: made when a row first asks for it, and held while the run uses it."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

from harness.setup.environments import Environment, Place, SetupError, failure_of
from harness.setup.setup_env import (
    LOCKS,
    make_for_engine,
    require_supported_platform,
    wanted_by_engine,
)

OLDEST_GLIBC = (2, 28)  # of the wheels that are locked: manylinux_2_28
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.M)
NEEDED = ("msgspec", "numpy", "onnx", "psutil")  # imported before a worker knows of an engine
TRIED = ("onnxruntime", "openvino", "nncf", "torch")  # imported as well, where they are locked


class Unsupported(SetupError):
    """This machine is none for the engine's packages; trying again changes nothing."""


def engine_lock(name: str, folders: Sequence[Path]) -> Path:
    """Return the lock file of an engine: the project's, or one in a folder given with --conf.

    Raises:
        SetupError: there is none, or more than one.
    """
    places = [LOCKS / "engines", *(folder / "engines" for folder in folders)]
    locks = [lock for place in dict.fromkeys(places) if (lock := place / f"{name}.lock").is_file()]
    if len(locks) > 1:  # they would share one environment, which is made anew for the other
        raise SetupError(
            f"engine.environment={name}: {' and '.join(map(str, locks))} have one name: give yours "
            "another one, and name that in your rows"
        )
    if locks:
        return locks[0]
    raise SetupError(
        f"engine.environment={name}: there is no {name}.lock in "
        f"{', '.join(map(str, places))}; name one that there is, or give --conf DIR with "
        f"engines/{name}.lock in it"
    )


def locked_versions(lock_file: Path) -> dict[str, str]:
    """Return the version of each package of a lock file, by name."""
    return dict(PIN.findall(lock_file.read_text(encoding="utf-8")))


def ready_engine(lock_file: Path, place: Place | None = None) -> Environment:
    """Return an engine's environment, held: the one that is there and fits, or a new one.

    Raises:
        Unsupported: the system's C library is too old for the packages.
        SetupError: it could not be made, or does not start; or this checkout measures now.
        OSError: its folder cannot be written.
    """
    name = lock_file.stem
    place = place or Place(engine=name)
    there, broken = _fitting(place, lock_file)
    if there is not None:
        return there
    _require_glibc(name)
    require_supported_platform()

    def make(lock: int) -> Path:
        try:
            return make_for_engine(place, lock_file, lock)
        except SetupError as error:
            raise SetupError(f"{broken}{error}") from None

    return place.make_ready(
        lambda: _fitting(place, lock_file)[0],
        make,
        lambda new: _problem(new, lock_file),
        f"the environment of {name} is ready",
    )


def _fitting(place: Place, lock_file: Path) -> tuple[Environment | None, str]:
    """Return the environment that is there, held, if it is of this lock file and starts.

    Returns:
        the environment, or None and why one of this lock file does not start, to begin a message.
    """
    there = place.published()
    if there is None:
        return None, ""
    broken = ""
    if there.identity(lock_file.stem) == wanted_by_engine(lock_file):
        problem = _problem(there, lock_file)
        if problem is None:
            return there, ""
        broken = (
            f"the environment {there.path} does not start ({problem}), so a new one is needed: "
        )
    there.release()
    return None, broken


def _require_glibc(name: str) -> None:
    library, version = platform.libc_ver()
    known = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if library == "glibc" and known < OLDEST_GLIBC:
        raise Unsupported(
            f"the packages of {name} need glibc {'.'.join(map(str, OLDEST_GLIBC))}, and this system "
            f"has {version}: leave its rows out, or measure on a newer system"
        )


def _problem(there: Environment, lock_file: Path) -> str | None:
    """Return why an environment, or a package of its engine, does not start; or None."""
    locked = locked_versions(lock_file)
    modules = [*NEEDED, *(name for name in TRIED if name in locked)]
    command = [str(there.python), "-I", "-c", f"import {', '.join(modules)}"]
    problem = failure_of(command, os.environ)
    return problem and problem.splitlines()[-1]
