"""What all processes of a test session use, made by the first of them that needs it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.files.locks import Wait, held

FOR_EVER = Wait(limit_s=0)


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all processes of this session have."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


def shared(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], object]) -> Path:
    """Return a folder that ``fill`` filled, in this process or in another one of the session.

    The others wait for the one that fills it. Where that fails they try themselves.
    """
    folder = shared_folder(factory) / name
    finished = folder.with_suffix(".finished")
    with held(folder.with_suffix(".lock"), FOR_EVER):
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            fill(folder)
            finished.touch()
    return folder
