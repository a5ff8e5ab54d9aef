"""Searches of INC on a tiny network in this process, with batches of noise."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.files.whole_files import sha256_of
from harness.storage.configuration import Transform
from harness.storage.store import HISTORY
from helpers import command_line  # noqa: F401 - the tiny network is importable with it

OPTIONS = {
    "criterion": "absolute",
    "tolerance": 1.0,  # any model is good enough
    "timeout_s": 0,
    "max_trials": 5,
    "seed": 1,
    "sampling_size": 32,
    "objective": "performance",
}
IMPOSSIBLE = {"tolerance": -2.0}
ALL_TRIALS = {"timeout_s": 3600}  # a good model does not end the search
# of a network so small, errors are too: its two residual additions stand out
THRESHOLDS = {"error_threshold": 0.015, "reduction_per_operator": 0.003, "save_influence": True}
EXCLUDE_ALL = {**THRESHOLDS, "error_threshold": 0.0, "reduction_per_operator": -100.0}
Search = Callable[..., Any]


@pytest.fixture(scope="session")
def tuning(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return two tuning batches of 16 noise images, held in memory."""
    from harness.images.batches import Batches
    from harness.images.prepared import Prepared

    rng = np.random.default_rng(0)
    prepared = Prepared(tmp_path_factory.mktemp("tuning") / "images.u8", 32, 28)
    prepared.path.write_bytes(rng.integers(0, 256, prepared.bytes, dtype=np.uint8).tobytes())
    transform = Transform(resize=64, crop=56, keep_ratio=False, mean=(0.5,) * 3, std=(0.25,) * 3)
    return Batches(prepared, rng.integers(0, 10, 32), 16, transform, keep=True)


def tuned(folder: Path, tuning: Any, strategy: str, cls: Any = None, **given: Any) -> Any:
    """Tune the tiny network in this process; return what the method made."""
    from harness.methods.base import Context
    from harness.methods.inc import Tuned
    from my_network import network

    fields = {name: given.pop(name) for name in ("strategy_options", "reads") if name in given}
    method = (cls or Tuned)(strategy, {**OPTIONS, **given}, **fields)
    with contextlib.chdir(folder):  # some strategies of INC write to the working folder
        return method.optimize(Context(network(10), tuning, folder, None, lambda *_: None))


def kept_trials(folder: Path) -> list[dict[str, Any]]:
    """Return the tuning history of a folder."""
    from harness.storage.tuning_history import read_history

    path = folder / HISTORY
    return read_history(path, sha256_of(path))


@pytest.fixture
def search(tmp_path: Path, tuning: Any) -> Search:
    """Return a function that tunes the tiny network in the test's folder."""
    return functools.partial(tuned, tmp_path, tuning)
