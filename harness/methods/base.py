"""The interface of methods: the harness calls it for each row of the table.

A method of your own is a class with this shape, in a module of a folder that is given with --conf,
named by ``_target_`` in a YAML under ``method/`` there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.images.batches import Batches

MethodFacts = Mapping[str, Any]  # JSON-able, with keys of the method's own


@dataclass(frozen=True)
class Context:
    """The input of a method.

    Attributes:
        net: a clean fp32 ``HybridBlock`` of this process's own, not yet hybridized. Its additions are
            repaired if the run's ``mxnet_additions`` says so and the class's attribute
            ``repaired_additions`` is true; without one that holds for methods of this project alone.
        tuning: the tuning batches, as (data, label); ``tuning.kept()`` holds them in memory.
        workspace: a folder of this row's own inside the run; what is written there is kept.
        shared: a folder that the rows of the run share, or None when sharing is off.
        progress: call with (done, total, what) to move the progress bar; total may be 0.
    """

    net: Any
    tuning: Batches
    workspace: Path
    shared: Path | None
    progress: Callable[[int, int, str], None]


@dataclass(frozen=True)
class Optimized:
    """The result of a method: a network that can be hybridized and called, and facts for the record.

    Attributes:
        net: the optimised ``HybridBlock``.
        quantization: what was configured: granularity, mode, excluded operators ...
        trajectory: one entry per tuning trial.
        warnings: what the table should say in a footnote.
    """

    net: Any
    quantization: MethodFacts = field(default_factory=dict)
    trajectory: Sequence[MethodFacts] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Method(Protocol):
    """A row. ``optimize`` is timed as the row's one-time cost.

    Raises:
        Refused: this machine or network is not one for the method.
        NoSolution: the search ended without a model that meets its criterion.
        TuningTimeout: the method's own time limit ended first.
    """

    def optimize(self, context: Context) -> Optimized: ...
