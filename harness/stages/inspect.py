"""Look at the model before anything long is done with it, and at what MXNet really is here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mxnet as mx
import numpy as np

from harness import compat
from harness.errors import InputError, one_line
from harness.host.threads import loaded_openmp
from harness.methods import instantiated
from harness.workloads import fp32_network


def run(job: dict[str, Any], progress: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Load the fp32 network, run one blank image through it, and make every method.

    Returns:
        versions, the OpenMP runtime, and the number of parameters.

    Raises:
        InputError: the model cannot be loaded, or does not fit the images or the classes; a
            method's class or arguments are wrong.
    """
    workload = job["workload"]
    net = fp32_network(workload)
    side, classes = workload["transform"]["crop"], workload["classes"]
    for method in job["methods"].values():
        instantiated(method)
    blank = mx.np.zeros((1, 3, side, side))
    try:
        scores = net(blank).asnumpy()
    except Exception as error:
        raise InputError(
            f"the model does not take images of 3 x {side} x {side} (workload.transform.crop): "
            f"{one_line(error)}"
        ) from None
    if scores.shape != (1, classes):
        raise InputError(
            f"the model gives {scores.shape[-1]} classes and workload.classes is {classes}: "
            "set it to the model's"
        )
    weights = {name: p.data().asnumpy() for name, p in net.collect_params().items()}
    # the scores do not tell: a ReLU makes 0 of NaN
    broken = [name for name, values in weights.items() if not np.isfinite(values).all()]
    if broken:
        raise InputError(
            f"{broken[0]} and {len(broken) - 1} more of the model's {len(weights)} parameters hold "
            "NaN or infinity: check workload.params"
        )
    if not np.isfinite(scores).all():
        raise InputError(
            "the model's scores for a blank image are NaN or infinite: check workload.params"
        )
    parameters = sum(values.size for values in weights.values())
    return {
        "versions": compat.true_versions(),
        "openmp": loaded_openmp(),
        "parameters": parameters,
    }
