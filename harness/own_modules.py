"""Where workers find modules of the user's own: in the folders of ``--conf``.

PYTHONPATH names them, which what a worker starts inherits; a folder whose path holds a colon, which
ends an entry there, is named by a variable of ours and found by the worker itself.
"""

from __future__ import annotations

import compileall
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
VARIABLE = "INC_BENCH_MODULES"  # a JSON list of folders


def named_in_environment(folders: Sequence[Path]) -> dict[str, str]:
    """Return the variables that a worker finds the harness and the folders' modules by."""
    own = [str(folder.resolve()) for folder in folders]
    odd = [folder for folder in own if ":" in folder]
    found = ":".join([str(PROJECT), *(folder for folder in own if folder not in odd)])
    return {"PYTHONPATH": found, **({VARIABLE: json.dumps(odd)} if odd else {})}


def compile_project() -> None:
    """Compile the project's modules where that is to be done, since workers cannot write beside them."""
    compileall.compile_dir(PROJECT / "harness", quiet=2)


def find_own_modules() -> None:
    """Let this worker import from the folders that PYTHONPATH cannot hold."""
    after = sys.path.index(str(PROJECT)) + 1 if str(PROJECT) in sys.path else 0
    sys.path[after:after] = json.loads(os.environ.get(VARIABLE, "[]"))
