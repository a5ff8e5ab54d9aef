"""The demo in a real terminal: progress, a table that fits, and a report that a browser gets."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from harness import PROJECT
from helpers.command_line import limit_of
from helpers.terminals import in_terminal

WORDS = (
    "method=[fp32,fp32_fused]",
    "workload.images=128",
    "workload.tuning.batches=1",
    "threads.count=1",
)


@pytest.mark.slow
def test_a_demo_shows_how_far_it_is_and_opens_its_report(
    tmp_path: Path, shared_cache: Path
) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{opened}"\n')
    browser.chmod(0o755)
    places = [f"run.results={tmp_path / 'results'}", f"run.cache={shared_cache}"]
    command = [sys.executable, "-m", "harness", "demo", *WORDS, *places, *limit_of(["run"])]
    text = in_terminal(command, PROJECT, 80, errors=True, DISPLAY=":0", BROWSER=f"{browser} %s")
    (page,) = tmp_path.glob("results/*/*/report/report.html")
    assert f"report: {page}" in text.replace("\n", "")
    assert opened.read_text().strip() == page.as_uri()
    assert "A page with figures" not in text  # it is written already
    for row in ("row 1 of 2, fp32 no optimization: ", "row 2 of 2, fp32 fused: "):
        for activity in ("optimising", "validating", "profiling"):
            assert f"{row}{activity}, " in text
    assert re.search(r"\d of 128 images, 0:\d\d elapsed", text) or "128 of 128 images" in text
    assert "left in all" in text  # told by the first row of the second
    before, _, after = text.rpartition("Fastest within 1.5 % of top-1: fp32 fused")
    assert "fp32 no optimization   0." in before and "fp32 fused             0." in after
    assert max(map(len, after.partition("report: ")[0].splitlines())) <= 80
    again = in_terminal([*command, "run.id=again"], PROJECT, 80, errors=True, DISPLAY="")
    assert "left in all" in again.partition("row 2 of 2")[0]  # told by the run before
    assert opened.read_text().strip() == page.as_uri()  # and no browser without a screen
