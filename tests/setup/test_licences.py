"""The licence list is that of what the locks install."""

from __future__ import annotations

import subprocess
import sys

from harness import PROJECT

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
