"""The command line when the input is wrong: it exits with 2 and says why in one paragraph."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from harness import PROJECT
from helpers.command_line import PATIENCE_S


def _mind_permissions() -> None:
    """Let permissions hold for root too, in the program that is started next."""
    drop_from_bounding_set, dac_override, dac_read_search = 24, 1, 2  # linux/prctl.h, capability.h
    for capability in (dac_override, dac_read_search):
        ctypes.CDLL(None).prctl(drop_from_bounding_set, capability, 0, 0, 0)


class Refused:
    """Starts the harness in folders of the test's own and looks at how it says no."""

    def __init__(self, folder: Path) -> None:
        self.results = folder / "results"
        self.cache = folder / "cache"

    def __call__(self, *words: str, names: tuple[str, ...], planned: bool = False) -> str:
        places = {"run.results": self.results, "run.cache": self.cache}
        given = {word.split("=")[0] for word in words}
        added = [f"{key}={path}" for key, path in places.items() if key not in given]
        if words[:1] in (("table",), ("recover",)):
            added = added[:1]
        ended = subprocess.run(
            [sys.executable, "-m", "harness", *words, *added],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            preexec_fn=_mind_permissions,
        )
        assert ended.returncode == 2, ended.stderr
        assert ended.stdout == ""
        *progress, message = ended.stderr.splitlines()
        assert message.startswith("error: ")
        for part in names:
            assert part in message
        assert "Traceback" not in ended.stderr
        starts = ("looking at the model", *(("run ", "warning: ", "preparing ") if planned else ()))
        assert all(line.startswith(starts) for line in progress)
        if not planned:
            assert not list(self.results.glob("*"))
        assert not list(self.results.glob("*/*/records"))
        return message


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    return Refused(tmp_path)
