"""The interface of engines: what a worker of an engine's environment calls for a row.

An engine of your own is a class with this shape, in a module of a folder that is given with --conf,
named by ``_target_`` in a row's ``engine``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from harness.errors import InputError
from harness.storage.stage_facts import Kernel

CRITERIA = ("relative", "absolute")  # of what may be lost in accuracy
WEIGHTED = ("convolution", "inner_product", "matmul")  # kinds of primitives that take weights

Images = npt.NDArray[np.float32]  # (n, 3, crop, crop), normalised
Labels = npt.NDArray[np.int64]  # (n,)
Progress = Callable[[int, int, str], None]


class Batches(Protocol):
    """Batches of (images, labels), the same ones each time."""

    def __iter__(self) -> Any: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Scores:
    """The scores of a batch, which are there; with the methods of an array of MXNet's.

    Attributes:
        values: (n, classes).
    """

    values: npt.NDArray[Any]

    def wait_to_read(self) -> None:
        """Return at once: these engines compute before they return."""

    def asnumpy(self) -> npt.NDArray[Any]:
        return self.values


class Predictor(Protocol):
    """A loaded model: gives the scores of a batch of images."""

    def __call__(self, images: Images) -> Scores: ...


@dataclass(frozen=True)
class EngineModel:
    """A model as an engine keeps it, and facts for the record.

    Attributes:
        graph, weights: its two files.
        quantization: what was configured, as for ``harness.methods.base.Optimized``.
        trajectory: one entry per tuning trial.
    """

    graph: Path
    weights: Path
    quantization: Mapping[str, Any] = field(default_factory=dict)
    trajectory: Sequence[Mapping[str, Any]] = field(default_factory=list)


class Engine(Protocol):
    """What runs a row's network in place of MXNet; tables name it by its ``title``, or by its class."""

    def optimize(
        self, network: Path, tuning: Batches, stem: Path, progress: Progress
    ) -> EngineModel:
        """Make the row's model; this alone is timed as the row's one-time cost.

        This process may use as many CPUs as the row has threads (``os.sched_getaffinity``): take no
        more threads than that.

        Args:
            network: an ONNX file.
            stem: begins the names of the files that are written.

        Raises:
            Refused: this machine or network is not one for the engine.
        """

    def load(
        self, graph: Path, threads: int | None, cpus: Sequence[int], profiled: bool, batch_size: int
    ) -> Predictor:
        """Load a model that ``optimize`` wrote, or a network as ONNX.

        Args:
            graph: a private copy, with the weights beside it, which is there during this call alone.
            threads: how many; None: the engine's own choice.
            cpus: one a thread, to which it is bound; none: they are not bound.
            profiled: the engine is to note what it executes, for ``what_ran``.
            batch_size: images in each batch that will come, though the last may have fewer.
        """

    def what_ran(self, predictor: Any) -> list[Kernel]:
        """Return what a profiled predictor executed in all its calls but the first.

        Kinds are named as oneDNN names them (convolution, inner_product, reorder), so that the table
        shows all rows alike; types are oneDNN's, too (u8:s8:f32).
        """


def require_choice(key: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value of an engine's option that is none of those that there are.

    Raises:
        InputError: it is not.
    """
    if value not in choices:
        known = " or ".join(choices) if len(choices) == 2 else ", ".join(choices)
        raise InputError(f"engine.{key}={value}: use {known}")


def gathered(executed: Iterable[tuple[str, str, str, str, float]]) -> list[Kernel]:
    """Return the kernels of single executions, the most expensive first.

    Args:
        executed: kind, implementation, instruction set, types and milliseconds of each.
    """
    spent: dict[tuple[str, str, str, str], list[float]] = {}
    for *key, ms in executed:
        spent.setdefault(tuple(key), []).append(ms)  # type: ignore[arg-type]  # of four texts
    kernels = [Kernel(*key, len(times), sum(times)) for key, times in spent.items()]
    return sorted(kernels, key=lambda one: (-one.ms, one.kind, one.implementation, one.dtype))
