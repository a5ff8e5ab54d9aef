"""A search's options as INC reads them, and what of INC's own options does not work by itself."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import neural_compressor.utils.utility as utility

from harness.errors import InputError, Refused, proposal
from harness.methods.inc_formats import IncConfig, Operator
from harness.storage.method_options import INT8_FP32, SearchOptions, as_tuple
from harness.table.searches import least_accepted

PLAIN_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\-/]*")  # INC takes any other for a pattern
TYPES = {
    "weight": {"dtype": ["int8", "fp32"]},
    "activation": {"dtype": ["int8", "fp32"], "algorithm": ["minmax", "kl"]},
}


def inc_config(options: SearchOptions, name: str, workspace: Path) -> IncConfig:
    """Return the configuration that INC reads.

    The data types are limited to the published int8 and fp32 unless ``dtypes`` leaves them to INC: it
    adds bf16 by itself on CPUs that have it, and a table must mean the same on every machine.

    Args:
        name: INC's name of the strategy.
        workspace: the folder for what INC writes.
    """
    limits: Mapping[str, Any] = TYPES if (options.dtypes or INT8_FP32) == INT8_FP32 else {}
    spaces = {
        "optype_wise": {
            kind: _joined(limits, space) for kind, space in (options.optype_wise or {}).items()
        },
        "op_wise": dict(options.op_wise or {}),
    }
    model_wise = _joined(limits, options.model_wise or {})
    return {
        "model": {"name": "network", "framework": "mxnet"},
        "quantization": {
            "approach": "post_training_static_quant",
            "calibration": {"sampling_size": _plain(options.sampling_size)},
            **({"model_wise": model_wise} if model_wise else {}),
            **{key: space for key, space in spaces.items() if space},
        },
        "tuning": {
            "strategy": {"name": name},
            **_objectives(options),
            "accuracy_criterion": {options.criterion: float(options.tolerance)},
            "exit_policy": {
                "timeout": math.ceil(options.timeout_s or 0),  # 0: stop at the first good model
                "max_trials": options.max_trials,
                **({"performance_only": True} if options.performance_only else {}),
            },
            "random_seed": options.seed,
            "workspace": {"path": str(workspace)},
        },
    }


def _objectives(options: SearchOptions) -> IncConfig:
    objectives = [str(objective) for objective in as_tuple(options.objective)]
    if len(objectives) == 1:
        return {"objective": objectives[0]}
    several: IncConfig = {
        "objective": objectives,
        "higher_is_better": [objective == "accuracy" for objective in objectives],
    }
    if options.objective_weights is not None:
        several["weight"] = [float(weight) for weight in options.objective_weights]
    return {"multi_objectives": several}


def _joined(limits: Mapping[str, Any], space: Mapping[str, Any]) -> dict[str, Any]:
    """Return the limits with what a space says of its own in their place."""
    return {
        tensor: {**limits.get(tensor, {}), **space.get(tensor, {})}
        for tensor in dict.fromkeys((*limits, *space))
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def require_operators(options: SearchOptions, space: Mapping[Operator, Any]) -> None:
    """Hold the names in ``op_wise`` and ``optype_wise`` to the network, since INC ignores others.

    Args:
        space: INC's own, by operator.

    Raises:
        InputError: a name or pattern fits none of the network's operators.
    """
    names, kinds = [name for name, _ in space], sorted({kind for _, kind in space})
    for key, known, typed in (
        ("op_wise", names, options.op_wise),
        ("optype_wise", kinds, options.optype_wise),
    ):
        for name in typed or {}:
            is_pattern = key == "op_wise" and not PLAIN_NAME.fullmatch(name)
            fits = (re.match(name, one) is not None if is_pattern else name == one for one in known)
            if not any(fits):
                raise InputError(
                    f"tuning.{key}: {name!r} fits no operator of this network"
                    f"{proposal(name, known)}: it has {', '.join(known)}"
                )


def prefer_accurate(strategy: Any, options: SearchOptions) -> None:
    """Have the more accurate of two good models win where accuracy is the only objective.

    INC asks several objectives alone which end of them is better, and takes the lower end of one.
    """
    if as_tuple(options.objective) == ("accuracy",):
        strategy.objectives.obj_criterion = [True]


def meets(options: SearchOptions, accuracy: float, baseline: float) -> bool:
    """Say whether a top-1 meets the criterion, as INC compares it."""
    return accuracy >= least_accepted(baseline, options.criterion, float(options.tolerance))


@contextmanager
def weighed_best_remade(strategy: Any, adopt: Callable[[Any, int], None]) -> Iterator[None]:
    """Have INC make the best of several objectives again from what it has in memory.

    By itself it reads its history from a pickle, which is never written here.

    Args:
        adopt: gets the network, and the trial that it is of, from 0.
    """
    recover = utility.recover

    def remade(network: Any, path: str, number: int) -> Any:
        configuration = strategy.tuning_history[0]["history"][number]["q_config"]
        model = strategy.adaptor.recover_tuned_model(strategy.model, configuration)
        adopt(model, int(number))
        return model

    utility.recover = remade
    try:
        yield
    finally:
        utility.recover = recover


def without_bf16(error: TypeError) -> Exception:
    """Return what a search raises whose strategy fell back to bf16; other errors as they are."""
    if "target_dtype" not in str(error):
        return error
    return Refused(
        "INC falls back to bf16 on this CPU, and hands MXNet an argument that this version does not take "
        f"({error}): use tuning.dtypes={INT8_FP32}, or the method int8_inc_sensitivity_bf16"
    )
