"""README stays short, leads each kind of user on, and shows a figure of the committed run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from harness import PROJECT
from helpers.pages import DOCS, commands

README = (PROJECT / "README.md").read_text()
PICTURE = "docs/images/accuracy_speedup.svg"


def test_it_is_read_in_three_minutes() -> None:
    assert len(README.splitlines()) < 130


def test_it_leads_the_three_kinds_of_users_on() -> None:
    for page in ("nightly", "reports", "compare"):
        assert f"(docs/{page}.md)" in README


def test_its_picture_is_what_the_documented_command_makes(tmp_path: Path) -> None:
    assert re.search(rf"!\[[^]]+\]\({PICTURE}\)", README)
    (command,) = [each for each in commands(DOCS / "reports.md") if each.program == "sed"]
    (tmp_path / "results").symlink_to(PROJECT / "results")
    (tmp_path / PICTURE).parent.mkdir(parents=True)
    subprocess.run(["bash", "-c", command.line], cwd=tmp_path, check=True)
    picture = (tmp_path / PICTURE).read_bytes()
    assert picture == (PROJECT / PICTURE).read_bytes()
    assert picture.count(b'<rect width="100%"') == 1, "it has a background of its own"
