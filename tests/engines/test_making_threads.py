"""While it makes a model, an engine stays on the CPUs that its process may use."""

from __future__ import annotations

import pytest

from helpers.engine_python import in_engine

pytestmark = pytest.mark.slow

MAKING = """
import os, sys, threading, time
own = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {own})
import numpy as np, onnx
from pathlib import Path
from onnx import TensorProto, helper, numpy_helper
from harness.engines import MODULE
from harness.engines.network import INPUT
from harness.host.thread_activity import list_threads

folder, rng = Path(sys.argv[1]), np.random.default_rng(0)
os.chdir(folder)
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
        numpy_helper.from_array(rng.normal(size=shape).astype("float32"), name)
        for name, shape in (("w", (16, 3, 3, 3)), ("v", (4, 16, 6, 6)))
    ],
)
opset = [helper.make_opsetid("", 17)]
network = folder / "network.onnx"
onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), network)
images = rng.normal(size=(4, 64, 3, 8, 8)).astype("float32")
batches = [(batch, np.zeros(64, np.int64)) for batch in images]
engine = MODULE.ENGINE
engine.load(network, 1, (), False, 64)(images[0])
seen, ended = set(), threading.Event()


def look():
    while not ended.wait(0.002):
        seen.update(thread.allowed for thread in list_threads())


looking = threading.Thread(target=look)
looking.start()
engine.optimize(network, batches, folder / "made", lambda *of_progress: time.sleep(0.02))
ended.set()
looking.join()
assert seen == {(own,)}, (own, seen)
"""
SESSIONS = """
from harness.engines.onnx_sessions import on_usable_cpus
import onnxruntime


def threads(*options):
    session = onnxruntime.InferenceSession(str(network), *options)
    return session.get_session_options().intra_op_num_threads


three = onnxruntime.SessionOptions()
three.intra_op_num_threads = 3
with on_usable_cpus():
    assert threads() == threads(onnxruntime.SessionOptions()) == 1 and threads(three) == 3
assert threads() == 0  # as many as there are cores
"""


@pytest.mark.parametrize(
    ("environment", "module", "made"),
    [
        ("onnxruntime", "onnxruntime", "OnnxRuntime(precision='int8')"),
        ("openvino", "openvino", "OpenVino(precision='int8_controlled', tolerance=0.9)"),
        ("pytorch", "pytorch", "PyTorch(precision='int8')"),
        ("inc", "neural_compressor", "Inc(criterion='absolute', tolerance=0.99)"),
    ],
)
def test_an_engine_makes_its_model_on_the_cpus_of_its_process(
    tmp_path: object, environment: str, module: str, made: str
) -> None:
    script = MAKING.replace("MODULE", module).replace("ENGINE", made)
    if environment == "onnxruntime":  # a machine with one core shows no other threads
        script += SESSIONS
    in_engine(environment, script, str(tmp_path))
