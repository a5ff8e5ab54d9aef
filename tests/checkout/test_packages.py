"""The packages that a plan keeps are those that are installed."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from harness.checkout.packages import installed_versions


def test_what_is_installed_counts_rather_than_what_is_locked(tmp_path: Path) -> None:
    lock = tmp_path / "run.lock"
    lock.write_text("numpy==0.0.1 \\\n    --hash=sha256:0\nno-such-package==1.0\n    # via numpy\n")
    assert installed_versions(lock) == {"numpy": version("numpy")}
