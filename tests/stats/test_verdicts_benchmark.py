"""The benchmark of verdicts: its parts run, its report shows what is not as wanted, a seed decides."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks.verdicts import __main__ as verdicts
from benchmarks.verdicts import false_regressions
from benchmarks.verdicts.detection import METHOD, Case, delay
from benchmarks.verdicts.figures import Figure
from benchmarks.verdicts.noise import KINDS, SPIKES, draw, typical
from benchmarks.verdicts.report import from_csv, merged, to_csv, to_markdown
from benchmarks.verdicts.years import HOSTS, QUIET, SOFTWARE, Course, Year, step


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_what_it_says(kind: str) -> None:
    noise = draw(np.random.default_rng(0), kind, (4000, 30))
    if not kind.startswith("spikes"):
        assert noise[:, -1].mean() == pytest.approx(0, abs=0.1)
        assert noise[:, -1].std() == pytest.approx(1, abs=0.25)
    else:
        assert np.mean(np.abs(noise) > 4) == pytest.approx(SPIKES, rel=0.1)
    if kind.startswith("AR"):
        successive = np.corrcoef(noise[:, 10], noise[:, 11])[0, 1]
        assert successive == pytest.approx(float(kind[3:]), abs=0.05)


def test_the_typical_round_of_skewed_noise_is_below_its_mean() -> None:
    """Exponential: the mean of two draws is Gamma(2, 1/2), of median 0.839, less the mean of 1."""
    assert typical("exponential") == pytest.approx(0.8392 - 1, abs=0.003)
    assert typical("normal") == 0


@pytest.mark.slow
def test_parts_run_and_a_seed_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {name: (verdicts.PARTS[name][0], 4, 4) for name in ("intervals", "confirmation")}
    monkeypatch.setattr(verdicts, "PARTS", few)
    for folder in "ab":
        assert verdicts.main(["--quick", "--parts", *few, "--out", str(tmp_path / folder)]) == 0
    one, other = ((tmp_path / folder / "verdicts.csv").read_text() for folder in "ab")
    assert one == other
    rows = list(csv.DictReader(one.splitlines()))
    assert {row["part"] for row in rows} == {"Intervals", "Confirmation"}
    assert {row["case"] for row in rows} >= set(KINDS)
    assert "## Intervals" in capsys.readouterr().out


def test_the_report_marks_what_is_not_as_wanted() -> None:
    figures = [
        Figure("P", "good", 5, "held %", 95.0, 93, 97),
        Figure("P", "bad", 5, "held %", 80.0, 93, 97),
        Figure("P", "bad", None, "s", 0.5),
    ]
    text = to_markdown(figures)
    assert "| bad    | 5        | **80.0** |" in text
    assert "| good   | 5        | 95.0     |" in text
    assert "Wanted: held % 93 to 97. Bold is not as wanted." in text


def test_parts_that_are_not_measured_stay() -> None:
    before = [Figure("A", "x", 5, "s", 1.0, repeats=9, seed=1), Figure("B", "x", None, "s", 2.5)]
    anew = [Figure("C", "x", None, "s", 4.0), Figure("A", "y", 5, "s", 3.0, 1, 2.5, 4, 2)]
    assert from_csv(to_csv(before + anew)) == before + anew
    figures = merged(from_csv(to_csv(before)), anew)
    assert [(figure.part, figure.case) for figure in figures] == [
        ("A", "y"),
        ("B", "x"),
        ("C", "x"),
    ]
    assert "repeats of each case: A 4, B 0, C 0." in to_markdown(figures)


def test_simulated_years_are_a_part() -> None:
    figures = list(false_regressions.measured(3, 1))
    assert len(figures) == len(HOSTS) * len(SOFTWARE)
    assert not any(figure.value for figure in figures)
    (timed,) = false_regressions.time_of_judging(2, 1)
    assert timed.case == "2 nights" and timed.value > 0


def test_a_year_goes_on_from_where_it_was() -> None:
    """What is found of a slowdown does not depend on others that the same year is branched to."""
    year = Year(QUIET, "weekly", Course(), 12, 1)
    for _ in range(9):
        year.next_night()
    slow = Course(model={METHOD: step(1.05, 9)}, events=[9])
    assert [delay(year.branch(slow), 3) for _ in range(2)] == [0, 0]
    assert delay(year.branch(Course()), 3) is None
    whole = Year(QUIET, "weekly", slow, 12, 1).judge()
    assert [night.verdict for night in whole[9:]] == [
        year.next_night().verdict for year in [year.branch(slow)] for _ in range(3)
    ]


def test_red_nights_are_right_where_all_is_as_it_must_be() -> None:
    case = Case("c", Course(), 20, range(5, 7), range(7, 10), range(12, 20))
    assert case.is_right([6, 7, 8, 9, 10])
    assert not case.is_right([]) and not case.is_right([4, 7, 8, 9])
    assert not case.is_right([6, 8, 9]) and not case.is_right([6, 7, 8, 9, 12])
