"""The benchmark of strategies: its defects leave fp32 alone, and its report says what was found."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import pytest

from benchmarks.strategies import __main__ as strategies
from benchmarks.strategies import report
from benchmarks.strategies.models import DEFECTS, made, sound

pytestmark = pytest.mark.slow
MODELS = {
    "int8_inc_sensitivity": (1000, 5.0, 0.2, 2.0),
    "int8_inc_basic": (20000, 60.0, 0.4, 2.0),
    "int8_inc_mse": (6000, 20.0, 1.4, 1.9),
}


def times(speed: float, noise: float = 0.01) -> list[list[float]]:
    """Return rounds whose noise is each model's own."""
    rng = np.random.default_rng(int(1000 * speed))
    return [[float(value)] for value in rng.lognormal(-np.log(speed), noise, 8)]


def case(defect: str, **changed: Any) -> dict[str, Any]:
    rows = {
        name: {
            "outcome": "ok",
            "trials": 2,
            "evaluated": 768 * images // 1000,
            "images": images,
            "seconds": seconds,
            "excluded": [name],
            "loss": [loss, loss - 0.1, loss + 0.1],
            "speedup": [speed, speed - 0.05, speed + 0.05],
            "times": times(speed),
        }
        for name, (images, seconds, loss, speed) in MODELS.items()
    }
    rows.update(changed)
    return {"defect": defect, "seed": 0, "where": "features.2", "fp32": 0.93, "rows": rows}


def without_model() -> dict[str, Any]:
    row = copy.deepcopy(case("none")["rows"]["int8_inc_mse"])
    del row["loss"], row["speedup"]
    return {**row, "outcome": "no solution"}


@pytest.fixture(scope="module")
def images() -> Any:
    return mx.np.array(np.random.default_rng(0).normal(size=(8, 3, 56, 56)), dtype="float32")


@pytest.mark.parametrize("defect", [name for name in DEFECTS if name != "heavy tails"])
def test_a_defect_leaves_the_fp32_function(defect: str, images: Any) -> None:
    original = sound()
    expected = original(images).asnumpy()
    weights = original.collect_params()
    net, where = made(defect, 3)
    found = net(images).asnumpy()
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()
    assert where == made(defect, 3)[1]
    changed = {
        name
        for name, parameter in net.collect_params().items()
        if not np.allclose(parameter.data().asnumpy(), weights[name].data().asnumpy())
    }
    assert bool(changed) == (defect != "none")


def test_heavy_tails_fire_rarely_and_high(images: Any) -> None:
    net, where = made("heavy tails", 0)
    name, channel = where.split(", channel ")
    stage = int(name.split(".")[1])
    x = images
    for layer in net.features[:stage]:
        x = layer(x)
    fired = mx.npx.relu(net.features[stage][0].bn1(x)).asnumpy()
    other = np.delete(fired, int(channel), axis=1)
    own = fired[:, int(channel)]
    assert (own > 0).mean() < 0.3
    assert own.max() == 0 or own.max() > 10 * other.max()


def test_targets_are_held_against_the_cases() -> None:
    def met(cases: list[dict[str, Any]]) -> list[str]:
        return [target.met for target in report.targets(cases)]

    good = [case("none"), case("first")]
    assert met(good) == ["yes", "yes", "yes", "yes"], "the speed against basic's and mse's"
    assert report.lost(good) == []
    ours = copy.deepcopy(good[0]["rows"]["int8_inc_sensitivity"])
    worse = {**ours, "loss": [1.6, 1.5, 1.7], "evaluated": 12000}
    bad = [case("none"), case("first", int8_inc_sensitivity=worse)]
    assert met(bad)[:2] == ["NO", "yes"]
    (said,) = report.lost(bad)
    assert said.startswith("first, seed 0") and "loses 1.60 %" in said and "int8_inc_basic" in said
    slow = {**ours, "speedup": [1.7, 1.65, 1.75], "times": times(1.7)}
    late = [case("first", int8_inc_sensitivity=slow)]
    assert met(late) == ["yes", "yes", "NO", "NO"]
    assert any("int8_inc_basic is faster" in each for each in report.lost(late))
    alike = [case("first", int8_inc_sensitivity={**slow, "excluded": ["int8_inc_basic"]})]
    assert met(alike)[2:] == ["yes", "NO"], "it is basic's graph, however it was timed"
    assert report.same_graph(alike) == (pytest.approx(2.0 / 1.7 - 1), 1)
    loud = [case("first", int8_inc_sensitivity={**ours, "times": times(1.95, 0.2)})]
    assert "not decided" in met(loud)


