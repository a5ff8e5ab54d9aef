"""The tuning history: trials come back exactly, and a history made to do harm does none."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import re
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fuzz.data import histories
from harness.errors import HarnessError, InputError
from harness.facts.typed import decode
from harness.storage.method_options import MYCUSTOM
from harness.storage.store import HISTORY, TRIALS
from harness.storage.tuning_history import append, begin, described, read_history
from helpers.command_line import load
from helpers.harmful_pickles import taken
from helpers.tuning import ALL_TRIALS, THRESHOLDS, Search, kept_trials

INCS = ("basic", "bayesian", "exhaustive", "mse", "random", "tpe")
ENTRY = json.loads(histories(Path())[0])
searches = pytest.mark.slow


class Described:
    """What INC has of an input, without MXNet."""

    name, shape, dtype, layout = "data", (2, 3, 28, 28), np.float32, "NCHW"


def of_inc(**changed: Any) -> dict[str, Any]:
    """Return INC's ``q_config``, with sets and NumPy's numbers as INC has them."""
    made = copy.deepcopy(ENTRY["q_config"])
    calibration = made["calib_cfg"]
    for key in ("calib_kl_nodes", "calib_minmax_nodes"):
        calibration[key] = set(calibration[key])
    operators = calibration["calib_kl_nodes"] | calibration["calib_minmax_nodes"]
    del made["input"]
    more = {"input_desc": [Described()], "amp_cfg": {"excluded_sym_names": operators}}
    return {**made, **more, **changed}


def read(folder: Path, content: bytes) -> list[dict[str, Any]]:
    """Read a history whose digest is right, as one that somebody recorded with it."""
    (folder / HISTORY).write_bytes(content)
    return read_history(folder / HISTORY, hashlib.sha256(content).hexdigest())


# --- what is kept


singles = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.dictionaries(st.text("abc_", min_size=1), st.tuples(singles, singles).map(sorted)))
def test_thresholds_come_back_to_the_last_bit(found: dict[str, list[float]]) -> None:
    ranges = {name: tuple(map(np.float32, each)) for name, each in found.items()}
    entry = json.loads(json.dumps(described(1, of_inc(th_dict=ranges))))
    assert entry["because"] is None
    again = entry["q_config"]["th_dict"]
    assert {name: struct.pack("<2f", *each) for name, each in again.items()} == {
        name: struct.pack("<2f", *each) for name, each in ranges.items()
    }


@given(arrays.arrays(np.float64, 1, elements=singles))
def test_thresholds_of_every_type_that_inc_gives_are_kept(high: Any) -> None:
    low = -abs(high)
    for pair in (
        (low, abs(high)),
        (float(low[0]), np.float64(abs(high[0]))),
        (low.squeeze(), 4e38),
    ):
        entry = described(1, of_inc(th_dict={"a": pair}))
        kept = entry["q_config"] is not None
        assert kept == (pair[1] != 4e38)
        if kept:
            assert entry["q_config"]["th_dict"] == {"a": [float(low[0]), float(abs(high[0]))]}


@pytest.mark.parametrize(
    ("quantised", "because"),
    [
        (None, "without INC's adaptor"),
        (of_inc(th_dict={"a": (0.0, np.float32("inf"))}), r"th_dict\.a is .* finite float32"),
        (of_inc(th_dict={"a": (np.nan, 1.0)}), r"th_dict\.a is .* finite float32"),
        (of_inc(th_dict={"a\0b": (0.0, 1.0)}), "the name of an operator or a tensor"),
        (of_inc(input_desc=[]), "not as INC makes it"),
        (of_inc(input_desc=[Described(), Described()]), "not as INC makes it"),
        (of_inc(amp_cfg={"excluded_sym_names": set()}), "bf16"),
        ({}, r"not as INC makes it \(KeyError"),
    ],
)
def test_what_cannot_be_made_again_says_why_and_ends_no_search(
    tmp_path: Path, quantised: Mapping[str, Any] | None, because: str
) -> None:
    path = tmp_path / HISTORY
    begin(path)
    append(path, described(1, of_inc()))
    append(path, described(2, quantised))
    first, second = read(tmp_path, path.read_bytes())
    assert first == ENTRY
    assert second["q_config"] is None
    assert re.search(because, second["because"])


def test_a_search_begins_with_an_empty_history_and_follows_no_link(tmp_path: Path) -> None:
    path, other = tmp_path / HISTORY, tmp_path / "other"
    other.write_text("mine")
    path.symlink_to(other)
    begin(path)
    append(path, ENTRY)
    assert other.read_text() == "mine"
    assert read(tmp_path, path.read_bytes()) == [ENTRY]


def test_keys_that_the_form_does_not_name_go_no_further(tmp_path: Path) -> None:
    more = copy.deepcopy(ENTRY)
    more["q_config"]["quant_cfg"]["logger"] = "x"  # MXNet takes it
    more["q_config"]["framework_specific_info"]["q_dataloader"] = [1]
    more["q_config"]["input_desc"] = more["more"] = {}
    assert read(tmp_path, json.dumps(more).encode()) == [ENTRY]


# --- histories made to do harm


def changed(path: str, value: Any) -> bytes:
    """Return a history with another value at a dotted key."""
    entry = copy.deepcopy(ENTRY)
    *keys, last = path.split("/")
    inside = entry
    for key in keys:
        inside = inside[key]
    inside[last] = value
    return json.dumps(entry).encode()


CODE = "__import__('os').system('touch taken')"
OUTPUT = "q_config/th_dict/node_0_output"
HOSTILE = {
    "no JSON": b"{",
    "cut short": changed("because", None)[:-40],
    "nested": b"[" * 200_000 + b"]" * 200_000,
    "nested within": changed("because", None)[:-1]
    + b', "x": '
    + b"[" * 50_000
    + b"]" * 50_000
    + b"}",
    "too many values": b"[" + b"0," * 3_000_001 + b"0]",
    "no object": b"[]",
    "no text": b"\xff\xfe{}",
    "a trial left out": changed("trial", 2),
    "a trial twice": changed("trial", 1) + b"\n" + changed("trial", 1),
    "trial of a kind": changed("trial", True),
    "configuration of a kind": changed("q_config", [1]),
    "configuration missing": changed("q_config", {}),
    "NaN": changed(OUTPUT, [float("nan"), 1.0]),
    "infinite": changed(OUTPUT, [0.0, float("inf")]),
    "beyond float32": changed(OUTPUT, [0.0, 1e39]),
    "beyond float64": changed(OUTPUT, [0, 10**400]),
    "no order": changed(OUTPUT, [1.0, -1.0]),
    "three": changed(OUTPUT, [0.0, 1.0, 2.0]),
    "a text as a number": changed(OUTPUT, ["0", "1"]),
    "switches as numbers": changed(OUTPUT, [False, True]),
    "no pair": changed(OUTPUT, 1.0),
    "a tensor without a name": changed("q_config/th_dict", {"": [0.0, 1.0]}),
    "no names": changed("q_config/th_dict", [[0.0, 1.0]]),
    "name that ends early": changed("q_config/quant_cfg/excluded_symbols", ["node_0\0x"]),
    "name that a terminal obeys": changed("q_config/quant_cfg/excluded_symbols", ["\x1b[2J"]),
    "name that is no text": changed("q_config/quant_cfg/excluded_symbols", ["\ud800"]),
    "name without end": changed("q_config/quant_cfg/excluded_symbols", ["n" * 5000]),
    "name of a kind": changed("q_config/calib_cfg/calib_kl_nodes", [["node_0"]]),
    "names as one": changed("q_config/calib_cfg/calib_kl_nodes", "node_0"),
    "object type": changed("q_config/input/dtype", "O"),
    "code as a type": changed("q_config/input/dtype", CODE),
    "a type of fields": changed("q_config/input/dtype", [["a", "O"]]),
    "a type with its state": changed("q_config/input/dtype", "|V8"),
    "a type by its path": changed("q_config/input/dtype", "numpy.object_"),
    "code as a layout": changed("q_config/input/layout", CODE),
    "side below 0": changed("q_config/input/shape", [2, 3, -28, 28]),
    "side that is no number": changed("q_config/input/shape", [2, 3, "28", 28]),
    "side that is huge": changed("q_config/input/shape", [2, 3, 1 << 60, 28]),
    "another device": changed("q_config/framework_specific_info/device", "gpu"),
    "another mode": changed("q_config/calib_cfg/calib_mode", "none"),
    "another quantiser": changed("q_config/quant_cfg/quantize_mode", CODE),
    "another granularity": changed("q_config/quant_cfg/quantize_granularity", None),
    "another number": changed("q_config/quant_cfg/quantized_dtype", "object"),
    "no batches": changed("q_config/calib_cfg/batches", 0),
    "version that is code": changed("q_config/mxnet_version", CODE),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_history_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, HOSTILE[kind])
    said = str(caught.value)
    assert f"{HISTORY} cannot be read (" in said
    assert said.endswith("restore it, or measure the row again, in a new run")
    assert len(said) < 1000 + len(str(tmp_path)) and "\x1b" not in said


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "missing", "changed"])
def test_only_the_file_that_was_recorded_is_read(tmp_path: Path, kind: str) -> None:
    path, content = tmp_path / HISTORY, json.dumps(ENTRY).encode()
    sha256 = hashlib.sha256(content).hexdigest()
    if kind == "link":
        (tmp_path / "other").write_bytes(content)
        path.symlink_to(tmp_path / "other")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "changed":
        path.write_bytes(content + b"\n")  # the same trials, and other bytes
    with pytest.raises(InputError, match=f"{HISTORY} cannot be read"):
        read_history(path, sha256)


PICKLES = tuple(taken(Path("x")))


@pytest.mark.parametrize("kind", PICKLES)
def test_a_pickle_in_place_of_a_history_is_refused(tmp_path: Path, kind: str) -> None:
    marker = tmp_path / "taken"
    with pytest.raises(InputError, match=f"{HISTORY} cannot be read"):
        read(tmp_path, taken(marker)[kind])
    assert not marker.exists()


def test_the_pickles_are_what_they_say(tmp_path: Path) -> None:
    """Read without care, at least the plain ones do their harm: these tests test something."""
    for kind in ("system", "old protocol"):
        marker = tmp_path / kind.replace(" ", "_")
        pickle.loads(taken(marker)[kind])
        assert marker.exists()


# --- INC and its pickles


@searches
@pytest.mark.timeout(method="thread")
@pytest.mark.parametrize("way", ["recover", "resume"])
@pytest.mark.parametrize("kind", PICKLES)
def test_inc_reads_no_pickle_either(tmp_path: Path, tuning: Any, way: str, kind: str) -> None:
    from neural_compressor.utils.utility import recover

    from harness.methods.inc import SteppedQuantization
    from harness.methods.inc_settings import inc_config
    from harness.storage.method_options import SearchOptions
    from helpers.tuning import OPTIONS

    marker, path = tmp_path / "taken", tmp_path / "history.snapshot"
    path.write_bytes(taken(marker)[kind])
    with pytest.raises(HarnessError, match=r"INC asked for pickle\.load"):
        if way == "recover":
            recover(None, str(path), 0)
        else:
            config = inc_config(decode(OPTIONS, SearchOptions), "basic", tmp_path)
            config["tuning"]["workspace"]["resume"] = str(path)
            (tmp_path / "inc.yaml").write_text(yaml.safe_dump(config))
            from my_network import network

            resumed = SteppedQuantization(str(tmp_path / "inc.yaml"))
            resumed.model = network(10)
            resumed.calib_dataloader = tuning
            resumed.pre_process()
    assert not marker.exists()


NAMED: list[str] = []  # what an unpickler was asked for
HOOKED: list[bool] = []


@pytest.fixture
def unpickled() -> list[str]:
    """Return a list to which every class goes that a pickle names from now on, in this process."""
    if not HOOKED:  # a hook stays for as long as the process does
        HOOKED.append(True)
        sys.addaudithook(
            lambda event, given: NAMED.append(str(given)) if event == "pickle.find_class" else None
        )
    NAMED.clear()
    return NAMED


def test_the_look_at_unpickling_sees_it(unpickled: list[str]) -> None:
    pickle.loads(pickle.dumps(np.float32(1)))
    assert unpickled


@searches
@pytest.mark.timeout(method="thread")
@pytest.mark.parametrize("strategy", [*INCS, MYCUSTOM])
def test_each_trial_comes_back_and_no_pickle_is_written_or_read(
    strategy: str, search: Search, tuning: Any, tmp_path: Path, unpickled: list[str]
) -> None:
    from harness.methods.recovery import recover
    from my_network import network

    options = {"strategy_options": THRESHOLDS} if strategy == MYCUSTOM else {}
    search(strategy, max_trials=4, sampling_size=16, **options, **ALL_TRIALS)
    history, predicted = kept_trials(tmp_path), np.load(tmp_path / TRIALS)["top1"]
    assert len(history) == len(predicted) - 1 >= 3
    data = next(iter(tuning))[0]
    for entry, expected in zip(history, predicted[1:], strict=True):
        net = recover(network(10), entry["q_config"], data)
        now = np.concatenate([net(each).argmax(axis=1).asnumpy() for each, _ in tuning])
        np.testing.assert_array_equal(now, expected)
    assert not unpickled
    assert not [path for path in tmp_path.rglob("*") if path.read_bytes()[:1] == b"\x80"]
    assert not list(tmp_path.rglob("*.snapshot"))


# --- histories of something else


@pytest.fixture(scope="module")
def batch() -> Any:
    from harness.process.compat import import_inc

    import_inc()
    import mxnet as mx

    return mx.np.zeros((2, 3, 28, 28))


def other(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    configuration: dict[str, Any] = copy.deepcopy(ENTRY["q_config"])
    change(configuration)
    return configuration


@searches
@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        (other(lambda c: c["quant_cfg"]["excluded_symbols"].append("node_99")),
         "names the operator 'node_99', which this network does not have"),
        (other(lambda c: c["calib_cfg"]["calib_kl_nodes"].append(CODE)), "does not have"),
        (other(lambda c: c["input"].update(name="images")), "names the input 'images'"),
        (other(lambda c: c["input"].update(name="output.weight")), "names the input"),
        (other(lambda c: c["th_dict"].pop("node_0_output")), "INC makes no model"),
        (other(lambda c: c["th_dict"].clear()), "it lacks the range of a tensor"),
        (other(lambda c: c["input"].update(shape=[2, 3, 1 << 20, 1 << 20])), "is of batches"),
        (other(lambda c: c["input"].update(shape=[1 << 40, 3, 28, 28])), "is of batches"),
        (other(lambda c: c["input"].update(shape=[])), "is of batches"),
        (other(lambda c: c["input"].update(dtype="int8")), "is of batches"),
    ],
)  # fmt: skip
def test_history_of_another_network_is_refused(
    configuration: dict[str, Any], said: str, batch: Any
) -> None:
    from harness.methods.recovery import recover
    from my_network import network

    with pytest.raises(InputError, match=said) as caught:
        recover(network(10), configuration, batch)
    assert str(caught.value).endswith("restore it, or measure the row again")


@searches
def test_the_history_that_those_were_made_of_is_good(batch: Any) -> None:
    from harness.methods.recovery import recover
    from my_network import network

    assert recover(network(10), ENTRY["q_config"], batch)(batch).shape == (2, 10)


# --- the calibration that rows share


@searches
@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[" * 200_000,
        taken(Path("x"))["system"],
        json.dumps({"batches": 2, "kl": {}, "minmax": {"a": [0, float("inf")]}}).encode(),
        json.dumps({"batches": 2, "kl": {"a": ["0", "1"]}, "minmax": {}}).encode(),
        json.dumps({"batches": 2, "kl": {}}).encode(),
    ],
)
def test_damaged_shared_calibration_is_refused(tmp_path: Path, content: bytes) -> None:
    from harness.methods.shared_calibration import SHARED_CACHE, SharedCalibration

    (tmp_path / SHARED_CACHE).write_bytes(content)
    with pytest.raises(InputError, match=r"shared calibration .* delete it"):
        SharedCalibration(tmp_path, {}).load()


@searches
def test_shared_ranges_without_an_end_are_not_kept(tmp_path: Path) -> None:
    from harness.methods.shared_calibration import SHARED_CACHE, SharedCalibration

    ranges = {"a": (0.0, np.float32("inf")), "b": (np.float32(0), np.float32(1))}
    SharedCalibration(tmp_path, {"batches": 2, "kl": ranges, "minmax": {}}).save()
    assert load(tmp_path / SHARED_CACHE)["kl"] == {"b": [0.0, 1.0]}
