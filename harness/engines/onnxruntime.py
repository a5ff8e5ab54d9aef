"""ONNX Runtime on the CPU: fp32, and int8 by its own static quantisation.

Settings are those that its documentation names best: batch norms folded before quantisation
(quant_pre_process), QDQ with unsigned activations and signed weights, and weights of 7 bits where the
CPU has no VNNI, whose older instructions saturate
(https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from harness.engines.interface import Batches, EngineModel, Images, Progress, Scores, gathered
from harness.engines.network import INPUT
from harness.errors import InputError
from harness.host.machine import describe
from harness.storage.stage_facts import Kernel

VNNI = {"AVX512-VNNI", "AVX-VNNI", "AMX-INT8"}
CALIBRATIONS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
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


@dataclass(frozen=True)
class OnnxRuntime:
    """ONNX Runtime.

    Attributes:
        precision: fp32 or int8.
        per_channel: whether each output channel's weights have a scale of their own.
        reduce_range: whether weights have 7 bits; None: where the CPU has no VNNI.
        calibration: minmax, entropy or percentile.
    """

    title: ClassVar[str] = "ONNX Runtime"
    precision: str = "fp32"
    per_channel: bool = False
    reduce_range: bool | None = None
    calibration: str = "minmax"

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "int8"):
            raise InputError(f"engine.precision={self.precision}: use fp32 or int8")
        if self.calibration not in CALIBRATIONS:
            raise InputError(
                f"engine.calibration={self.calibration}: use {', '.join(CALIBRATIONS)}"
            )

    def optimize(
        self, network: Path, tuning: Batches, stem: Path, progress: Progress
    ) -> EngineModel:
        graph = stem.with_suffix(".onnx")
        weights = graph.with_name(f"{graph.name}.data")
        if self.precision == "fp32":
            _save(onnx.load(network), graph)
            return EngineModel(graph, weights)
        reduces = self.reduce_range
        if reduces is None:
            reduces = not VNNI.intersection(describe().isa or ())
        with tempfile.TemporaryDirectory(dir=".") as aside:
            folded, quantized = Path(aside, "folded.onnx"), Path(aside, "quantized.onnx")
            quant_pre_process(network, folded, skip_symbolic_shape=True)
            quantize_static(
                folded,
                quantized,
                _Reader(tuning, progress),
                quant_format=QuantFormat.QDQ,
                per_channel=self.per_channel,
                reduce_range=reduces,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CALIBRATIONS[self.calibration],
            )
            _save(onnx.load(quantized), graph)
        configured: dict[str, Any] = {
            "quantize_granularity": "channel-wise" if self.per_channel else "tensor-wise",
            "calib_mode": self.calibration,
            "reduce_range": reduces,
            "excluded_operators": [],
        }
        return EngineModel(graph, weights, configured)

    def load(
        self, graph: Path, threads: int | None, cpus: Sequence[int], profiled: bool
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


@dataclass(frozen=True)
class OnnxRuntimePredictor:
    """A session; each call computes and returns."""

    session: Any

    def __call__(self, images: Images) -> Scores:
        return Scores(self.session.run(None, {INPUT: images})[0])


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # it carries no types
    """The tuning images, as ONNX Runtime's calibration reads them."""

    def __init__(self, tuning: Batches, progress: Progress) -> None:
        self._inputs = self._batches(tuning, progress)

    def get_next(self) -> Any:
        return next(self._inputs, None)

    @staticmethod
    def _batches(tuning: Batches, progress: Progress) -> Iterator[Mapping[str, Images]]:
        for done, (images, _) in enumerate(tuning):
            progress(done, len(tuning), "batches")
            yield {INPUT: images}


def _save(model: Any, graph: Path) -> None:
    """Write the graph and, beside it, the weights: SHA-256 and size of each tell models apart."""
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
    has_weights = KINDS.get(facts["op_name"]) in ("convolution", "inner_product", "matmul")
    is_quantized = facts["op_name"].startswith("Q") and has_weights
    weights = ["s8"] if is_quantized else read[1:2] if has_weights else []
    return ":".join([*read[:1], *weights, *made[:1]])
