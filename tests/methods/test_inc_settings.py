"""INC's own keys: each reaches its search, and what INC's MXNet adaptor cannot do is refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from harness.errors import InputError, NoSolution
from harness.storage.configuration_checks import wrong_search
from helpers.tuning import ALL_TRIALS, IMPOSSIBLE, OPTIONS, Search, kept_trials, tuned

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600, method="thread")]
FP32 = {"activation": {"dtype": ["fp32"]}, "weight": {"dtype": ["fp32"]}}
CULPRIT = "sg_onednn_conv_bn_act_0"


def kinds(made: Any) -> set[str]:
    """Return what the operators of all trials became."""
    words = [part for trial in made.trajectory for part in trial["changed"].values()]
    return {one.split(" x ")[-1] for word in words for one in word.split(", ")}


def predicted(net: Any, tuning: Any) -> Any:
    return np.concatenate([net(data).argmax(axis=1).asnumpy() for data, _ in tuning])


@pytest.mark.parametrize(
    ("key", "space", "excluded"),
    [
        ("op_wise", {CULPRIT: FP32}, [CULPRIT]),
        ("op_wise", {"^node_1[01]$": {"activation": {"dtype": ["fp32"]}}}, ["node_10"]),
        ("optype_wise", {"batchnorm": {"activation": {"dtype": ["fp32"]}}}, ["node_10", "node_18"]),
    ],
)
def test_operators_are_kept_out_by_name_and_by_kind(
    search: Search, key: str, space: dict[str, Any], excluded: list[str]
) -> None:
    made = search("basic", **{key: space})
    assert set(excluded) <= set(made.quantization["excluded_operators"])
    assert CULPRIT in excluded or CULPRIT not in made.quantization["excluded_operators"]


def test_the_whole_model_can_be_held_to_one_algorithm(search: Search) -> None:
    made = search(
        "basic", max_trials=2, model_wise={"activation": {"algorithm": ["kl"]}}, **ALL_TRIALS
    )
    assert kinds(made) == {"int8 kl", "fp32"} or kinds(made) == {"int8 kl"}


def test_several_sampling_sizes_are_tried(search: Search, tmp_path: Path) -> None:
    minmax = {"activation": {"algorithm": ["minmax"]}}
    search("basic", sampling_size=[16, 32], model_wise=minmax, max_trials=2, **ALL_TRIALS)
    batches = [trial["q_config"]["calib_cfg"]["batches"] for trial in kept_trials(tmp_path)]
    assert batches == [1, 2]


def test_the_first_model_is_taken_whatever_its_accuracy_and_marked(search: Search) -> None:
    made = search("basic", performance_only=True, **IMPOSSIBLE)
    assert made.quantization["trials"] == 1
    assert made.quantization["meets_criterion"] is False


def test_the_best_of_several_objectives_is_a_trial_and_is_counted_once(
    search: Search, tuning: Any, tmp_path: Path
) -> None:
    made = search(
        "random",
        objective=["accuracy", "performance"],
        objective_weights=[1.0, 0.0],
        max_trials=3,
        **ALL_TRIALS,
    )
    configured = yaml.safe_load((tmp_path / "inc.yaml").read_text())["tuning"]
    assert configured["multi_objectives"] == {
        "objective": ["accuracy", "performance"],
        "higher_is_better": [True, False],
        "weight": [1.0, 0.0],
    }
    assert made.quantization["trials"] == len(made.trajectory) == 3
    best = max(trial["accuracy"] for trial in made.trajectory)
    assert made.quantization["tuned_accuracy"] == best
    assert (predicted(made.net, tuning) == tuning.labels).mean() == best


def test_the_most_accurate_trial_is_kept_where_accuracy_is_the_objective(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.methods.journal import Journal

    given = itertools.cycle((0.3, 0.4, 0.2, 0.35, 0.25))
    monkeypatch.setattr(Journal, "_accuracy", lambda journal, predictions: next(given))
    made = search("random", objective="accuracy", max_trials=4, **ALL_TRIALS)
    accuracies = [trial["accuracy"] for trial in made.trajectory]
    assert len(set(accuracies)) == 4
    assert made.quantization["tuned_accuracy"] == max(accuracies)


@pytest.mark.parametrize("strategy", ["basic", "tpe", "odd_strategies.TraversingTuneStrategy"])
def test_without_a_solution_the_best_model_is_kept_and_marked(
    search: Search, tuning: Any, strategy: str
) -> None:
    made = search(strategy, keep_best=True, max_trials=3, **IMPOSSIBLE)
    best = max(trial["accuracy"] for trial in made.trajectory)
    assert made.quantization["meets_criterion"] is False
    assert made.quantization["tuned_accuracy"] == best
    assert (predicted(made.net, tuning) == tuning.labels).mean() == best
    (warning,) = made.warnings
    assert warning.startswith("no model meets the criterion, this is the best one: best 0.")


def test_a_good_model_is_not_marked(search: Search) -> None:
    made = search("basic", keep_best=True)
    assert "meets_criterion" not in made.quantization
    assert made.warnings == []


def test_where_nothing_was_tried_there_is_no_best_model(search: Search) -> None:
    with pytest.raises(NoSolution):
        search("odd_strategies.GivingUpTuneStrategy", keep_best=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"op_wise": {"node_1": FP32}}, r"op_wise: 'node_1' fits no .*\(did you mean node_1\d\?\)"),
        ({"optype_wise": {"BatchNorm": FP32}}, r"'BatchNorm' fits .*\(did you mean batchnorm\?\)"),
    ],
)
def test_names_that_fit_nothing_are_refused(
    search: Search, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        search("basic", **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"model_wise": {"weight": {"granularity": ["per_channel"]}}},
            "options.model_wise.weight.granularity: it cannot be chosen: INC's MXNet adaptor has one "
            "for each kind of operator",
        ),
        ({"model_wise": {"weight": {"scheme": ["asym"]}}}, "adaptor has sym alone"),
        ({"model_wise": {"weight": {"bit": [7.0]}}}, "quantises to 8 bits alone"),
        (
            {"op_wise": {"a": {"activation": {"dtype": ["uint8"]}}}},
            "options.op_wise.a.activation.dtype=['uint8']: use a list of int8, fp32, bf16",
        ),
        (
            {"op_wise": {"a": {"activation": {"dtype": [["fp32"]]}}}},
            "options.op_wise.a.activation.dtype=[['fp32']]: use a list of int8, fp32, bf16",
        ),
        (
            {"op_wise": {"node_(1": {"activation": {"dtype": ["fp32"]}}}},
            "options.op_wise: 'node_(1' is neither a name nor a pattern: missing ), unterminated",
        ),
        (
            {"tensorboard": True},
            "options.tensorboard: it cannot be chosen: INC's MXNet adaptor has",
        ),
        ({"diagnosis": {}}, "options.diagnosis: it cannot be chosen: INC's MXNet adaptor has no"),
        (
            {"objective": ["accuracy", "performance"], "objective_weights": [1]},
            "options.objective_weights=[1]: give one weight for each objective; there are 2",
        ),
        ({"dtypes": "bf16"}, "options.dtypes=bf16: use int8_fp32 or inc"),
        ({"sampling_size": []}, "options.sampling_size=[]: use a whole number of at least 1, or"),
    ],
)
def test_what_the_adaptor_cannot_do_is_refused_with_the_reason(
    options: dict[str, Any], said: str
) -> None:
    assert wrong_search(OPTIONS) is None
    assert said in str(wrong_search({**OPTIONS, **options}))


class Killed(BaseException):
    """In place of a signal."""


@pytest.mark.parametrize("strategy", ["random", "bayesian"])
def test_a_search_that_was_stopped_goes_on_and_ends_as_if_it_had_not(
    tmp_path: Path, tuning: Any, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.methods.journal import Journal

    measure, measured = Journal._measure, []

    def counted(journal: Any, network: Any) -> float:
        measured.append(network is journal._context.net)
        if len(measured) == stop_after:
            raise Killed
        return measure(journal, network)

    def run(folder: str) -> Any:
        (tmp_path / folder).mkdir(exist_ok=True)
        options = {"objective": "performance", "max_trials": 4, "resume": True, **ALL_TRIALS}
        return tuned(tmp_path / folder, tuning, strategy, **options)

    stop_after = 0
    whole = run("whole")
    assert not (tmp_path / "whole" / "search.jsonl").exists()
    monkeypatch.setattr(Journal, "_measure", counted)
    stop_after = 4  # fp32, then two trials
    with pytest.raises(Killed):
        run("stopped")
    lines = (tmp_path / "stopped" / "search.jsonl").read_text().splitlines()
    assert len(lines) == 3
    with (tmp_path / "stopped" / "search.jsonl").open("a") as handle:
        handle.write('{"model": "cut off in the mid')
    stop_after = 0
    resumed = run("stopped")
    assert resumed.warnings[0].startswith("the search was stopped and went on after 2 trials: ")

    def plain(made: Any) -> list[Any]:
        return [(t["trial"], t["accuracy"], t["changed"]) for t in made.trajectory]

    assert plain(resumed) == plain(whole)
    tops = [np.load(tmp_path / one / "trials.npz")["top1"] for one in ("whole", "stopped")]
    np.testing.assert_array_equal(*tops)
    seconds = [json.loads(line)["seconds"] for line in lines[1:]]
    assert [trial["seconds"] for trial in resumed.trajectory[:2]] == seconds


def test_trials_of_another_search_are_not_taken(tmp_path: Path) -> None:
    from harness.files.whole_files import json_sha256
    from harness.methods.resumption import Evaluated, Resumption

    trial = Evaluated(json_sha256("a"), 0.5, [1.0], 2.0, 1.0, np.array([3, 4], dtype=np.uint16))
    Resumption(tmp_path, "search", 2).add(trial)
    again = Resumption(tmp_path, "search", 2)
    taken = again.take(json_sha256("a"))
    assert taken is not None and taken.predictions.tolist() == [3, 4]
    assert (again.trials, again.seconds) == (1, 2.0)
    assert again.take(json_sha256("a")) is None
    assert Resumption(tmp_path, "search", 2).limit(10.0) == 9.0, "its evaluation took 1 s"
    assert Resumption(tmp_path, "search", 2).limit(0) == 0
    assert Resumption(tmp_path, "search", 2).take(json_sha256("b")) is None, "another model"
    assert Resumption(tmp_path, "search", 2).take(json_sha256("a")) is None, "it was forgotten"
    Resumption(tmp_path, "search", 2).add(trial)
    assert Resumption(tmp_path, "search", 3).take(json_sha256("a")) is None, "other images"
    Resumption(tmp_path, "search", 2).add(trial)
    assert Resumption(tmp_path, "another", 2).take(json_sha256("a")) is None


def test_a_line_that_was_written_in_part_is_no_part_of_the_next(tmp_path: Path) -> None:
    from harness.files.whole_files import json_sha256
    from harness.methods.resumption import FILE, Evaluated, Resumption

    first, second = (
        Evaluated(json_sha256(name), 0.5, [1.0], 2.0, 1.0, np.array([1, 2], np.uint16))
        for name in ("a", "b")
    )
    Resumption(tmp_path, "search", 2).add(first)
    with (tmp_path / FILE).open("a") as handle:
        handle.write('{"model": "3f')
    going_on = Resumption(tmp_path, "search", 2)
    assert going_on.take(first.model) is not None
    going_on.add(second)
    again = Resumption(tmp_path, "search", 2)
    assert again.take(first.model) is not None and again.take(second.model) is not None
