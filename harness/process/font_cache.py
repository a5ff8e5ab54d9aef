"""Where matplotlib keeps what it knows of fonts: in the harness's cache, not in the user's home."""

from __future__ import annotations

import os
from pathlib import Path

from harness.files import whole_files


def keep_fonts_in(cache: Path) -> None:
    """Make matplotlib's folder in the cache; matplotlib reads the variable when it is imported.

    Raises:
        InputError: the folder cannot be made or written.
    """
    folder = cache / "matplotlib"
    os.environ["MPLCONFIGDIR"] = str(folder)
    whole_files.make_folder(folder, "run.cache")
