"""OpenVINO on the CPU: fp32, and int8 by NNCF, with its accuracy control or without.

Settings follow the documentation of both: one stream and as many threads as asked for, bound to
cores (https://docs.openvino.ai, "CPU device"), and NNCF's own preset. Computation in fp32 is asked for
by name: on a CPU with bf16 OpenVINO would take that by itself, and the row would not be what it is
called. Neither sends telemetry: the package that would is not installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from os import sched_setaffinity
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import nncf
import numpy as np
import openvino

from harness.engines.interface import (
    CRITERIA,
    WEIGHTED,
    Batches,
    EngineModel,
    Images,
    Labels,
    Progress,
    Scores,
    gathered,
    require_choice,
)
from harness.engines.search_trials import Trials
from harness.host.isa import has_vnni
from harness.host.machine import describe
from harness.storage.stage_facts import Kernel

PRECISIONS = ("fp32", "int8", "int8_controlled")
KINDS = {  # in oneDNN's words
    "Convolution": "convolution",
    "GroupConvolution": "convolution",
    "FullyConnected": "inner_product",
    "FullyConnectedQuantized": "inner_product",
    "FullyConnectedQuantizedLegacy": "inner_product",
    "MatMul": "matmul",
    "Reorder": "reorder",
    "Convert": "reorder",
}
FP32_EVALUATIONS = 2  # of NNCF's accuracy control, before it has quantised anything
EXECUTED = openvino.ProfilingInfo.Status.EXECUTED
TYPES = {"f32": "f32", "u8": "u8", "i8": "s8", "i32": "s32", "bf16": "bf16", "f16": "f16"}
ISA = re.compile(r"(?:sse|avx|amx)[a-z]*\d*(?:_(?:core|vnni|amx|bf16|fp16)(?!$))*")


@dataclass(frozen=True)
class OpenVino:
    """OpenVINO.

    Attributes:
        precision: fp32, int8, or int8_controlled: layers go back to fp32 until the accuracy on the
            tuning images has not fallen by more than ``tolerance``.
        tolerance: of top-1; a part of the fp32 accuracy if ``criterion`` is relative.
        criterion: relative or absolute.
    """

    title: ClassVar[str] = "OpenVINO"
    precision: str = "fp32"
    tolerance: float = 0.01
    criterion: str = "relative"

    def __post_init__(self) -> None:
        require_choice("precision", self.precision, PRECISIONS)
        require_choice("criterion", self.criterion, CRITERIA)

    def optimize(
        self, network: Path, tuning: Batches, stem: Path, progress: Progress
    ) -> EngineModel:
        model = openvino.Core().read_model(network)
        evaluations = _Evaluations(Trials(progress, stem.parent, "evaluations"))
        configured: dict[str, Any] = {}
        if self.precision == "int8":
            data = nncf.Dataset(list(tuning), _images)
            model = nncf.quantize(
                model, data, target_device=nncf.TargetDevice.CPU, subset_size=len(tuning)
            )
            configured = {"quantize_granularity": "channel-wise", "excluded_operators": []}
        elif self.precision != "fp32":
            model, excluded = self._controlled(model, list(tuning), evaluations)
            configured = {
                "quantize_granularity": "channel-wise",
                "strategy": "nncf accuracy control",
                "trials": len(evaluations.trials.entries),
                "baseline_accuracy": evaluations.baseline,
                "excluded_operators": excluded,
            }
        graph = stem.with_suffix(".xml")
        openvino.save_model(model, graph, compress_to_fp16=False)
        return EngineModel(graph, stem.with_suffix(".bin"), configured, evaluations.trials.entries)

    def _controlled(
        self, model: Any, tuning: Sequence[Any], evaluations: _Evaluations
    ) -> tuple[Any, list[str]]:
        """Return the model of NNCF's accuracy control, and the operators that went back to fp32."""
        is_relative = self.criterion == "relative"
        with TemporaryDirectory(dir=".") as aside:
            controlled = nncf.quantize_with_accuracy_control(
                model,
                nncf.Dataset(tuning, _images),
                nncf.Dataset(tuning),
                evaluations.accuracy,
                max_drop=self.tolerance,
                drop_type=nncf.DropType.RELATIVE if is_relative else nncf.DropType.ABSOLUTE,
                target_device=nncf.TargetDevice.CPU,
                subset_size=len(tuning),
                advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
                    intermediate_model_dir=aside
                ),
            )
            whole = openvino.Core().read_model(Path(aside, "intermediate_model.xml"))
            excluded = sorted(_quantized(whole) - _quantized(controlled))
            del whole  # it has the file open
        return controlled, excluded

    def load(
        self, graph: Path, threads: int | None, cpus: Sequence[int], profiled: bool, batch_size: int
    ) -> OpenVinoPredictor:
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
            "PERF_COUNT": profiled,
            "ENABLE_CPU_PINNING": bool(cpus),
        }
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        if cpus:
            sched_setaffinity(0, cpus)  # OpenVINO chooses among the CPUs that the process may use
        core = openvino.Core()
        model = core.read_model(graph)
        _, *image = model.input().get_partial_shape()
        model.reshape([batch_size, *image])
        compiled = core.compile_model(model, "CPU", options)
        return OpenVinoPredictor(compiled, compiled.create_infer_request(), batch_size, profiled)

    def what_ran(self, predictor: OpenVinoPredictor) -> list[Kernel]:
        types = {
            node.get_friendly_name(): _types(node)
            for node in predictor.compiled.get_runtime_model().get_ordered_ops()
        }
        vnni = has_vnni(describe().isa)
        ran = [one for executed in predictor.executed[1:] for one in executed]
        kinds = [KINDS.get(one.node_type, one.node_type.lower()) for one in ran]
        return gathered(
            (
                kind,
                one.exec_type,
                instruction_set(one.exec_type, vnni),
                with_weights(kind, types.get(one.node_name, "")),
                1e3 * one.real_time.total_seconds(),
            )
            for kind, one in zip(kinds, ran)
        )


