"""The newest INC as an engine: its search, its limits, its own errors, and where it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.report.figures.trials import stored_trials, trajectories
from harness.table.loaded_run import load_run
from helpers.command_line import ONE_THREAD, OWN, CommandLine
from helpers.engine_python import in_engine, require_rows

pytestmark = pytest.mark.slow

# Channels between the two convolutions span six decades, which one scale for all of them loses.
SEARCHES = """
import json, os, shutil, signal, sys
from pathlib import Path
import numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper
from harness.engines.neural_compressor import Inc
from harness.engines.network import INPUT
from harness.errors import NoSolution

folder = Path(sys.argv[1])
os.chdir(folder)
rng = np.random.default_rng(0)
scale = np.logspace(-3, 3, 16)
first = rng.normal(size=(16, 3, 3, 3)) * scale.reshape(-1, 1, 1, 1)
second = rng.normal(size=(4, 16, 6, 6)) / scale.reshape(1, -1, 1, 1)
graph = helper.make_graph(
    [
        helper.make_node("Conv", [INPUT, "w"], ["c"], "first"),
        helper.make_node("Conv", ["c", "v"], ["d"], "second"),
        helper.make_node("Flatten", ["d"], ["scores"], "flat"),
    ],
    "g",
    [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["images", 3, 8, 8])],
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["images", 4])],
    [
        numpy_helper.from_array(values.astype("float32"), name)
        for name, values in (("w", first), ("v", second))
    ],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
network = folder / "network.onnx"
onnx.save(model, network)
images = rng.normal(size=(4, 64, 3, 8, 8)).astype("float32")
run = onnxruntime.InferenceSession(str(network)).run
batches = [(batch, run(None, {INPUT: batch})[0].argmax(axis=1)) for batch in images]
quietly = lambda *of_progress: None
said = {}

found = Inc(max_trials=20).optimize(network, batches, folder / "engine", quietly)
said["found"] = dict(found.quantization)
said["trials"] = found.trajectory
predictor = Inc().load(found.graph, 1, (), True, 64)
for batch, _ in batches:
    predictor(batch)
said["ran"] = [kernel.dtype for kernel in Inc().what_ran(predictor) if kernel.kind == "convolution"]



class Limit:  # ends the time in the first trial after one that meets the criterion
    met = False

    def __call__(self, *of_progress):
        if self.met:
            signal.raise_signal(signal.SIGALRM)
        self.met = json.loads((timed / "trajectory.json").read_text())[-1]["accuracy"] >= 0.99


timed = folder / "timed"
timed.mkdir()
kept = Inc(max_trials=20, timeout_s=100_000).optimize(network, batches, timed / "kept", Limit())
said["at_limit"] = [len(kept.trajectory), dict(kept.quantization), kept.graph.is_file()]
shutil.rmtree(timed)

row = folder / "row"
row.mkdir()
try:
    Inc(max_trials=1).optimize(network, batches, row / "none", quietly)
except NoSolution as error:
    said["none"] = [str(error), error.trials]
said["kept"] = json.loads((row / "trajectory.json").read_text())


class Breaking(list):
    def __iter__(self):
        raise ConnectionAbortedError("these images are gone")


try:
    Inc().optimize(network, Breaking(batches), row / "none", quietly)
except ConnectionAbortedError as error:
    said["broken"] = str(error)
said["files"] = sorted(path.name for path in folder.iterdir())
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("searches")
    return dict(json.loads(in_engine("inc", SEARCHES, str(folder)).splitlines()[-1]))


def test_a_search_tells_its_trials_and_what_stays_in_fp32(said: dict[str, Any]) -> None:
    found, trials = said["found"], said["trials"]
    assert found["strategy"].startswith("basic of INC 3.7")
    assert found["baseline_accuracy"] == 1.0 and found["tuned_accuracy"] >= 0.99
    assert found["trials"] == len(trials) >= 2
    assert trials[0]["accuracy"] < 0.99 <= trials[-1]["accuracy"]
    assert found["excluded_operators"] and set(found["excluded_operators"]) == set(
        trials[-1]["changed"]
    )
    assert all(trial["seconds"] > 0 for trial in trials)


def test_the_best_model_counts_when_the_time_ends_in_a_later_trial(said: dict[str, Any]) -> None:
    """INC has dropped the model by then, and makes it again."""
    trials, quantization, is_there = said["at_limit"]
    assert is_there and trials > quantization["trials"] - 1 >= len(said["trials"])
    assert quantization["tuned_accuracy"] >= 0.99


def test_its_model_runs_in_onnx_runtime(said: dict[str, Any]) -> None:
    assert said["ran"]


def test_a_search_without_a_model_says_how_close_it_came(said: dict[str, Any]) -> None:
    message, trials = said["none"]
    assert trials == 1 and message.startswith("best 0.") and "against fp32's 1.0000" in message


def test_a_search_without_a_model_keeps_its_trials(said: dict[str, Any]) -> None:
    (kept,), first = said["kept"], said["trials"][0]
    assert {**kept, "seconds": 0} == {**first, "seconds": 0}


def test_the_report_reads_the_trials_of_a_row_without_a_model(cli: CommandLine) -> None:
    require_rows("inc")
    name = "onnxruntime_inc_basic"
    words = ("workload=tiny", *ONE_THREAD, "--conf", str(OWN), "tuning.max_trials=1")
    better = f"method.{name}.engine.tolerance=-0.9"  # than fp32, which no model is
    ended = cli(*words, f"method=[fp32,{name}]", better)
    assert ended.outcomes[name] == "no solution in 1 trials", ended.err
    run = load_run(ended.folder)
    (search,) = trajectories(run.plan, run.records, stored_trials(run))
    assert search.method == name and len(search.trials) == 1


def test_an_exception_inside_is_reported_as_itself(said: dict[str, Any]) -> None:
    """INC's own ``fit`` would say that it found no model."""
    assert said["broken"] == "these images are gone"


def test_nothing_is_left_but_the_model(said: dict[str, Any]) -> None:
    left = {name for name in said["files"] if not name.startswith("profile")}
    assert left == {"network.onnx", "engine.onnx", "engine.onnx.data", "row", "trajectory.json"}


def test_a_row_of_it_stands_in_the_table_with_its_search(cli: CommandLine) -> None:
    require_rows("inc")
    name = "onnxruntime_inc_basic"
    words = ("workload=tiny", *ONE_THREAD, "--conf", str(OWN), "tuning.tolerance=0.5")
    ended = cli(*words, f"method=[fp32,{name}]")
    assert ended.outcomes[name] == "ok", ended.err
    facts = ended.records[name].optimize
    assert facts and facts.quantization and facts.trajectory and facts.packages
    assert facts.packages["neural-compressor"].startswith("3.7")
    assert facts.quantization.trials == len(facts.trajectory)
    workspace = ended.folder.method(name)
    assert not list(workspace.glob("nc_workspace*"))
    with np.load(Path(workspace) / "predictions.npz") as stored:
        assert len(stored["top"])
