"""Python imports this first where it is on its path: start again with the jumping clock preloaded.

A worker's environment is an allow-list, so the library's place is read from beside the results.
"""

import os
import sys
from pathlib import Path

if not os.environ.get("LD_PRELOAD", "").endswith("jumping.so"):
    library = os.environ.get("JUMPING_CLOCK")
    if library is None:  # a worker: it works in a folder of the results
        found = [folder / "jumping.so" for folder in Path.cwd().parents]
        library = next((str(path) for path in found if path.is_file()), None)
    if library is not None:
        (Path(library).parent / f"jumped.{os.getpid()}").touch()
        os.environ["LD_PRELOAD"] = library
        os.execv(sys.executable, sys.orig_argv)
