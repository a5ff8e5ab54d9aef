"""The method and the strategy that the documentation shows do what it says: they are run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.command_line import TINY, CommandLine
from helpers.pages import OWN_METHODS, commands, write_own_methods

pytestmark = pytest.mark.slow
# what oneDNN writes in int8; the others pass on the range of what they take
CALIBRATED = ("_contrib_quantize_v2", "_sg_onednn_conv", "_contrib_quantized_batch_norm")


def operators(symbol: Path) -> list[dict[str, Any]]:
    return [node for node in json.loads(symbol.read_text())["nodes"] if node["op"] != "null"]


def test_the_method_and_the_strategy_of_ones_own(cli: CommandLine, tmp_path: Path) -> None:
    mine = write_own_methods(tmp_path / "mine")
    (words,) = [command.words for command in commands(OWN_METHODS)]
    assert words == ("--conf", "mine", "method=[fp32,int8_mine,int8_inc_mine]")
    ended = cli("--conf", str(mine), words[2], *TINY, "tuning.tolerance=0.5")
    assert ended.outcomes == {"fp32": "ok", "int8_mine": "ok", "int8_inc_mine": "ok"}, ended.err

    quantised = operators(ended.folder.method("int8_mine") / "model-symbol.json")
    calibrated = [node for node in quantised if node["op"] in CALIBRATED]
    assert {node["op"] for node in calibrated} == set(CALIBRATED)
    for node in calibrated:
        low, high = (float(node["attrs"][f"{side}_calib_range"]) for side in ("min", "max"))
        assert low < high, f"{node['name']} is not calibrated"
    convolutions = [node for node in quantised if node["op"] == "_sg_onednn_conv"]
    assert all(node["attrs"]["quantized"] == "true" for node in convolutions)
    (dense,) = [node for node in quantised if node["op"] == "_sg_onednn_fully_connected"]
    assert dense["attrs"]["channel_wise_quantize"] == "True"

    tuned = ended.records["int8_inc_mine"].optimize
    assert tuned and tuned.trajectory
    quantization = tuned.stored["quantization"]
    assert quantization["strategy"] == "my_methods.MineTuneStrategy"
    assert quantization["excluded_operators"] == []
    assert [trial.trial for trial in tuned.trajectory] == [1]
    assert quantization["kl_operators"], "the example says that it calibrates by entropy"
