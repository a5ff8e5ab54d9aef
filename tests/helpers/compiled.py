"""Small libraries in C that tests preload, compiled where there is a compiler."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ALLOCATOR = """
#include <stddef.h>
void *__libc_malloc(size_t size);
void *malloc(size_t size) { return __libc_malloc(size); }
"""


def compiled_library(folder: Path, name: str, source: str) -> Path | None:
    """Return a shared library made in a folder from a text in C; None without a compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    text, library = folder / f"{name}.c", folder / f"{name}.so"
    text.write_text(source)
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(text), "-ldl"]
    subprocess.run(command, check=True)
    return library


def compiled_allocator(folder: Path) -> Path | None:
    """Return an allocator of its own to preload: glibc's behind another library's ``malloc``."""
    return compiled_library(folder, "own_malloc", ALLOCATOR)
