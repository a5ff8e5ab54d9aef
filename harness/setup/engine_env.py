"""The environment of an engine: made when a row first asks for it, and held while the run uses it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from harness.setup.environments import Environment, Place, SetupError, exclusive, say
from harness.setup.setup_env import (
    LOCKS,
    make_for_engine,
    require_supported_platform,
    wanted_by_engine,
)

OLDEST_GLIBC = (2, 28)  # of the wheels that are locked: manylinux_2_28
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.M)
TRIAL = "import msgspec, numpy, onnx, psutil"  # what a worker imports before it knows of an engine


class Unsupported(SetupError):
    """This machine is none for the engine's packages; trying again changes nothing."""


def engine_lock(name: str, folders: Sequence[Path]) -> Path:
    """Return the lock file of an engine: the project's, or one in a folder given with --conf.

    Raises:
        SetupError: there is none.
    """
    places = [LOCKS / "engines", *(folder / "engines" for folder in folders)]
    for place in places:
        if (place / f"{name}.lock").is_file():
            return place / f"{name}.lock"
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
        SetupError: it could not be made, or does not start.
        OSError: its folder cannot be written.
    """
    name = lock_file.stem
    place = place or Place(engine=name)
    there = place.published()
    if there is not None:
        if there.identity(name) == wanted_by_engine(lock_file) and _problem(there) is None:
            return there
        there.release()
    _require_glibc(name)
    require_supported_platform()
    with exclusive(place.making) as lock:
        there = place.published()  # whoever had the lock may have made it
        if there is not None:
            if there.identity(name) == wanted_by_engine(lock_file) and _problem(there) is None:
                return there
            there.release()
        place.clear(unfinished=True)
        path = make_for_engine(place, lock_file, lock)
        if (problem := _problem(Environment(path, None))) is not None:
            raise SetupError(f"the new environment {path} does not start: {problem}")
        place.publish(path)
        say(f"the environment of {name} is ready")
        there = place.published()
        place.clear()
    if there is None:
        raise SetupError(f"{place.link} is gone again: start ./run.sh again")
    return there


def _require_glibc(name: str) -> None:
    library, version = platform.libc_ver()
    known = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if library == "glibc" and known < OLDEST_GLIBC:
        raise Unsupported(
            f"the packages of {name} need glibc {'.'.join(map(str, OLDEST_GLIBC))}, and this system "
            f"has {version}: leave its rows out, or measure on a newer system"
        )


def _problem(there: Environment) -> str | None:
    """Return why an environment does not start, or None."""
    command = [str(there.python), "-I", "-c", TRIAL]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            env=dict(os.environ),
            check=False,
        )
    except OSError as error:
        return str(error)
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return None
