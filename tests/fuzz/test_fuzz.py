"""A bounded part of the fuzz campaign, and every input that once got through."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.campaign import KNOWN, TESTS, Result, in_a_process, known_inputs, table
from fuzz.settings import feed_overrides
from fuzz.targets import BY_NAME, TARGETS
from harness import PROJECT
from harness.errors import InputError

FEW = {
    "record file": 2000,
    "image header": 2000,
    "weights": 1500,
    "symbol": 1500,
    "predictions": 1000,
    "tuning history": 1000,
}
SLOW = ("image", "weights in MXNet", "symbol in MXNet", "tuning history in INC")


IN_ONE_PROCESS = """
import json, sys, tempfile
from dataclasses import asdict
from pathlib import Path
from fuzz.campaign import try_target
from fuzz.targets import BY_NAME
for name, inputs in json.loads(sys.argv[1]).items():
    with tempfile.TemporaryDirectory() as folder:
        found = try_target(BY_NAME[name], inputs, 7, Path(folder), 0, None)
        print(json.dumps(asdict(found)), flush=True)
"""


@pytest.mark.slow
def test_no_input_gets_through() -> None:
    asked = {each.name: FEW.get(each.name, 25) for each in TARGETS if each.name not in SLOW}
    ended = subprocess.run(
        [sys.executable, "-c", IN_ONE_PROCESS, json.dumps(asked)],
        env={**os.environ, "PYTHONPATH": f"{TESTS}:{PROJECT}"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    results = [Result(**json.loads(line)) for line in ended.stdout.splitlines()]
    assert [(each.target, each.tried) for each in results] == list(asked.items())
    for each in results:
        assert each.good, each.findings
        assert each.refused > 0
    assert f"{sum(asked.values())} |" in table(results).splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_no_input_gets_through_native_code(name: str, tmp_path: Path) -> None:
    result = in_a_process(BY_NAME[name], 300, 7, tmp_path)
    assert result.good, result.findings
    assert result.tried == 300 and result.refused > 0


def test_what_once_failed_is_tried_first() -> None:
    kept = {path.name for path in KNOWN.iterdir()}
    assert kept
    assert kept <= set(BY_NAME)
    assert all(known_inputs(BY_NAME[name]) for name in kept)


words = st.sampled_from(
    ["method", "workload", "tuning.seed", "run.id", "workload.rec", "~method", "+a", ""]
)
values = st.one_of(
    st.text(max_size=30), st.sampled_from(["[", "{a:", "${x}", "${oc.env:", "null", "1e999"])
)


@pytest.mark.slow
@given(st.lists(st.tuples(words, values), min_size=1, max_size=3))
@settings(max_examples=60)
def test_any_overrides_compose_or_are_refused(pairs: list[tuple[str, str]]) -> None:
    text = "\n".join(f"{key}={value}" for key, value in pairs)
    try:
        feed_overrides(text.encode("utf-8", "replace"), Path())
    except InputError as error:
        assert str(error)
