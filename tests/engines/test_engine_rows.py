"""Rows of engines beside MXNet's, from the command line to the table, where their environment is."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from harness import PROJECT
from harness.facts.typed import decode
from harness.images.prepared import Prepared
from harness.setup.environments import STAMP
from harness.storage.configuration import Transform
from harness.storage.recorded_files import is_intact
from harness.table.kernels import Profile
from helpers.command_line import ONE_THREAD, OWN, CommandLine, Ended, same_after
from helpers.engine_python import ENGINES, in_engine, require_rows

pytestmark = pytest.mark.slow

WORDS = ("workload=tiny", *ONE_THREAD, "--conf", str(OWN))
QUICK = ("protocol=quick", "protocol.rounds=2", "protocol.batches=2", "protocol.warmup_s=0.1")
NAMES = """
from harness.engines.openvino import instruction_set, with_weights

for name, vnni, isa in (
    ("brgconv_avx512_I8", True, "avx512_vnni"),
    ("brgconv_avx512_I8", False, "avx512_core"),
    ("jit_avx2_I8", True, "avx2_vnni"),
    ("jit_avx2_I8", False, "avx2"),
    ("brgconv_avx512_amx_I8", True, "avx512_amx"),
    ("jit_avx512_FP32", True, "avx512"),
    ("ref_any_I8", True, ""),
):
    assert instruction_set(name, vnni) == isa, name
for kind, types, all_types in (
    ("convolution", "u8:f32", "u8:s8:f32"),
    ("inner_product", "s8:f32", "s8:s8:f32"),
    ("convolution", "f32:f32", "f32:f32"),
    ("reorder", "u8:f32", "u8:f32"),
    ("convolution", "", ""),
):
    assert with_weights(kind, types) == all_types, (kind, types)
"""
PACKAGES = {"pytorch": "torch"}  # of engines whose package has another name


def predictions(ended: Ended, method: str) -> npt.NDArray[np.uint16]:
    with np.load(ended.folder.method(method) / "predictions.npz") as stored:
        return np.asarray(stored["top"])


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_runs_the_same_network_in_fp32_and_in_int8(cli: CommandLine, engine: str) -> None:
    require_rows(engine)
    rows = ("fp32", f"{engine}_fp32", f"{engine}_int8", f"{engine}_equalized_int8")
    ended = cli(*WORDS, *QUICK, f"method=[{','.join(rows)}]", "protocol.profile_batches=2")
    assert ended.outcomes == dict.fromkeys(rows, "ok"), ended.err
    assert np.array_equal(predictions(ended, rows[0])[:, 0], predictions(ended, rows[1])[:, 0])

    for name in rows[1:]:
        facts = ended.records[name].optimize
        assert facts and facts.network and facts.packages and facts.difference is not None
        assert PACKAGES.get(engine, engine) in facts.packages and facts.difference <= 1e-3
        folder = ended.folder.method(name)
        assert all(is_intact(folder / file.path, file) for file in facts.files)
        assert facts.converted_s and facts.seconds and facts.converted_s < facts.seconds
    networks = [
        (ended.folder.method(name) / facts.network.path).stat()
        for name in rows[1:]
        if (facts := ended.records[name].optimize) and facts.network
    ]
    assert networks[0].st_ino == networks[1].st_ino != networks[2].st_ino
    shares = {}
    for name in rows[1:]:
        profile = ended.records[name].profile
        assert profile and profile.batches == 2
        shares[name] = Profile.recorded(profile).int8_compute_share
    assert shares[rows[1]] == 0 and shares[rows[2]] > 0.5 and shares[rows[3]] > 0.5
    assert len(ended.folder.load_rounds()) == 2 * len(rows)
    plan = ended.folder.load_plan()
    assert plan and engine in plan.versions.stored["engines"]

    again = cli(*WORDS, f"run.id={plan.run}")  # nothing of it is measured again
    assert again.code == 0 and len(ended.folder.load_rounds()) == 2 * len(rows)


def test_openvinos_int8_is_named_as_onednn_names_it() -> None:
    """On any CPU: its own names have no word for VNNI, and no weights."""
    in_engine("openvino", NAMES)


def test_accuracy_control_has_its_evaluations_in_the_record(cli: CommandLine) -> None:
    require_rows("openvino")
    name = "openvino_int8_controlled"
    ended = cli(*WORDS, f"method=[fp32,{name}]", "tuning.tolerance=0.5")
    assert ended.outcomes[name] == "ok", ended.err
    facts = ended.records[name].optimize
    assert facts and facts.trajectory and facts.quantization
    assert facts.quantization.trials == len(facts.trajectory)
    assert facts.quantization.excluded_operators is not None


def test_instances_run_every_batch_size_as_it_is(cli: CommandLine) -> None:
    """OpenVINO makes a model for one size: it is that of the batch, not the workload's."""
    require_rows("openvino")
    split = ("protocol.instances=[1]", "protocol.sweep=[32]", "protocol.sweep_batches=2")
    rows = ("method=[openvino_fp32]", "baseline=openvino_fp32")
    words = (word for word in WORDS if not word.startswith("threads."))
    ended = cli(*words, "protocol=throughput", *split, *QUICK[1:], *rows)
    assert ended.outcomes == {"openvino_fp32": "ok"}, ended.err
    lines = list(csv.DictReader((ended.folder.path / "instances.csv").read_text().splitlines()))
    assert {line["batch_size"] for line in lines} == {"16", "32"}


