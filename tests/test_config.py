"""Every configuration file composes, and what is wrong is named with what would be right."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from harness import PROJECT
from harness.config import CONF, choices, compose_config, project_path
from harness.errors import InputError
from harness.storage.method_options import UNABLE
from helpers.command_line import OWN

BY_NAME = (  # rows of no experiment: they are asked for by name
    "int8_smart_excluded", "int8_finished", "int8_inc_random", "int8_inc_exhaustive", "int8_inc_tpe",
    "onnxruntime_equalized_int8_channel",
    "fp32_summed",  # the second baseline where mxnet_additions=null; else it would be fp32 again
)  # fmt: skip
SECOND = "fp32_as_released"  # the baseline that no publication has


def files(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def test_each_folder_is_tested_here() -> None:
    tested = {
        "method", "workload", "threads", "protocol", "experiment", "inc_options", "native_options"
    }  # fmt: skip
    assert {path.name for path in CONF.iterdir() if path.is_dir()} == tested


@pytest.mark.parametrize("name", files("method"))
def test_each_method_composes_alone(name: str) -> None:
    values = compose_config([f"method=[{name}]"]).config.stored
    (found,) = values["method"].items()
    assert found[0] == name
    assert found[1]["label"]
    assert found[1]["_target_"].startswith("harness.methods.")
    assert set(values["method"]) == {name}


@pytest.mark.parametrize(
    ("group", "name"),
    [
        (group, name)
        for group in ("workload", "threads", "protocol", "experiment")
        for name in files(group)
    ],
)
def test_each_choice_composes(group: str, name: str) -> None:
    values = compose_config([f"{group}={name}"]).config.stored
    assert set(values) == {
        "run", "machine", "machine_type", "machine_id", "tuning", "baseline", "fused", "table",
        "max_cpu_isa", "methods", "method", "mxnet_additions", "workload", "threads", "protocol",
        "nightly",
    }  # fmt: skip
    assert {"name", "rec", "classes", "batch_size", "model", "transform"} <= set(values["workload"])
    assert values["baseline"] in values["method"]


@pytest.mark.parametrize("name", files("workload"))
def test_workloads_have_the_same_geometry_keys(name: str) -> None:
    transform = compose_config([f"workload={name}"]).config.stored["workload"]["transform"]
    assert list(transform) == ["resize", "keep_ratio", "crop", "mean", "std"]


def test_inc_options_reach_every_inc_row() -> None:
    options = list(compose_config([]).config.stored["method"]["int8_inc_mse"]["options"])
    assert options == [
        "criterion", "tolerance", "timeout_s", "max_trials", "seed", "sampling_size", "objective",
        "objective_weights", "dtypes", "model_wise", "optype_wise", "op_wise", "performance_only",
        "keep_best", "resume",
    ]  # fmt: skip
    given = compose_config(["tuning.seed=5", "method.int8_inc_basic.options.seed=6"]).config.stored
    inc = {k: m["options"]["seed"] for k, m in given["method"].items() if "options" in m}
    assert inc == {
        "int8_inc_basic": 6, "int8_inc_mse": 5, "int8_inc_mycustom": 5, "int8_inc_bayesian": 5
    }  # fmt: skip


def test_default_rows_are_those_published_in_their_order() -> None:
    table = PROJECT / "benchmarks" / "published" / "published_table.csv"
    published = [row["method"] for row in csv.DictReader(table.read_text().splitlines())]
    methods = compose_config([]).config.stored["method"]
    labels = {name: method["label"] for name, method in methods.items()}
    assert list(labels)[:2] == ["fp32", SECOND]
    assert labels.pop(SECOND) not in published  # the same baseline with MXNet's defect
    assert list(labels.values()) == published
    # not published: off by default
    beyond = compose_config(["experiment=beyond"]).config.stored["method"]
    assert set(methods) < set(beyond)
    engines = compose_config(["experiment=engines"]).config.stored["method"]
    assert sorted({*beyond, *engines, *BY_NAME}) == files("method")


def test_order_of_the_rows_is_the_users() -> None:
    rows = compose_config(["method=[int8_inc_mse,fp32,fp32_fused]"]).config.stored["method"]
    assert list(rows) == ["int8_inc_mse", "fp32", "fp32_fused"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("method=[fp32,nosuch]", ["method=nosuch", "choose from", "int8_smart_naive"]),
        ("method=nosuch", ["method=nosuch", "choose from", "fp32_fused"]),
        ("workload=nosuch", ["workload=nosuch", "bundled, custom, imagenet"]),
        ("threads=nosuch", ["threads=nosuch", "kmp, none, omp"]),
        ("protocol=nosuch", ["protocol=nosuch", "published"]),
        ("protocol.rounds=-1", ["protocol.rounds=-1", "at least 0"]),
        ("protocol.rounds=3", ["protocol.batches=0", "at least 1"]),
        ("protocol.sweep=[1]", ["protocol.sweep", "protocol=careful"]),
        ("protocol.sweep=1", ["protocol", "careful.yaml"]),
        ("protocol.warmup_s=-1", ["protocol.warmup_s=-1", "from 0 up"]),
        ("+protocol.pauses=1", ["pauses"]),
        ("protocol.warmup_s=.inf", ["protocol.warmup_s=.inf", "from 0 up"]),
        ("baseline=fp32_sumed", ["baseline=fp32_sumed", "fp32_summed"]),
        ("fused=nosuch", ["fused=nosuch", "fp32_fused"]),
        ("table.intervals=maybe", ["table.intervals=maybe", "true or false"]),
        ("max_cpu_isa=AVX3", ["max_cpu_isa=AVX3", "AVX512_CORE_VNNI"]),
        ("run.reuse_tuned='a b'", ["run.reuse_tuned=a b", "plain name"]),
        ("experiment=nosuch", ["experiment=nosuch", "paper", "smoke"]),
        ("nosuch=1", ["nosuch", "tuning", "workload"]),
        ("nosuch.key=1", ["nosuch.key", "the configuration has", "tuning"]),
        ("tuning.nosuch=1", ["tuning.nosuch", "tuning has criterion, tolerance"]),
        ("workload.transform.nosuch=1", ["workload.transform.nosuch", "resize, keep_ratio, crop"]),
        ("method.fp32.nosuch=1", ["method.fp32.nosuch", "method.fp32 has label"]),
        ("method.int8_inc_mse.options.tolerence=1", ["tolerence", "criterion, tolerance"]),
        ("method=[]", ["no method is chosen"]),
        ("tuning.max_trials=abc", ["tuning.max_trials=abc", "at least 1"]),
        ("tuning.max_trials=0", ["tuning.max_trials=0", "at least 1"]),
        ("tuning.tolerance=-1", ["tuning.tolerance=-1", "at least 0"]),
        ("tuning.tolerance=nan", ["tuning.tolerance=nan", "at least 0"]),
        ("tuning.timeout_s=inf", ["tuning.timeout_s=inf"]),
        ("tuning.criterion=both", ["tuning.criterion=both", "relative or absolute"]),
        ("run.timeout_s=soon", ["run.timeout_s=soon", "at least 0"]),
        ("run.timeout_s=-1", ["run.timeout_s=-1", "at least 0"]),
        ("workload.batch_size=1.5", ["workload.batch_size=1.5", "whole number"]),
        ("workload.classes=70000", ["workload.classes=70000", "65536"]),
        ("workload.tuning.batches=0", ["workload.tuning.batches=0"]),
        ("workload.transform.crop=100", ["workload.transform.crop=100", "resize=64"]),
        ("workload.transform=3", ["has not the form of conf/"]),
        ("tuning=5", ["tuning"]),
        ("a=[b", ["a"]),
        ("~tuning.seed", ["tuning.seed"]),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(override: str, said: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        compose_config([override])
    message = str(caught.value)
    assert "\n" not in message
    for part in said:
        assert part in message


METHODS_PAGE = " ".join((PROJECT / "docs" / "methods.md").read_text().split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["method.int8_full_naive.calib_mode=custom"],
            "custom needs a collector, which is code: write a method of your own",
        ),
        (["tuning.objective=modelsize"], "INC's modelsize needs TensorFlow, which is not installed"),
        (
            ["tuning.objective=[accuracy,performance]", "tuning.objective_weights=[1]"],
            "give one weight for each objective; there are 2",
        ),
        *((word, UNABLE[key]) for key, word in (
            ("tensorboard", ["tuning.tensorboard=true"]),
            ("tensorboard", ["+tuning.tensorboard=true"]),
            ("tensorboard", ["+method.int8_inc_mse.options.tensorboard=true"]),
            ("diagnosis", ["tuning.diagnosis=true"]),
            ("granularity", ["tuning.model_wise={weight:{granularity:[per_channel]}}"]),
            ("scheme", ["tuning.optype_wise={batchnorm:{weight:{scheme:[asym]}}}"]),
            ("bit", ["tuning.op_wise={node_5:{activation:{bit:[7]}}}"]),
        )),
    ],
)  # fmt: skip
def test_refusals_of_options_are_those_that_the_docs_quote(words: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        compose_config(words)
    assert said in str(caught.value)
    assert said in METHODS_PAGE


def test_a_model_made_elsewhere_is_no_part_of_another_method() -> None:
    inner = "method.int8_equalized_full.method"
    words = [f"{inner}._target_=harness.methods.finished.Finished"]
    words += [f"+{inner}.{key}=x" for key in ("symbol", "params")]
    with pytest.raises(InputError, match=rf"{inner}: a model that was made elsewhere takes no"):
        compose_config(["method=[fp32,int8_equalized_full]", *words])


def test_keys_are_those_of_the_chosen_workload() -> None:
    with pytest.raises(InputError, match=r"workload has .*symbol"):
        compose_config(["workload=custom", "workload.nosuch=1"])


def test_own_folder_adds_choices_and_keeps_the_projects() -> None:
    values = compose_config(["method=[fp32,mine]", "workload=tiny"], [OWN]).config.stored
    assert list(values["method"]) == ["fp32", "mine"]
    assert values["workload"]["name"] == "tiny"
    assert {"fp32", "mine"} <= set(choices("method", [OWN]))
    with pytest.raises(InputError, match=r"choose from .*mine"):
        compose_config(["method=[nosuch]"], [OWN])
    with pytest.raises(InputError, match="method=mine: there is no such method"):
        compose_config(["method=[mine]"])


def test_own_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        compose_config([], [tmp_path / "nosuch"])


def test_paths_count_from_the_project(tmp_path: Path) -> None:
    assert project_path("results") == PROJECT / "results"
    assert project_path(str(tmp_path)) == tmp_path
    assert project_path("~/x") == Path.home() / "x"


def test_cache_follows_the_xdg_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compose_config([]).config.stored["run"]["cache"] == f"{tmp_path}/inc-bench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/user")
    assert compose_config([]).config.stored["run"]["cache"] == "/home/user/.cache/inc-bench"


def test_geometry_is_the_one_the_bundled_weights_were_trained_with() -> None:
    from benchmarks.bundled import make

    workload = compose_config(["workload=bundled"]).config.stored["workload"]
    transform = workload["transform"]
    assert (transform["resize"], transform["crop"]) == (make.RESIZE, make.CROP)
    assert transform["mean"] == pytest.approx(make.MEAN.tolist())
    assert transform["std"] == pytest.approx(make.STD.tolist())
    assert workload["classes"] == make.CLASSES


@pytest.mark.parametrize("line", ["label: mine\n", "_target_: my_method.Rounded\n"])
def test_method_without_label_or_target(tmp_path: Path, line: str) -> None:
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "half.yaml").write_text(f"# @package method.half\n{line}")
    with pytest.raises(InputError, match="method half: its file must give label and _target_"):
        compose_config(["method=[half]"], [tmp_path])
