"""Make an environment from nothing but the lock files.

It runs with the system's Python, so it needs the standard library alone: no pip, no ensurepip, no
root. It works in a folder of its own; `harness.setup.environments` says when others see it.
"""

from __future__ import annotations

import ast
import ctypes
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness import PROJECT
from harness.process.variables import PACKAGE_INDEX
from harness.setup.environments import SIZES, STAMP, Place, SetupError, identity, say
from harness.setup.fetch_pip import fetch_pip, require_named_certificates

LOCKS = PROJECT / "requirements"
LEVELS = {  # the lock files of each, after build.lock
    "run": ("run.lock",),
    "fleet": ("run.lock", "fleet.lock"),
    "test": ("run.lock", "fleet.lock", "test.lock"),
}

# Libraries that MXNet's wheel links but does not carry, and the copies that other wheels carry.
NATIVE = {
    "libgomp.so.1": "scikit_learn.libs/libgomp-*.so*",
    "libquadmath.so.0": "scipy.libs/libquadmath-*.so*",
}


def wanted(level: str) -> str:
    """Return the identity of an environment of this level, made now."""
    locks = [LOCKS / name for name in ("build.lock", *LEVELS[level])]
    return identity([Path(__file__), *locks])


def require_supported_platform() -> None:
    """Refuse a Python that the locked wheels are not for."""
    if sys.version_info[:2] != (3, 11) or (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise SetupError(
            f"{sys.executable} is Python {platform.python_version()} on {sys.platform} "
            f"{platform.machine()}; the locked packages need CPython 3.11 on linux x86_64. "
            "Name one: HARNESS_PYTHON=/path/to/python3.11 ./run.sh"
        )


def make(place: Place, level: str, lock: int) -> Path:
    """Make an environment of the harness and return its folder; nobody else sees it yet.

    Args:
        lock: the makers' lock. Children hold it too: should this process be killed, nobody builds
            beside its orphan.

    Raises:
        SetupError, OSError: it could not be made; nothing of it is left.
    """
    levels = [name for name, locks in LEVELS.items() if set(locks) <= {*LEVELS[level]}]
    locks = [LOCKS / name for name in LEVELS[level]]
    return _make(
        place,
        locks,
        lock,
        level,
        lambda: {name: wanted(name) for name in levels},
        SIZES,
        link_native,
    )


def make_for_engine(place: Place, lock_file: Path, lock: int) -> Path:
    """Make the environment of an engine and return its folder; as ``make``."""
    name = lock_file.stem

    def identities() -> dict[str, str]:
        return {name: wanted_by_engine(lock_file)}

    return _make(place, [lock_file], lock, name, identities, "some hundred MB on disk", None)


def wanted_by_engine(lock_file: Path) -> str:
    """Return the identity of an engine's environment, made now."""
    return identity([Path(__file__), LOCKS / "build.lock", lock_file])


def _make(
    place: Place,
    locks: Sequence[Path],
    lock: int,
    level: str,
    identities: Callable[[], dict[str, str]],
    sizes: str,
    complete: Callable[[Path, Path], None] | None,
) -> Path:
    """Make an environment of some lock files.

    Args:
        identities: of the environment at each level that it will be good for.
        complete: adds to its site-packages what wheels lack.
    """
    require_named_certificates()
    made = identities()
    path = place.new(made[level])
    try:
        say(f"making the environment in {path} (once: {sizes})")
        venv.EnvBuilder(symlinks=True, prompt="inc-bench").create(path)
        _install_packages(path, locks, lock)
        if complete is not None:
            complete(next(path.glob("lib/python3*/site-packages")), path / "lib" / "native")
        if made != identities():
            raise SetupError("the lock files changed meanwhile; start ./run.sh again")
        (path / STAMP).write_text(json.dumps(made, indent=1), encoding="utf-8")
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    return path


def _install_packages(path: Path, locks: Sequence[Path], lock: int) -> None:
    python = path / "bin" / "python"
    pip: list[str | Path] = [python, "-I", "-m", "pip"]
    with tempfile.TemporaryDirectory() as folder:
        if importlib.util.find_spec("ensurepip"):
            call([python, "-I", "-m", "ensurepip"], "Python's own ensurepip failed:", lock)
            first = pip
        else:  # Debian and Ubuntu keep it in another package
            first = [python, "-I", fetch_pip(Path(folder), LOCKS / "build.lock") / "pip"]
        settings = pip_settings(first, lock)
        pip_install(first, LOCKS / "build.lock", path, settings, lock)
    for lock_file in locks:
        pip_install(pip, lock_file, path, settings, lock)


def pip_settings(pip: Sequence[str | Path], lock: int) -> dict[str, str]:
    """Return pip's environment: of its variables and configuration files only how to reach an index.

    What else they may say (user, target, prefix, constraint, no-binary) would install something else
    somewhere else.
    """
    said = call([*pip, "config", "list"], "pip does not understand its configuration:", lock)
    found: dict[str, str] = {}
    for section in ("global", "install", ":env:"):  # the later counts, as in pip
        for key, value in re.findall(rf"^{section}\.([\w-]+)=(.*)$", said, re.M):
            name = f"PIP_{key.upper().replace('-', '_')}"
            if name in PACKAGE_INDEX:
                found[name] = str(ast.literal_eval(value))
    rest = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return {**rest, **found, "PIP_CONFIG_FILE": os.devnull}


def pip_install(
    pip: Sequence[str | Path], lock_file: Path, path: Path, settings: Mapping[str, str], lock: int
) -> None:
    """Install the packages of one lock file: exactly those, each checked by its sha256."""
    shown = os.path.relpath(lock_file, PROJECT) if PROJECT in lock_file.parents else lock_file
    say(f"installing {shown}")
    options = ["--no-deps", "--require-hashes", "--no-build-isolation"]
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-warn-script-location"]
    report = path / f"{lock_file.name}.json"  # harness/process/compat.py reads the digests from it
    call(
        [*pip, "install", *options, *quiet, "--report", report, "--requirement", lock_file],
        f"pip could not install {shown}. Check the network (https_proxy, "
        "PIP_INDEX_URL, PIP_CERT) and the disk, then start ./run.sh again. What pip said:",
        lock,
        settings,
    )


def call(
    command: Sequence[str | Path],
    failure: str,
    lock: int,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a command quietly and return what it printed; its last words if it fails (SetupError)."""
    done = subprocess.run(
        command, capture_output=True, text=True, pass_fds=[lock], env=environment, check=False
    )
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()[-8:]
        raise SetupError("\n  ".join([failure, *words]))
    return done.stdout


def link_native(site: Path, folder: Path) -> None:
    """Link in `folder` the copy, from the wheels in `site`, of each library the system lacks."""
    for name, pattern in NATIVE.items():
        if system_has(name):
            continue
        copies = list(site.glob(pattern))
        if len(copies) != 1:
            package = name.replace(".so.", "")
            raise SetupError(
                f"{name} is not on this system, and {len(copies)} copies of it are in "
                f"{site}/{pattern}. Install it (apt-get install {package}), then start again"
            )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(os.path.relpath(copies[0], folder))


def system_has(library: str) -> bool:
    """Whether the dynamic loader finds a shared library by its name alone."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