ODD_METHOD = """
from harness.methods.base import Optimized
from harness.methods.native import Unoptimized
from mxnet.gluon import nn


class Odd(Unoptimized):
    def optimize(self, context):
        net = nn.HybridSequential()
        net.add(context.net, nn.GELU())
        net.hybridize(static_alloc=True, static_shape=True)
        return Optimized(net)
"""


def test_rows_that_cannot_run_say_why_and_run_once_they_can(
    cli: CommandLine, tmp_path: Path
) -> None:
    """In a copy of the checkout the engine's environment is broken, and there is no network."""
    there = require_rows("onnxruntime").parents[1]
    checkout, own = tmp_path / "checkout", tmp_path / "own"
    for name in ("harness", "conf", "requirements"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / name, checkout / name, ignore=ignored)
    (checkout / "benchmarks").symlink_to(PROJECT / "benchmarks")
    broken = checkout / ".venvs-onnxruntime" / "broken"
    broken.mkdir(parents=True)
    shutil.copy(there / STAMP, broken)
    link = checkout / ".venv-onnxruntime"
    link.symlink_to(broken)
    (own / "method").mkdir(parents=True)
    (own / "odd_method.py").write_text(ODD_METHOD)
    (own / "method" / "odd.yaml").write_text(
        "# @package method.odd\nlabel: odd\n_target_: odd_method.Odd\n"
        "engine:\n  environment: onnxruntime\n"
        "  _target_: harness.engines.onnxruntime.OnnxRuntime\n"
    )
    cli.project, cli.variables = checkout, {"PIP_NO_INDEX": "1"}
    rows = ("fp32", "onnxruntime_fp32", "odd")
    ended = cli(*WORDS, "--conf", str(own), f"method=[{','.join(rows)}]", "run.id=first")
    assert ended.code == 3 and ended.outcomes["fp32"] == "ok", ended.err
    for name in rows[1:]:
        assert ended.outcomes[name].startswith(f"failed: the environment {broken} does not start")
        assert "pip could not install requirements/build.lock" in ended.outcomes[name]
        assert "Check the network" in ended.outcomes[name]
    assert "run.id=first measures that again, and no more" in ended.err
    assert not [path for path in broken.parent.iterdir() if path != broken]

    link.unlink()
    link.symlink_to(there)
    kept = same_after([ended.folder.method("fp32") / "predictions.npz"])
    again = cli(*WORDS, "--conf", str(own), "run.id=first")
    assert again.code == 0, again.err
    assert again.outcomes["fp32"] == again.outcomes["onnxruntime_fp32"] == "ok"
    assert again.outcomes["odd"].startswith("refused: the network's LeakyReLU (node ")
    assert "act_type=gelu" in again.outcomes["odd"]
    assert same_after(list(kept)) == kept


OWN_ENGINE = """
from harness.engines.onnxruntime import OnnxRuntime


class Silent(OnnxRuntime):
    def what_ran(self, predictor):
        return []
"""


