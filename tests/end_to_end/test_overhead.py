"""The harness's own benchmark: what it reports, and that the null model costs next to nothing."""

from __future__ import annotations

import re

import pytest

from benchmarks.overhead.__main__ import main
from benchmarks.overhead.jobs import LoopTimes
from benchmarks.overhead.report import Loading, loading_lines, loop_lines, to_markdown
from helpers import sample_records

FEW = ["--images", "192", "--large", "4", "--null-batches", "300", "--passes", "1"]


def loading(**given: float) -> Loading:
    seconds = {
        "published_s": 9.0,
        "published_loop_s": 6.0,
        "prepare_s": 5.0,
        "warm_s": 0.001,
        "published_read_s": 2.0,
        "cache_read_s": 1.0,
    }
    return Loading("r", 900, **{**seconds, **given}, published_bytes=10**9, prepare_bytes=10**8)


def times(null_s: float, forward_s: float) -> LoopTimes:
    return LoopTimes(
        null_s=[null_s] * 99 + [1.0],
        null_loop_s=[2 * null_s] * 100,
        forward_s=[forward_s] * 5,
        data_s=[0.002] * 5,
        rest_s=[0.001] * 5,
    )


@pytest.mark.parametrize(
    ("null_s", "forward_s", "met"),
    [(4e-5, 0.05, [True, True]), (6e-5, 0.07, [False, True]), (4e-5, 0.03, [True, False])],
)
def test_targets_of_the_loop(null_s: float, forward_s: float, met: list[bool]) -> None:
    lines = loop_lines(times(null_s, forward_s))
    assert [line.met for line in lines if line.met is not None] == met
    found = {line.what: line.found for line in lines}
    assert found["outside the timed region, a batch"] == "3.00 ms"
    assert found["of that, the metric"] == "1.00 ms"


@pytest.mark.parametrize(
    ("given", "met"),
    [({}, [True, True]), ({"prepare_s": 5.1}, [False, True]), ({"warm_s": 0.2}, [True, False])],
)
def test_targets_of_the_data(given: dict[str, float], met: list[bool]) -> None:
    lines = loading_lines(loading(**given))
    assert [line.met for line in lines if line.met is not None] == met
    assert lines[0].found == "100 images/s"
    assert lines[-1].found == "100 MB"


def test_markdown_says_what_is_met() -> None:
    lines = [*loop_lines(times(4e-5, 0.05)), *loading_lines(loading(prepare_s=6.0))]
    text = to_markdown(sample_records.plan().machine, {"B": "2", "A": "1"}, lines)
    assert "- Threads: A=1 B=2\n" in text
    assert re.search(r"\| < 50 us +\| met +\|", text)
    assert re.search(r"\| 1\.50 +\| >= 1\.8 +\| NOT MET +\|", text)


@pytest.mark.slow
def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(FEW) == 0
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("| ")
    ][1:]
    values = {row[0]: float(row[1].split()[0]) for row in rows}
    assert len(rows) == 8 + 2 * 10
    assert {row[3] for row in rows} <= {"", "met", "NOT MET"}
    for part in ("bundled, 192 images", "500 x 375, 4 images"):
        assert values[f"{part}: from JPEG into the cache"] > 0
    # of one run, and by a factor of thousands
    assert values["null model / fp32 fused, medians of a batch"] < 0.1  # percent; it is 0.0002


@pytest.mark.parametrize("word", ["--passes=none", "--passes=0", "--nothing"])
def test_wrong_words(word: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main([word])
    assert caught.value.code == 2
