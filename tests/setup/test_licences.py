"""The licence list is that of what the locks install."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from harness import PROJECT
from harness.setup.engine_env import engine_lock, locked_versions
from helpers.engine_python import ENGINES, require_engine

LISTED = PROJECT / "requirements" / "LICENCES.md"


def test_the_list_is_current() -> None:
    made = subprocess.run(
        [sys.executable, str(PROJECT / "requirements" / "licences.py")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout == LISTED.read_text(encoding="utf-8"), (
        "make it again: .venv/bin/python requirements/licences.py > requirements/LICENCES.md"
    )
    assert "not installed here" not in made.stdout


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engines_list_has_what_its_lock_has(engine: str) -> None:
    text = (PROJECT / "requirements" / "engines" / f"{engine}-LICENCES.md").read_text()
    listed = dict(re.findall(r"^\| ([a-z0-9.-]+) \| (\S+) \|", text, re.MULTILINE))
    assert listed.pop("package") == "version"
    assert listed == locked_versions(engine_lock(engine, []))
    assert "not installed here" not in text and "not stated" not in text


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_an_engines_list_is_current(engine: str) -> None:
    made = subprocess.run(
        [str(require_engine(engine)), str(PROJECT / "requirements" / "licences.py"), engine],
        capture_output=True,
        text=True,
        check=True,
    )
    folder = PROJECT / "requirements" / "engines"
    assert made.stdout == (folder / f"{engine}-LICENCES.md").read_text(encoding="utf-8"), (
        f"make it again: .venv-{engine}/bin/python requirements/licences.py {engine} > "
        f"requirements/engines/{engine}-LICENCES.md"
    )
