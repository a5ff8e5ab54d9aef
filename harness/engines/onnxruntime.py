"""ONNX Runtime on the CPU: fp32, and int8 by its own static quantisation.

Settings are those that its documentation names best: batch norms folded before quantisation
(quant_pre_process), QDQ with unsigned activations and signed weights, and weights of 7 bits where the
CPU has no VNNI, whose older instructions saturate
(https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from harness.engines.calibration_parts import CalibrationParts, parts
from harness.engines.interface import Batches, EngineModel, Images, Progress, require_choice
from harness.engines.network import INPUT
from harness.engines.onnx_sessions import OnnxRuntimeSessions, on_usable_cpus, save_model
from harness.host.isa import has_vnni
from harness.host.machine import describe

CALIBRATIONS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}


@dataclass(frozen=True)
class OnnxRuntime(OnnxRuntimeSessions):
    """ONNX Runtime.

    Attributes:
        precision: fp32 or int8.
        per_channel: whether each output channel's weights have a scale of their own.
        reduce_range: whether weights have 7 bits; None: where the CPU has no VNNI.
        calibration: minmax, entropy or percentile.
    """

    precision: str = "fp32"
    per_channel: bool = False
    reduce_range: bool | None = None
    calibration: str = "minmax"

    def __post_init__(self) -> None:
        require_choice("precision", self.precision, ("fp32", "int8"))
        require_choice("calibration", self.calibration, tuple(CALIBRATIONS))

    def optimize(
        self, network: Path, tuning: Batches, stem: Path, progress: Progress
    ) -> EngineModel:
        graph = stem.with_suffix(".onnx")
        if self.precision == "fp32":
            return EngineModel(graph, save_model(onnx.load(network), graph))
        reduces = self.reduce_range
        if reduces is None:
            reduces = not has_vnni(describe().isa)
        # histograms would keep the activations of all images
        by_part = {} if self.calibration == "minmax" else {"CalibStridedMinMax": 1}
        with on_usable_cpus(), tempfile.TemporaryDirectory(dir=".") as aside:
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
                extra_options=by_part,
            )
            weights = save_model(onnx.load(quantized), graph)
        configured: dict[str, Any] = {
            "quantize_granularity": "channel-wise" if self.per_channel else "tensor-wise",
            "calib_mode": self.calibration,
            "reduce_range": reduces,
            "excluded_operators": [],
        }
        return EngineModel(graph, weights, configured)


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # it carries no types
    """The tuning images, as ONNX Runtime's calibration reads them: once, in order."""

    def __init__(self, tuning: Batches, progress: Progress) -> None:
        self._tuning = tuning
        self._stop: int | None = None  # None: at the end
        self._done = 0
        self._inputs = self._read(progress)

    def __len__(self) -> int:
        return len(CalibrationParts(self._tuning))

    def set_range(self, start_index: int, end_index: int) -> None:
        """Let the parts before ``end_index`` be read: ranges follow each other."""
        self._stop = end_index

    def get_next(self) -> Any:
        if self._done == self._stop:
            return None
        self._done += 1
        return next(self._inputs, None)

    def _read(self, progress: Progress) -> Iterator[Mapping[str, Images]]:
        for done, batch in enumerate(self._tuning):
            progress(done, len(self._tuning), "batches")
            for images, _ in parts(*batch):
                yield {INPUT: images}
