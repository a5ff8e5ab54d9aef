"""The packages of an environment, by the lock file that it is made from."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.setup.engine_env import locked_versions


def installed_versions(lock_file: Path) -> dict[str, str]:
    """Return the installed version of each package of a lock file, by name.

    The environment of this process is looked at, so that a package that was changed by hand is kept as
    it is. Those that are not installed are left out.
    """
    versions = {}
    for name in locked_versions(lock_file):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
