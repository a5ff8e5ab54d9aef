"""How an ONNX file runs in ONNX Runtime on the CPU, whoever quantised it, and what ran there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import onnx
import onnxruntime

from harness.engines.interface import WEIGHTED, Images, Scores, gathered
from harness.engines.network import INPUT
from harness.storage.stage_facts import Kernel

KINDS = {  # in oneDNN's words
    "Conv": "convolution",
    "FusedConv": "convolution",
    "NhwcFusedConv": "convolution",
    "QLinearConv": "convolution",
    "Gemm": "inner_product",
    "FusedGemm": "inner_product",
    "QGemm": "inner_product",
    "MatMul": "matmul",
    "QLinearMatMul": "matmul",
    "ReorderInput": "reorder",
    "ReorderOutput": "reorder",
    "QuantizeLinear": "reorder",
    "DequantizeLinear": "reorder",
    "Transpose": "reorder",
}
TYPES = {"float": "f32", "uint8": "u8", "int8": "s8", "int32": "s32", "float16": "f16"}


class OnnxRuntimeSessions:
    """The part of an engine that ONNX Runtime is: it loads, and says what ran."""

    title: ClassVar[str] = "ONNX Runtime"

    def load(
        self, graph: Path, threads: int | None, cpus: Sequence[int], profiled: bool, batch_size: int
    ) -> OnnxRuntimePredictor:
        options = onnxruntime.SessionOptions()
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.inter_op_num_threads = 1
        options.enable_profiling = profiled
        options.profile_file_prefix = str(Path("profile").absolute())
        if threads is not None:
            options.intra_op_num_threads = threads
        if len(cpus) > 1:  # the calling thread is the first of them; processors count from 1
            affinities = ";".join(str(cpu + 1) for cpu in cpus[1:])
            options.add_session_config_entry("session.intra_op_thread_affinities", affinities)
        session = onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"]
        )
        if cpus:
            os.sched_setaffinity(0, {cpus[0]})  # after its other threads, which would inherit it
        return OnnxRuntimePredictor(session)

    def what_ran(self, predictor: OnnxRuntimePredictor) -> list[Kernel]:
        """As the interface has it; ONNX Runtime names operators, no instruction sets."""
        path = Path(predictor.session.end_profiling())
        events = json.loads(path.read_text(encoding="utf-8"))
        return gathered(_executed(events))


@contextmanager
def on_usable_cpus() -> Iterator[None]:
    """Have all sessions of the block, others' too, take one thread for each CPU of this process.

    By itself ONNX Runtime takes one for each core of the machine and binds it there, whatever the
    process's affinity is; with a number it does neither.
    """
    create = onnxruntime.InferenceSession.__init__

    def create_bounded(
        self: Any, path_or_bytes: Any, sess_options: Any = None, *others: Any, **named: Any
    ) -> None:
        options = sess_options or onnxruntime.SessionOptions()
        if options.intra_op_num_threads == 0:
            options.intra_op_num_threads = len(os.sched_getaffinity(0))
        create(self, path_or_bytes, options, *others, **named)

    onnxruntime.InferenceSession.__init__ = create_bounded
    try:
        yield
    finally:
        onnxruntime.InferenceSession.__init__ = create


@dataclass(frozen=True)
class OnnxRuntimePredictor:
    """A session; each call computes and returns."""

    session: Any

    def __call__(self, images: Images) -> Scores:
        return Scores(self.session.run(None, {INPUT: images})[0])


def save_model(model: Any, graph: Path) -> Path:
    """Write the graph and, beside it, the weights, whose path is returned.

    SHA-256 and size of each tell models apart.
    """
    weights = graph.with_name(f"{graph.name}.data")
    weights.unlink(missing_ok=True)  # onnx appends
    onnx.save(
        model,
        graph,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=weights.name,
        size_threshold=0,
    )
    return weights


def _executed(events: Sequence[Any]) -> Iterator[tuple[str, str, str, str, float]]:
    """Yield what all runs but the first executed, for ``gathered``."""
    runs = [event for event in events if event.get("name") == "model_run"]
    began = min((run["ts"] for run in sorted(runs, key=lambda run: run["ts"])[1:]), default=0)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            if event["ts"] < began:
                continue
            facts = event["args"]
            operator = facts["op_name"]
            dtype = _types(facts)
            yield KINDS.get(operator, operator.lower()), operator, "", dtype, event["dur"] / 1e3


def _types(facts: Mapping[str, Any]) -> str:
    """Return the types of source, weights and destination, joined by colons.

    Quantised operators list scales and zero points between, and not the weights that they packed;
    those have 8 bits, with a sign.
    """
    read = [TYPES.get(kind, kind) for shape in facts.get("input_type_shape", ()) for kind in shape]
    made = [TYPES.get(kind, kind) for shape in facts.get("output_type_shape", ()) for kind in shape]
    has_weights = KINDS.get(facts["op_name"]) in WEIGHTED
    is_quantized = facts["op_name"].startswith("Q") and has_weights
    weights = ["s8"] if is_quantized else read[1:2] if has_weights else []
    return ":".join([*read[:1], *weights, *made[:1]])