def test_the_interval_of_a_speed_holds_its_truth() -> None:
    """Over cases with noise of their own, the truth is inside about as often as is said."""
    inside = 0
    for draw in range(200):
        rng = np.random.default_rng(draw)
        cases = []
        for seed in range(3):
            own, other = np.exp(rng.normal(0, 0.05, (2, 8, 1)))
            made = case("first")
            made["rows"]["int8_inc_sensitivity"]["times"] = (own / 1.1).tolist()
            made["rows"]["int8_inc_basic"]["times"] = other.tolist()
            cases.append({**made, "seed": seed})
        found = next(each for each in report.paired_speeds(cases) if each.name == "int8_inc_basic")
        inside += found.low <= 1.1 <= found.high
    assert 180 <= inside <= 200


def test_a_search_without_a_model_counts_as_not_met() -> None:
    cases = [case("two", int8_inc_mse=without_model())]
    line = next(each for each in report.lines(cases) if each.name == "int8_inc_mse")
    assert (line.met, line.losses) == (0, (None,))
    assert line.images == pytest.approx(6000), "its images count all the same"
    text = report.to_markdown(
        cases,
        {"cpu": "c", "cores": 2, "tuning": 1, "held_back": 1, "trials": 1, "blind": 1},
    )
    assert "| int8_inc_mse " in text and "| - " in text
    values = list(report.csv_rows(cases))
    assert {len(row) for row in values} == {len(report.CSV)}


def test_files_are_written(tmp_path: Path) -> None:
    cases = [case("two", int8_inc_mse=without_model()), case("none")]
    about = {"cpu": "c", "cores": 2, "tuning": 1, "held_back": 1, "trials": 1, "blind": 1}
    strategies.written(tmp_path, cases, about, {name: name for name in MODELS})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"strategies.{kind}" for kind in ("csv", "json", "md", "svg")}
    assert "int8_inc_sensitivity" in (tmp_path / "strategies.svg").read_text()


def test_too_many_images_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert strategies.main(["--tuning", "9000", "--held-back", "2000"]) == 2
    assert "lower --tuning or --held-back" in capsys.readouterr().err


def test_one_round_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert strategies.main(["--rounds", "1"]) == 2
    assert "give 2 or more" in capsys.readouterr().err


def test_a_small_case_as_a_user_runs_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ("fp32_fused", "int8_equalized_smart", "int8_inc_basic", "int8_inc_sensitivity")
    monkeypatch.setattr(strategies, "ROWS", rows)
    monkeypatch.setattr(strategies, "BLIND", {})
    words = "--seeds 1 --first-seed 3 --defects first --tuning 192 --held-back 320 --rounds 3"
    words += " --trials 2 --blind 1"
    assert strategies.main([*words.split(), "--out", str(tmp_path)]) == 0
    assert "| int8_inc_sensitivity " in capsys.readouterr().out
    found = (tmp_path / "strategies.csv").read_text().splitlines()
    assert len(found) == 1 + len(rows)
    assert strategies.main([*words.split(), "--out", str(tmp_path), "--go-on"]) == 0
    assert (tmp_path / "strategies.csv").read_text().splitlines() == found, "nothing was left to do"
    assert (
        strategies.main([*words.split(), "--out", str(tmp_path), "--go-on", "--trials", "3"]) == 2
    )
    assert "measured with other trials" in capsys.readouterr().err
    assert all(line.startswith("first,3,features.2,") for line in found[1:])
