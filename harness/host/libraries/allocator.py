"""The memory allocator of workers: the library that ``threads.allocator`` asks for, and the one there.

An allocator replaces the C library's by LD_PRELOAD: the dynamic linker takes ``malloc`` from the first
library that defines it. No package of the locked environments has tcmalloc or jemalloc, so they come from
the system's packages, from a ``lib`` folder of the environment itself, or from a path.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.errors import InputError
from harness.facts.machine_facts import SYSTEM
from harness.facts.override_key import spell
from harness.host.libraries.loaded import library_with
from harness.host.system_files import ROOT, read_text

FILES = {  # best first; the minimal tcmalloc lacks only the profilers
    "tcmalloc": ("libtcmalloc_minimal.so.4", "libtcmalloc.so.4"),
    "jemalloc": ("libjemalloc.so.2",),
}
PACKAGES = {  # of Debian and Ubuntu, of Fedora and Amazon Linux
    "tcmalloc": ("libtcmalloc-minimal4", "gperftools-libs"),
    "jemalloc": ("libjemalloc2", "jemalloc"),
}
FOLDERS = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64", "usr/lib")
KEY = "threads.allocator"


def find_allocator(
    name: str, root: Path = ROOT, environment: Path = Path(sys.prefix)
) -> Path | None:
    """Return the library to preload for a value of ``threads.allocator``; None for ``system``.

    Args:
        root: of the file system, so that a copied tree can stand for a machine.
        environment: the folder of the Python environment.

    Raises:
        InputError: the value is no allocator, or its library is missing.
    """
    if name == SYSTEM:
        return None
    if name in FILES:
        folders = (environment / "lib", *_linker_folders(root))
        paths = (folder / file for file in FILES[name] for folder in folders)
        library = next((path for path in paths if path.is_file()), None)
        if library is None:
            debian, fedora = PACKAGES[name]
            raise InputError(
                f"{KEY}={name}: {' or '.join(FILES[name])} was not found; install it (Debian, Ubuntu: "
                f"apt-get install {debian}; Fedora, Amazon Linux: dnf install {fedora}) or give the "
                f"library's path, {KEY}=/path/to/lib.so"
            )
    else:
        library = Path(name)
        if not library.is_absolute():
            raise InputError(
                f"{KEY}={spell(name)}: must be {SYSTEM}, {', '.join(FILES)} or the absolute path of "
                "a library"
            )
        if not library.is_file():
            raise InputError(f"{KEY}={spell(name)}: there is no such file")
    return require_preloadable(library, KEY, "move it")


def require_preloadable(library: Path, key: str, advice: str) -> Path:
    """Return the path of a library that LD_PRELOAD can name.

    Args:
        key: the setting that asked for it.
        advice: what to do where it cannot.

    Raises:
        InputError: LD_PRELOAD cannot hold the path.
    """
    if re.search(r"[\s:]", str(library)):
        raise InputError(
            f"{key}: LD_PRELOAD cannot hold a path with a space or a colon, and {library.name} is at "
            f"{library}; {advice}"
        )
    return library


def serving_allocator() -> str | None:
    """Return the real path of the library whose ``malloc`` this process calls."""
    return library_with("malloc")


def allocator_mismatches(
    environment: Mapping[str, str], serving: str | None, other: str
) -> list[str]:
    """Return how the allocator differs from the one that LD_PRELOAD asks for, one sentence each.

    Args:
        environment: the process's environment.
        serving: from ``serving_allocator`` in that process.
        other: the file name of what is preloaded beside an allocator.
    """
    listed = re.split(r"[\s:]+", environment.get("LD_PRELOAD", ""))
    preloaded = [path for path in listed if path and Path(path).name != other]
    if not preloaded or serving in map(os.path.realpath, preloaded):
        return []
    return [f"malloc comes from {serving} although LD_PRELOAD names {', '.join(preloaded)}"]


def _linker_folders(root: Path) -> Iterator[Path]:
    """Yield the folders where the dynamic linker looks, those of its configuration first."""
    configured = sorted((root / "etc/ld.so.conf.d").glob("*.conf"))
    for file in (root / "etc/ld.so.conf", *configured):
        for line in (read_text(file) or "").splitlines():
            if line.startswith("/"):
                yield root / line.strip().lstrip("/")
    yield from (root / folder for folder in FOLDERS)