def test_an_engine_of_ones_own_runs_in_an_environment_of_the_projects(
    cli: CommandLine, tmp_path: Path
) -> None:
    require_rows("onnxruntime")
    (tmp_path / "mine" / "method").mkdir(parents=True)
    (tmp_path / "mine" / "my_engine.py").write_text(OWN_ENGINE)
    for precision in ("fp32", "int8"):
        (tmp_path / "mine" / "method" / f"mine_{precision}.yaml").write_text(
            f"# @package method.mine_{precision}\nlabel: my engine {precision}\n"
            "_target_: harness.methods.native.Unoptimized\n"
            "engine:\n  environment: onnxruntime\n  _target_: my_engine.Silent\n"
            f"  precision: {precision}\n"
        )
    ended = cli(*WORDS, "--conf", str(tmp_path / "mine"), "method=[fp32,mine_fp32,mine_int8]",
                "protocol.profile_batches=1")  # fmt: skip
    assert ended.outcomes == {
        "fp32": "ok",
        "mine_fp32": "ok",
        "mine_int8": "invalid: called int8 but the engine did not say what ran",
    }, ended.err
    assert np.array_equal(predictions(ended, "fp32"), predictions(ended, "mine_fp32"))


def test_an_engine_without_a_lock_is_refused_before_anything_is_measured(cli: CommandLine) -> None:
    ended = cli(*WORDS, "method=[fp32,onnxruntime_fp32]",
                "method.onnxruntime_fp32.engine.environment=unheard")  # fmt: skip
    assert ended.code == 2 and "engine.environment=unheard: there is no unheard.lock" in ended.err


def test_batches_are_bit_for_bit_those_of_mxnet(tmp_path: Path) -> None:
    from harness.engines.numpy_batches import NumpyBatches
    from harness.images.batches import Batches

    images, side = 20, 16
    pixels = np.random.default_rng(0).integers(0, 256, (images, side, side, 3), dtype=np.uint8)
    (tmp_path / "prepared").write_bytes(pixels.tobytes())
    prepared, labels = Prepared(tmp_path / "prepared", images, side), np.arange(images)
    transform = decode(
        {
            "resize": side,
            "crop": side,
            "keep_ratio": False,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
        },
        Transform,
    )
    pairs = zip(
        Batches(prepared, labels, 8, transform),
        NumpyBatches(prepared, labels, 8, transform),
        strict=True,
    )
    sizes = []
    for (theirs, _), (ours, own_labels) in pairs:
        assert ours.dtype == np.float32 and ours.flags.c_contiguous
        assert np.array_equal(theirs.asnumpy(), ours)
        sizes.append(len(own_labels))
    assert sizes == [8, 8, 4]


LISTENING = """
import sys
reached = []
sys.addaudithook(lambda event, args: reached.append(event) if event.startswith("socket.") else None)
import numpy as np
from pathlib import Path
from harness.engines import {module}
from harness.engines.network import INPUT
import onnx
from onnx import TensorProto, helper, numpy_helper
shape = ["images", 3, 8, 8]
weight = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype("float32")
graph = helper.make_graph(
    [helper.make_node("Conv", [INPUT, "w"], ["c"]), helper.make_node("Flatten", ["c"], ["scores"])],
    "g",
    [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["images", None])],
    [numpy_helper.from_array(weight, "w")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
folder = Path(sys.argv[1])
onnx.save(model, folder / "n.onnx")
images = np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype("float32")
engine = {module}.{made}
model = engine.optimize(folder / "n.onnx", [(images, np.zeros(2))], folder / "m", lambda *args: None)
engine.load(model.graph, 1, (), False, len(images))(images)
print("reached:", reached)
"""


@pytest.mark.parametrize(
    ("environment", "module", "made"),
    [
        ("onnxruntime", "onnxruntime", "OnnxRuntime(precision='int8')"),
        ("openvino", "openvino", "OpenVino(precision='int8')"),
        ("pytorch", "pytorch", "PyTorch(precision='int8')"),
        ("inc", "neural_compressor", "Inc(criterion='absolute', tolerance=0.99)"),
    ],
)
def test_an_engine_tries_to_reach_nobody(
    tmp_path: Path, environment: str, module: str, made: str
) -> None:
    said = in_engine(environment, LISTENING.format(module=module, made=made), str(tmp_path))
    assert said.splitlines()[-1] == "reached: []"
