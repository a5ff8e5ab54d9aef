"""INC's tuning history, which is a pickle, read without running anything that it names.

Of the pickled strategy only the history is wanted, and that is made of plain values and the few
classes listed here. Everything else that INC's strategies drag along becomes an empty stand-in; a
class that no snapshot of INC's has is refused.
"""

from __future__ import annotations

import collections
import io
import pickle
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from neural_compressor.conf.dotdict import DotDict

from harness.errors import InputError

LARGEST = 1 << 29  # bytes; 25 trials of the bayesian strategy have 0.3 MB


class _Emptied:
    """Stands for a strategy or what it holds; nothing of it is used but its pickled state."""

    def __new__(cls, *arguments: Any, **named: Any) -> _Emptied:
        return super().__new__(cls)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


MADE = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("mxnet.io.io", "DataDesc"): mx.io.DataDesc,
    ("neural_compressor.conf.dotdict", "DotDict"): DotDict,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "scalar"): np.core.multiarray.scalar,  # type: ignore[attr-defined]
    ("numpy.core.numeric", "_frombuffer"): np.core.numeric._frombuffer,  # type: ignore[attr-defined]
    **{
        ("numpy", kind): getattr(np, kind)
        for kind in ("float32", "float64", "int64", "uint8", "int8")
    },
}
EMPTIED = ("_space", "bayes_opt", "neural_compressor", "sklearn")  # packages, but not imported
EMPTIED_NAMES = ("__randomstate_ctor", "__bit_generator_ctor")  # of numpy.random._pickle


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in MADE:
            return MADE[module, name]
        if (
            module.split(".")[0] in EMPTIED
            or name.endswith("TuneStrategy")
            or (module == "numpy.random._pickle" and name in EMPTIED_NAMES)
        ):
            return _Emptied
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no tuning history has")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside")


def read_history(path: Path) -> list[dict[str, Any]]:
    """Return the trials of a snapshot, each with ``q_config``, how its model was quantised.

    Raises:
        InputError: it is damaged, no tuning history, or names a class that none has.
    """
    try:
        with path.open("rb") as handle:
            content = handle.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"it has more than {LARGEST >> 20} MB")
        strategy = _Restricted(io.BytesIO(content)).load()
        state = strategy.state if isinstance(strategy, _Emptied) else None
        (search,) = state["tuning_history"]  # type: ignore[index]
        history = list(search["history"])
        for trial in history:
            inputs = trial["q_config"]["input_desc"]
            if not all(isinstance(each, mx.io.DataDesc) for each in inputs):
                raise ValueError("a trial has no description of its input")
    except RecursionError:
        raise InputError(f"the tuning history {path} is nested too deeply: not read") from None
    except Exception as error:  # unpickling raises whatever it meets
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"the tuning history {path} cannot be read ({type(error).__name__}: {said}): it is "
            "damaged, or was made to do harm; restore it"
        ) from None
    return history
