"""The environments of engines, where this checkout has them: tests make none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import PROJECT
from harness.setup.engine_env import engine_lock
from harness.setup.environments import Place
from harness.setup.setup_env import wanted_by_engine
from helpers.instruction_sets import LIMIT

ENGINES = ("onnxruntime", "openvino", "pytorch")
ENVIRONMENTS = (*ENGINES, "inc")


def require_engine(name: str) -> Path:
    """Return the interpreter of an engine's environment; skip the test where there is none."""
    there = Place(engine=name).published()
    if there is None or there.identity(name) != wanted_by_engine(engine_lock(name, [])):
        pytest.skip(f"no environment of {name}: ./run.sh run --set-up {name} makes one")
    there.release()
    return there.python


def require_rows(name: str) -> Path:
    """Return the interpreter of an engine's environment; skip the test where no row of it runs."""
    if LIMIT:
        pytest.skip(f"oneDNN is limited to {LIMIT}, and rows of engines are refused then")
    return require_engine(name)


def in_engine(name: str, script: str, *arguments: str) -> str:
    """Run a script in an engine's environment, from the project's folder; return what it prints."""
    done = subprocess.run(
        [str(require_engine(name)), "-c", script, *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
