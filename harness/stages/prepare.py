"""Decode one range of a record's images into the prepared file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.workloads.data import decode_range
from harness.workloads.prepared import Prepared


def run(job: dict[str, Any], progress: Callable[[int, int, str], None]) -> None:
    """Decode images ``start`` .. ``stop`` of ``record`` into ``target``.

    Raises:
        InputError: an image does not decode.
    """
    target = Prepared(Path(job["target"]), job["images"], job["transform"]["crop"])
    decode_range(
        Path(job["record"]),
        np.load(job["offsets"]),
        job["transform"],
        target,
        job["start"],
        job["stop"],
    )
