"""PyTorch on the CPU: fp32, and int8 by its static quantisation of a traced graph (FX).

Both run as TorchScript, frozen and prepared for inference
(https://docs.pytorch.org/docs/stable/generated/torch.jit.optimize_for_inference.html), which needs no
C++ compiler. The newer way, ``torch.compile``, compiles C++ whenever a process loads a model; its
quantisation (PT2E) is slower than fp32 without that. docs/engines.md has the figures.

Quantised layers run in oneDNN. Where the CPU has no VNNI, whose older instructions saturate,
activations get 7 bits: PyTorch warns of 8 there (torch/ao/quantization/qconfig.py). Computation in
fp32 is asked for by name: neither bf16 nor TF32 replaces it.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from harness.engines.interface import Batches, EngineModel, Images, Progress, Scores, require_choice
from harness.engines.torch_network import read_network
from harness.errors import Refused
from harness.host.isa import has_vnni
from harness.host.machine import describe
from harness.host.stdout import captured_stdout
from harness.storage.stage_facts import Kernel
from harness.table.kernels import Profile

# the library of quantised layers; its choices can be seen, those of FBGEMM cannot
ONEDNN = "onednn"
PLACES = (".debug_pkl", "/serialization_id")  # in a saved module: Python's lines, a digest of all
GRAIN = 32768  # elements, of which PyTorch gives no thread fewer
_team: list[int] = []  # thread ids of this process's OpenMP threads but the first, which calls


@dataclass(frozen=True)
class PyTorch:
    """PyTorch.

    Attributes:
        precision: fp32 or int8.
        reduce_range: whether activations have 7 bits; None: where the CPU has no VNNI.
    """

    title: ClassVar[str] = "PyTorch"

    precision: str = "fp32"
    reduce_range: bool | None = None

    def __post_init__(self) -> None:
        require_choice("precision", self.precision, ("fp32", "int8"))

    def optimize(
        self, network: Path, tuning: Batches, stem: Path, progress: Progress
    ) -> EngineModel:
        """As the interface has it: the first file is the graph as text, the second the whole model."""
        _require_fp32()
        module, shape = read_network(network)
        configured: dict[str, Any] = {}
        if self.precision == "int8":
            reduces = self.reduce_range
            if reduces is None:
                reduces = not has_vnni(describe().isa)
            module = _quantized(module, shape, tuning, reduces, progress)
            configured = {
                "quantize_granularity": "channel-wise",
                "calib_mode": "histogram",
                "reduce_range": reduces,
                "excluded_operators": [],
            }
        frozen = _frozen(module, shape)
        graph = stem.with_suffix(".graph")
        graph.write_text(frozen.graph.str(print_source_ranges=False), encoding="utf-8")
        _save(frozen, graph.with_suffix(".pt"))
        return EngineModel(graph, graph.with_suffix(".pt"), configured)

    def load(
        self, graph: Path, threads: int | None, cpus: Sequence[int], profiled: bool, batch_size: int
    ) -> PyTorchPredictor:
        _require_fp32()
        if threads is not None:
            torch.set_num_threads(threads)
        if cpus:
            _bind(cpus)
        if graph.suffix == ".onnx":
            frozen = _frozen(*read_network(graph))
        else:
            _require_onednn()
            frozen = torch.jit.load(graph.with_suffix(".pt"))
        return PyTorchPredictor(torch.jit.optimize_for_inference(frozen), profiled)

    def what_ran(self, predictor: PyTorchPredictor) -> list[Kernel]:
        """As the interface has it; of oneDNN's primitives alone, as for MXNet."""
        lines = [line for call in predictor.executed[1:] for line in call]
        return list(Profile.of(lines, len(predictor.executed) - 1, 0, 0.0).rows)


@dataclass(frozen=True)
class PyTorchPredictor:
    """A loaded model; each call computes and returns. ``executed``: oneDNN's words, by call."""

    module: Any
    profiled: bool
    executed: list[list[str]] = field(default_factory=list)

    def __call__(self, images: Images) -> Scores:
        with torch.inference_mode():
            data = torch.from_numpy(images)
            if not self.profiled:
                return Scores(self.module(data).numpy())
            with captured_stdout() as lines, torch.backends.mkldnn.verbose(1):
                scores = self.module(data)
        self.executed.append(lines)
        return Scores(scores.numpy())


def _require_fp32() -> None:
    """Have fp32 computed in fp32, whatever may become PyTorch's default."""
    torch.backends.mkldnn.conv.fp32_precision = "ieee"
    torch.backends.mkldnn.matmul.fp32_precision = "ieee"


def _require_onednn() -> None:
    if ONEDNN not in torch.backends.quantized.supported_engines:
        raise Refused("this build of PyTorch has no oneDNN for quantised layers")
    torch.backends.quantized.engine = ONEDNN


def _frozen(module: Any, shape: Sequence[int]) -> Any:
    """Return a module as frozen TorchScript, for batches of any size."""
    with torch.no_grad():
        return torch.jit.freeze(torch.jit.trace(module, _example(shape)))


def _quantized(
    module: Any, shape: Sequence[int], tuning: Batches, reduces: bool, progress: Progress
) -> Any:
    """Return a module in int8, with scales from the tuning images.

    PyTorch's default configurations differ in the bits of activations alone: ``x86`` has 7.
    """
    _require_onednn()
    mapping = get_default_qconfig_mapping("x86" if reduces else ONEDNN)
    with torch.no_grad():
        prepared = prepare_fx(module, mapping, (_example(shape),))
        for done, (images, _) in enumerate(tuning):
            progress(done, len(tuning), "batches")
            prepared(torch.from_numpy(images))
        return convert_fx(prepared)


def _save(module: Any, path: Path) -> None:
    """Save TorchScript without the places in Python files that its operators come from.

    Those are paths of this machine; with them the same model has another digest elsewhere.
    """
    whole = io.BytesIO()
    torch.jit.save(module, whole)
    with zipfile.ZipFile(whole) as made, zipfile.ZipFile(path, "w") as kept:
        for name in made.namelist():
            if not name.endswith(PLACES):
                kept.writestr(zipfile.ZipInfo(name), made.read(name))


def _example(shape: Sequence[int]) -> Any:
    return torch.zeros(2, *shape)


def _bind(cpus: Sequence[int]) -> None:
    """Bind the calling thread to the first CPU and the OpenMP threads, which it starts, to the others.

    Variables would have to be set before PyTorch is imported. Its OpenMP keeps its threads.
    """
    before = _threads()
    torch.zeros(2 * len(cpus) * GRAIN).add_(1)
    _team.extend(sorted(_threads() - before))
    for thread, cpu in zip((0, *_team), cpus):
        os.sched_setaffinity(thread, {cpu})


def _threads() -> set[int]:
    return set(map(int, os.listdir("/proc/self/task")))
