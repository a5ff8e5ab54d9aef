"""The model of one tuning trial, rebuilt from its configuration in the tuning history."""

from __future__ import annotations

from typing import Any

import mxnet as mx
import numpy as np

from harness.errors import InputError, one_line
from harness.process.compat import import_inc
from harness.storage.tuning_history import QConfig

import_inc()

from neural_compressor.adaptor import FRAMEWORKS  # noqa: E402
from neural_compressor.adaptor.mxnet_utils.util import prepare_model  # noqa: E402
from neural_compressor.experimental.common import Model  # noqa: E402

from harness.methods import pickles  # noqa: E402
from harness.methods.graph import with_own_numbers  # noqa: E402

pickles.close()


def recover(net: Any, configuration: QConfig, data: Any) -> Any:
    """Return the quantised network of a tuning trial.

    Args:
        net: the clean fp32 network.
        configuration: ``q_config`` of the trial's entry in the tuning history.
        data: the first tuning batch.

    Raises:
        InputError: the configuration belongs to another network or other batches, or is damaged.
    """
    recorded = configuration["input"]
    shape, dtype = tuple(recorded["shape"]), np.dtype(recorded["dtype"])
    if (shape, dtype) != (data.shape, data.dtype):
        raise InputError(
            f"the tuning history is of batches {shape} of {dtype}, and this workload has "
            f"{data.shape} of {data.dtype}: restore it, or measure the row again"
        )
    net = with_own_numbers(net, (1, *shape[1:]))
    net.hybridize()
    inputs = [mx.io.DataDesc(recorded["name"], shape, dtype, recorded["layout"])]
    adaptor = FRAMEWORKS["mxnet"](configuration["framework_specific_info"])
    _check_names(configuration, prepare_model(Model(net), adaptor.ctx, inputs))
    try:
        quantised = adaptor.recover_tuned_model(
            Model(net), {**configuration, "input_desc": inputs}
        ).model
        quantised(data).wait_to_read()  # MXNet finds only now what does not fit
    except (AssertionError, ValueError, mx.base.MXNetError) as error:
        reason = one_line(error) or "it lacks the range of a tensor"  # INC's assertion has no text
        raise InputError(
            f"INC makes no model of what the tuning history says ({reason}): restore it, or measure the "
            "row again"
        ) from None
    return quantised


def _check_names(configuration: QConfig, model: Any) -> None:
    """Raise InputError if a configuration names an operator or input that the model lacks."""
    symbol, *weights = model
    internals = symbol.get_internals()
    known = {
        "operator": {*(node.name for node in internals), *internals.list_outputs()},
        "input": set(symbol.list_inputs()).difference(*weights),
    }
    calibration = configuration["calib_cfg"]
    used = {
        "operator": {
            *configuration["quant_cfg"]["excluded_symbols"],
            *calibration["calib_kl_nodes"],
            *calibration["calib_minmax_nodes"],
        },
        "input": {configuration["input"]["name"]},
    }
    for kind, names in used.items():
        unknown = sorted(names - known[kind])
        if unknown:
            raise InputError(
                f"the tuning history names the {kind} {unknown[0][:80]!r}, which this network does not "
                "have: restore it, or measure the row again"
            )
