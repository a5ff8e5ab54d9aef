"""README's examples do what its text says: they are taken out of it and run."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from harness import PROJECT
from helpers.command_line import TINY, CommandLine

pytestmark = pytest.mark.slow
README = (PROJECT / "README.md").read_text()
INDENTED = r"((?:    [^\n]*\n|\n)+)"  # a block of code
# what oneDNN writes in int8; the others pass on the range of what they take
CALIBRATED = ("_contrib_quantize_v2", "_sg_onednn_conv", "_contrib_quantized_batch_norm")


def block_after(words: str) -> str:
    """Return README's first block of code after a sentence."""
    found = re.search(re.escape(words) + r".*?\n\n" + INDENTED, README, re.S)
    assert found, f"README has no example after {words!r}"
    return textwrap.dedent(found[1]).strip("\n") + "\n"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Write the files of "A method of your own" as README says, and return their folder."""
    folder = tmp_path / "mine"
    (folder / "method").mkdir(parents=True)
    for name in ("method/int8_mine.yaml", "my_methods.py", "method/int8_inc_mine.yaml"):
        (folder / name).write_text(block_after(f"`mine/{name}`"))
    with (folder / "my_methods.py").open("a") as file:
        file.write("\n\n" + block_after("in `mine/my_methods.py` as well"))
    return folder


def operators(symbol: Path) -> list[dict[str, Any]]:
    return [node for node in json.loads(symbol.read_text())["nodes"] if node["op"] != "null"]


def test_the_method_and_the_strategy_of_ones_own(cli: CommandLine, mine: Path) -> None:
    words = re.search(r"\./run\.sh --conf mine (method=\[fp32,int8_mine,int8_inc_mine\])\n", README)
    assert words, "README no longer says how its examples are started"
    ended = cli("--conf", str(mine), words[1], *TINY, "tuning.tolerance=0.5")
    assert ended.outcomes == {"fp32": "ok", "int8_mine": "ok", "int8_inc_mine": "ok"}, ended.err

    made = operators(ended.folder.method("int8_mine") / "model-symbol.json")
    written = [node for node in made if node["op"] in CALIBRATED]
    assert {node["op"] for node in written} == set(CALIBRATED)
    for node in written:
        low, high = (float(node["attrs"][f"{side}_calib_range"]) for side in ("min", "max"))
        assert low < high, f"{node['name']} is not calibrated"
    convolutions = [node for node in made if node["op"] == "_sg_onednn_conv"]
    assert all(node["attrs"]["quantized"] == "true" for node in convolutions)
    (dense,) = [node for node in made if node["op"] == "_sg_onednn_fully_connected"]
    assert dense["attrs"]["channel_wise_quantize"] == "True"

    tuned = ended.records["int8_inc_mine"].optimize
    assert tuned and tuned["quantization"]["strategy"] == "my_methods.MineTuneStrategy"
    assert tuned["quantization"]["excluded_operators"] == []
    assert [trial["trial"] for trial in tuned["trajectory"]] == [1]
    told = tuned["quantization"]
    assert told["kl_operators"], "the example says that it calibrates by entropy"