@dataclass(frozen=True)
class OpenVinoPredictor:
    """A model compiled for one batch size; each call computes and returns.

    Attributes:
        batch_size: images in a batch; zeros fill up one that has fewer.
        executed: by call, if it is profiled.
    """

    compiled: Any
    request: Any
    batch_size: int
    profiled: bool
    executed: list[list[Any]] = field(default_factory=list)

    def __call__(self, images: Images) -> Scores:
        count = len(images)
        if count < self.batch_size:
            rest = np.zeros((self.batch_size - count, *images.shape[1:]), images.dtype)
            images = np.concatenate((images, rest))
        results = self.request.infer([images], share_inputs=True, share_outputs=True)
        if self.profiled:
            infos = self.request.profiling_info
            self.executed.append([one for one in infos if one.status == EXECUTED])
        return Scores(results[0][:count])


@dataclass
class _Evaluations:
    """The accuracies that NNCF asks for: first fp32's, then those of candidates, its trials.

    fp32's are two: of one batch, to see what kind of values these are, and of all.
    """

    trials: Trials
    baseline: float = 0.0  # accuracy of the fp32 model on all images
    _of_fp32: int = 0

    def accuracy(self, compiled: Any, batches: Iterable[Any]) -> tuple[float, list[float]]:
        """Return top-1 of all images, and of each batch: NNCF ranks layers by these."""
        right: list[Any] = []
        for images, labels in batches:
            right.append(np.argmax(compiled([images])[0], axis=1) == labels)
        accuracy = float(np.mean(np.concatenate(right)))
        if self._of_fp32 < FP32_EVALUATIONS:
            self._of_fp32, self.baseline = self._of_fp32 + 1, accuracy
        else:
            self.trials.add(accuracy)
        return accuracy, [float(np.mean(batch)) for batch in right]


def _images(batch: tuple[Images, Labels]) -> Images:
    return batch[0]


def _quantized(model: Any) -> set[str]:
    """Return the names of the operators that read a quantised activation."""
    return {
        reader.get_node().get_friendly_name()
        for node in model.get_ordered_ops()
        if node.get_type_name() == "FakeQuantize"
        for reader in node.output(0).get_target_inputs()
    }


def _types(node: Any) -> str:
    """Return the types of source and destination of a node of the runtime model."""
    facts = node.get_rt_info()
    made = str(facts["outputPrecisions"].astype(str)).split(",")[0] if facts else ""
    read = str(facts["runtimePrecision"].astype(str)) if "runtimePrecision" in facts else ""
    return ":".join(filter(None, (TYPES.get(read, read), TYPES.get(made, made))))


def with_weights(kind: str, types: str) -> str:
    """Return types with those of int8 weights, which OpenVINO does not tell: s8, as oneDNN takes them."""
    read, *made = types.split(":")
    is_int8 = kind in WEIGHTED and read in ("u8", "s8")
    return ":".join([read, *(["s8"] if is_int8 else []), *made])


def instruction_set(implementation: str, vnni: bool) -> str:
    """Return the instruction set that a name holds: avx512_amx of brgconv_avx512_amx_I8.

    OpenVINO's names have no word for VNNI, which oneDNN takes for int8 wherever the CPU has it.

    Args:
        vnni: whether the CPU has it.
    """
    found = ISA.search(implementation)
    isa = found[0] if found else ""
    if isa not in ("avx2", "avx512") or not implementation.endswith("_I8"):
        return isa
    if vnni:
        return f"{isa}_vnni"
    return "avx512_core" if isa == "avx512" else isa
