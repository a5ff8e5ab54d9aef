"""The import path of our interpreters: the project, and the user's folders of ``--conf``.

Never in the working directory, nor where a file lies that is started (``bootstrap.py``). What a worker
starts inherits PYTHONPATH; a folder whose path holds a colon, which ends an entry there, is found by
the worker alone.
"""

from __future__ import annotations

import compileall
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import PROJECT

BOOTSTRAP = Path(__file__).resolve().with_name("bootstrap.py")
VARIABLE = "INC_BENCH_MODULES"  # a JSON list of the folders given now with --conf


def python_command(module: str, *arguments: str, python: Path | None = None) -> list[str]:
    """Return the command that starts a module of this project in an interpreter of its own.

    Args:
        python: that of another environment; None: of this one.
    """
    return [str(python or sys.executable), str(BOOTSTRAP), module, *arguments]


def named_in_environment(folders: Sequence[Path]) -> dict[str, str]:
    """Return the environment variables that name the import path of a worker and its children."""
    own = [str(folder.resolve()) for folder in folders]
    listed = ":".join(folder for folder in (str(PROJECT), *own) if ":" not in folder)
    path = {"PYTHONPATH": listed} if listed else {}  # an empty entry would be the working directory
    return {**path, **({VARIABLE: json.dumps(own)} if own else {})}


def own_folders() -> list[str]:
    """Return the folders of ``--conf`` from this process's environment."""
    return list(json.loads(os.environ.get(VARIABLE, "[]")))


def compile_project() -> None:
    """Compile the project's modules if necessary, since workers cannot write beside them."""
    compileall.compile_dir(PROJECT / "harness", quiet=2)


def find_own_modules() -> None:
    """Let this worker import from all of the folders, also those that PYTHONPATH cannot hold."""
    after = sys.path.index(str(PROJECT)) + 1 if str(PROJECT) in sys.path else 0
    sys.path[after:after] = [folder for folder in own_folders() if folder not in sys.path]
