"""The benchmark of verdicts: its parts run, its report shows what is not as wanted, a seed decides."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks.verdicts import __main__ as verdicts
from benchmarks.verdicts.figures import Figure
from benchmarks.verdicts.noise import KINDS, SPIKES, draw, typical
from benchmarks.verdicts.report import to_markdown


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


def test_parts_run_and_a_seed_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {name: (part, 4, 4) for name, (part, *_) in verdicts.PARTS.items() if name != "shifts"}
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
    text = to_markdown(figures, "About.")
    assert "| bad    | 5        | **80.0** |" in text
    assert "| good   | 5        | 95.0     |" in text
    assert "Wanted: held % 93 to 97. Bold is not as wanted." in text
