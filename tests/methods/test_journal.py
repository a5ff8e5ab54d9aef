"""Whatever a strategy overrides, its trials are the models that were evaluated, each once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import InputError, NoSolution, TuningTimeout
from helpers.tuning import ALL_TRIALS, IMPOSSIBLE, OPTIONS, Search

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600, method="thread")]
OWN = "odd_strategies.{}TuneStrategy"
INCS = ("basic", "bayesian", "exhaustive", "mse", "random", "tpe")


def kept(folder: Path, tuning: Any) -> list[dict[str, Any]]:
    """Return the trajectory on disk, after checking it against the predictions on disk."""
    trials: list[dict[str, Any]] = json.loads((folder / "trajectory.json").read_text())
    top = np.load(folder / "trials.npz")["top1"]
    assert [trial["trial"] for trial in trials] == list(range(1, len(top)))
    accuracies = (top == tuning.labels).mean(axis=1)
    assert [trial["accuracy"] for trial in trials] == list(accuracies[1:])
    assert all(trial["seconds"] >= trial["evaluation_seconds"] > 0 for trial in trials)
    return trials


def fp32(tuning: Any, folder: Path) -> Any:
    """Return what the fp32 network predicts, apart from any search."""
    from my_network import network

    net = network(10)
    return np.concatenate([net(data).argmax(axis=1).asnumpy() for data, _ in tuning])


def test_every_strategy_of_inc_is_run_or_refused() -> None:
    from harness.methods.inc import STRATEGIES, UNFIT

    assert set(STRATEGIES) >= {*INCS, *UNFIT}
    theirs = {n for n, c in STRATEGIES.items() if c.__module__.startswith("neural_compressor.")}
    assert theirs == {*INCS, *UNFIT}


@pytest.mark.parametrize("name", INCS)
def test_strategy_of_inc_is_counted_by_what_it_evaluates(
    name: str, search: Search, tuning: Any, tmp_path: Path
) -> None:
    with pytest.raises(NoSolution, match=r"best 0\.\d+ against fp32's 0\.\d+") as caught:
        search(name, max_trials=3, **IMPOSSIBLE)
    trials = kept(tmp_path, tuning)
    # tpe counts from 1, so its last is not made
    assert len(trials) == caught.value.trials == (2 if name == "tpe" else 3)
    assert ("by its own count before max_trials=3" in str(caught.value)) == (name == "tpe")
    assert " x int8 " in trials[0]["changed"]["all"]
    np.testing.assert_array_equal(
        np.load(tmp_path / "trials.npz")["top1"][0], fp32(tuning, tmp_path)
    )


def test_model_of_tpe_is_the_one_that_it_tried(search: Search, tuning: Any, tmp_path: Path) -> None:
    made = search("tpe", max_trials=4, **ALL_TRIALS)
    trials = kept(tmp_path, tuning)
    assert made.trajectory == trials
    assert made.quantization["trials"] == len(trials) == 3
    assert len({json.dumps(trial["changed"]) for trial in trials}) == 3
    excluded = [name for name, to in _applied(trials[:2]).items() if to == "fp32"]
    assert excluded  # it draws at random
    top = np.load(tmp_path / "trials.npz")["top1"]
    chosen = np.concatenate([made.net(d).argmax(axis=1).asnumpy() for d, _ in tuning])
    assert any((chosen == each).all() for each in top[1:])


def _applied(trials: list[dict[str, Any]]) -> dict[str, str]:
    now: dict[str, str] = {}
    for trial in trials:
        now.update(trial["changed"])
    return now


@pytest.mark.parametrize(
    ("name", "given", "trials"),
    [
        ("Traversing", {"max_trials": 4}, 4),
        ("Stopping", {"max_trials": 4}, 4),
        ("Stopping", {"max_trials": 40}, 9),
        ("Hasty", ALL_TRIALS, 2),
        ("Twice", {"max_trials": 3, **ALL_TRIALS}, 3),
        ("Repeating", {"max_trials": 3, **ALL_TRIALS}, 2),  # INC makes the last one again
        ("Evaluating", {"max_trials": 3, **ALL_TRIALS}, 3),
        ("Boasting", {"max_trials": 3, **ALL_TRIALS}, 3),
        ("WithoutBaseline", {}, 1),
    ],
)
def test_strategy_of_ones_own_is_counted_by_what_it_evaluates(
    name: str, given: dict[str, Any], trials: int, search: Search, tuning: Any, tmp_path: Path
) -> None:
    made = search(OWN.format(name), **given)
    found = kept(tmp_path, tuning)
    assert made.trajectory == found
    assert made.quantization["trials"] == len(found) == trials
    top = np.load(tmp_path / "trials.npz")["top1"]
    np.testing.assert_array_equal(top[0], fp32(tuning, tmp_path))
    assert made.quantization["baseline_accuracy"] == (top[0] == tuning.labels).mean()
    chosen = np.concatenate([made.net(d).argmax(axis=1).asnumpy() for d, _ in tuning])
    assert made.quantization["tuned_accuracy"] == (chosen == tuning.labels).mean()
    if name == "WithoutBaseline":
        assert made.quantization["excluded_operators"] == list(_names(tmp_path, found))[:2]


def _names(folder: Path, trials: list[dict[str, Any]]) -> list[str]:
    import yaml

    assert yaml.safe_load((folder / "inc.yaml").read_text())["tuning"]["strategy"]["name"]
    assert trials[0]["changed"]["all"].startswith("2 x fp32, ")
    return ["sg_onednn_conv_bn_act_0", "sg_onednn_conv_bn_act_1"]


@pytest.mark.parametrize(
    ("name", "given", "error", "said", "trials"),
    [
        ("Raising", ALL_TRIALS, LookupError, "lost its way", 2),
        ("Exiting", ALL_TRIALS, RuntimeError, r"ended its process: SystemExit\(0\)", 1),
        ("GivingUp", {}, NoSolution, "nothing more to try", 0),
        ("Fp32", {}, NoSolution, "nothing more to try", 1),
        ("Traversing", {"max_trials": 2, **IMPOSSIBLE}, NoSolution, "best 0", 2),
        ("Hasty", IMPOSSIBLE, NoSolution, "by its own count before max_trials=5", 2),
        ("Repeating", IMPOSSIBLE, NoSolution, "by its own count before max_trials=5", 2),
        ("Sleeping", {"timeout_s": 5}, TuningTimeout, "5 s ended after 1 trials", 1),
    ],
)
def test_end_of_a_strategy_of_ones_own_is_told_and_its_trials_are_kept(
    name: str, given: Any, error: Any, said: str, trials: int, search: Search, tuning: Any,
    tmp_path: Path,
) -> None:  # fmt: skip
    with pytest.raises(error, match=said) as caught:
        search(OWN.format(name), **given)
    assert len(kept(tmp_path, tuning)) == trials
    if error is NoSolution:
        assert caught.value.trials == trials


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ("sigopt", r"sigopt cannot run here, it needs an account .*: use one of basic, .*tpe"),
        ("automixedprecision", r"cannot run here, it looks for bf16"),
        (OWN.format("MySigOpt"), r"is a sigopt, which cannot run here"),
        (OWN.format("Empty"), "has neither next_tune_cfg nor traverse"),
        (OWN.format("NoSuchBase"), "no subclass of INC's TuneStrategy"),
    ],
)
def test_strategy_that_cannot_run_here_is_refused_before_anything_is_measured(
    strategy: str, said: str
) -> None:
    from harness.methods.inc import Tuned

    with pytest.raises(InputError, match=said):
        Tuned(strategy, OPTIONS)
