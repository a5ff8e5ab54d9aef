"""Options of native rows and of INC's, in one run: what is asked for is what is made and shown."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.files.whole_files import sha256_of
from harness.storage import store
from helpers.command_line import TINY, CommandLine, Ended

pytestmark = pytest.mark.slow
ROWS = {
    "fp32": [],
    "int8_smart_excluded": [],
    "int8_smart_naive": ["num_calib_batches=1"],
    "int8_smart_entropy": ["quantized_dtype=uint8"],
    "int8_finished": [],
    "int8_inc_random": ["options.tolerance=-0.9", "options.keep_best=true"],
    "int8_inc_exhaustive": ["options.op_wise={node_10:{activation:{dtype:[fp32]}}}"],
    "int8_inc_tpe": ["options.tolerance=-0.9"],
}


@pytest.fixture(scope="module")
def pair(tuning: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the symbol and the weights of a model that was quantised elsewhere."""
    from mxnet.contrib.quantization import quantize_net

    from my_network import network

    net = quantize_net(network(10), quantize_mode="full", calib_mode="naive", calib_data=tuning)
    net.hybridize(static_alloc=True, static_shape=True)
    net(next(iter(tuning))[0]).wait_to_read()
    symbol, params = net.export(str(tmp_path_factory.mktemp("pair") / "mine"))
    return Path(symbol), Path(params)


@pytest.fixture(scope="module")
def run(session_run: Callable[..., Ended], pair: tuple[Path, Path]) -> Ended:
    files = [
        f"method.int8_finished.{key}={path}" for key, path in zip(store.MODEL, pair, strict=True)
    ]
    words = [f"method.{name}.{option}" for name, options in ROWS.items() for option in options]
    tuning = ["tuning.criterion=absolute", "tuning.tolerance=0.9", "tuning.max_trials=3"]
    return session_run(f"method=[{','.join(ROWS)}]", *files, *words, *tuning, *TINY)


def facts(run: Ended, method: str) -> Any:
    return json.loads((run.folder.method(method) / "optimize.json").read_text())["quantization"]


def test_each_row_ends_as_its_options_say(run: Ended) -> None:
    assert run.outcomes == {
        "fp32": "ok",
        "int8_smart_excluded": "ok",
        "int8_smart_naive": "ok",
        "int8_smart_entropy": run.outcomes["int8_smart_entropy"],
        "int8_finished": "ok",
        "int8_inc_random": "ok",
        "int8_inc_exhaustive": "ok",
        "int8_inc_tpe": run.outcomes["int8_inc_tpe"],
    }, run.err
    refused, unsolved = run.outcomes["int8_smart_entropy"], run.outcomes["int8_inc_tpe"]
    assert refused.startswith("refused") and "Expect int8 when data_min < 0.0" in refused
    assert unsolved.startswith("no solution") and "2 trials" in unsolved


def test_options_of_native_rows_reach_the_model(run: Ended) -> None:
    made = facts(run, "int8_smart_excluded")
    assert made["excluded_operators"] == ["sg_onednn_conv_bn_act_0"]
    symbol = (run.folder.method("int8_smart_excluded") / "model-symbol.json").read_text()
    names = [node["name"] for node in json.loads(symbol)["nodes"]]
    assert "quantized_sg_onednn_conv_bn_act_0" not in names
    assert "quantized_sg_onednn_conv_bn_act_1" in names
    assert facts(run, "int8_smart_naive")["calibration_images"] == 16


def test_the_best_model_of_a_fruitless_search_is_measured_and_marked(run: Ended) -> None:
    with (run.folder.path / "table.csv").open() as handle:
        table = {row["method"]: row for row in csv.DictReader(handle)}
    row = table["int8 INC random (misses the criterion)"]
    assert float(row["top1"]) > 0 and float(row["validation_s"]) > 0
    assert facts(run, "int8_inc_random")["meets_criterion"] is False
    assert "no model meets the criterion, this is the best one: best 0." in run.out


def test_what_is_kept_out_of_int8_is_told_under_the_table(run: Ended) -> None:
    assert "node_10" in facts(run, "int8_inc_exhaustive")["excluded_operators"]
    text = " ".join(run.out.split())
    _, _, kept_out = text.partition("int8 INC exhaustive keeps out of int8: ")
    assert (
        "node_10: BatchNorm in features.3.0.bn1, behind sg_onednn_conv_add_2 "
        "(features.2.0.conv2), feeds node_11 (features.3.0)" in kept_out
    )


def test_a_model_made_elsewhere_is_planned_by_its_digests_and_measured(
    run: Ended, pair: tuple[Path, Path]
) -> None:
    plan = run.folder.load_plan()
    assert plan is not None
    for role, path in zip(store.MODEL, pair, strict=True):
        assert plan.files[f"int8_finished.{role}"].sha256 == sha256_of(path)
    model = run.folder.method("int8_finished") / "model-symbol.json"
    assert "_contrib_quantized_batch_norm" in model.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "method.int8_finished.symbol must be given: the model is a pair"),
        (["symbol=/nowhere.json"], "method.int8_finished.symbol=/nowhere.json: there is no such"),
        (["symbol={broken}"], "check method.int8_finished.symbol"),
        (
            ["symbol={symbol}", "params={broken}"],
            "check method.int8_finished.params, or copy the file again",
        ),
        (
            ["symbol={symbol}", "symbol_sha256=" + "0" * 64],
            "expected " + "0" * 64 + " (method.int8_finished.symbol_sha256): restore the file",
        ),
    ],
)
def test_files_of_a_model_made_elsewhere_are_checked_like_weights(
    cli: CommandLine, pair: tuple[Path, Path], tmp_path: Path, words: list[str], said: str
) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"PK\x03\x04 no archive")
    names = {"symbol": pair[0], "broken": broken}
    given = [f"method.int8_finished.{word.format(**names)}" for word in words]
    ended = cli("method=[fp32,fp32_fused,int8_finished]", *given, *TINY)
    assert ended.code == 2
    assert said.format(**names) in ended.err
