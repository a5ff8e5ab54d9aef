"""The tuning history: what each trial's model is made from again, one line of JSON a trial.

INC keeps a history of its own, which is a pickle, and whoever reads a pickle runs what it says. Here
INC's is neither written nor read (``methods.pickles``). This one is plain data: it is read within
bounds, held to a form, and only what the form names goes on to INC.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from harness.errors import InputError
from harness.files.reading import LARGEST_JSON, open_plain, parse_json
from harness.storage import form
from harness.storage.form import Named, OneOf

LONGEST_NAME = 4096  # characters of an operator's or tensor's name
LARGEST_SINGLE = float(np.finfo(np.float32).max)
DTYPES = ("float32", "float64", "float16", "int64", "int32", "int8", "uint8")  # of MXNet's arrays
QUANTISED = OneOf(("auto", "int8", "uint8"))


def named(value: Any) -> bool:
    """the name of an operator or a tensor"""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable()


def limits(value: Any) -> bool:
    """the least and the greatest value, two finite float32 numbers in order"""
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(form.number(each) and abs(each) <= LARGEST_SINGLE for each in value)
        and value[0] <= value[1]
    )


def naive(value: Any) -> bool:
    """'naive', since the ranges are in the history"""
    return bool(value == "naive")


def cpu(value: Any) -> bool:
    """'cpu'"""
    return bool(value == "cpu")


RANGES = Named(named, limits)  # by tensor
CONFIGURATION = {  # the keys of INC's own q_config, but for the one input
    "mxnet_version": form.name,
    "quant_cfg": {
        "excluded_symbols": [named],
        "quantized_dtype": QUANTISED,
        "quantize_mode": OneOf(("smart", "full")),
        "quantize_granularity": OneOf(("tensor-wise", "channel-wise")),
    },
    "calib_cfg": {
        "calib_mode": naive,
        "quantized_dtype": QUANTISED,
        "batches": form.some,
        "calib_kl_nodes": [named],
        "calib_minmax_nodes": [named],
    },
    "th_dict": RANGES,
    "input": {
        "name": named,
        "shape": [form.some],
        "dtype": OneOf(DTYPES),
        "layout": OneOf(("NCHW", "NHWC", "NC")),
    },
    "framework_specific_info": {"device": cpu},
}
IncQuantised = Mapping[str, Any]  # the q_config that INC's adaptor holds of a quantised model


class Quantising(TypedDict):
    """How INC's adaptor quantised a model."""

    excluded_symbols: list[str]
    quantized_dtype: str
    quantize_mode: str
    quantize_granularity: str


class Calibration(TypedDict):
    """How it calibrated the model."""

    calib_mode: str
    quantized_dtype: str
    batches: int
    calib_kl_nodes: list[str]
    calib_minmax_nodes: list[str]


class ModelInput(TypedDict):
    """The one input of the model."""

    name: str
    shape: list[int]
    dtype: str
    layout: str


class Device(TypedDict):
    """Where the model runs."""

    device: str


class QConfig(TypedDict):
    """What a quantised model is made from again, held to ``CONFIGURATION``."""

    mxnet_version: str
    quant_cfg: Quantising
    calib_cfg: Calibration
    th_dict: dict[str, list[float]]
    input: ModelInput
    framework_specific_info: Device


class HistoryEntry(TypedDict):
    """The entry of a trial; without ``q_config``, ``because`` says why it cannot be made again."""

    trial: int
    q_config: QConfig | None
    because: str | None


TRIAL = {"trial": form.some, "q_config": (CONFIGURATION,), "because": (form.text,)}


def described(trial: int, quantised: IncQuantised | None) -> HistoryEntry:
    """Return the entry of a trial, JSON-able, whatever its strategy made of it.

    Args:
        trial: its number, from 1.
        quantised: None if INC's adaptor did not make the model.
    """
    configuration, because = None, None
    if quantised is None:
        because = "its strategy made the model without INC's adaptor"
    else:
        try:
            configuration = _plain(quantised)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            because = f"its configuration is not as INC makes it ({type(error).__name__}: {error})"
        else:
            because = form.wrong(configuration, CONFIGURATION) or _in_bf16(quantised)
    return {"trial": trial, "q_config": None if because else configuration, "because": because}


def _plain(quantised: IncQuantised) -> QConfig:
    quantising, calibration = quantised["quant_cfg"], quantised["calib_cfg"]
    (data,) = quantised["input_desc"]
    ranges = sorted(quantised["th_dict"].items())
    return {
        "mxnet_version": quantised["mxnet_version"],
        "quant_cfg": {
            "excluded_symbols": quantising["excluded_symbols"],
            "quantized_dtype": quantising["quantized_dtype"],
            "quantize_mode": quantising["quantize_mode"],
            "quantize_granularity": quantising["quantize_granularity"],
        },
        "calib_cfg": {
            "calib_mode": calibration["calib_mode"],
            "quantized_dtype": calibration["quantized_dtype"],
            "batches": calibration["batches"],
            "calib_kl_nodes": sorted(calibration["calib_kl_nodes"]),
            "calib_minmax_nodes": sorted(calibration["calib_minmax_nodes"]),
        },
        # a float32 is a float64 exactly, and JSON has the digits that tell it from its neighbours
        "th_dict": {tensor: [float(each) for each in limits] for tensor, limits in ranges},
        "input": {
            "name": data.name,
            "shape": [int(side) for side in data.shape],
            "dtype": np.dtype(data.dtype).name,
            "layout": data.layout,
        },
        "framework_specific_info": {"device": quantised["framework_specific_info"]["device"]},
    }


def _in_bf16(quantised: IncQuantised) -> str | None:
    calibration, others = quantised["calib_cfg"], quantised["amp_cfg"]["excluded_sym_names"]
    operators = {*calibration["calib_kl_nodes"], *calibration["calib_minmax_nodes"]}
    return "it has operators in bf16, which INC does not make again" if operators - others else None


def begin(path: Path) -> None:
    """Make an empty history, whatever an earlier search left there."""
    path.unlink(missing_ok=True)
    path.touch()


def append(path: Path, entry: HistoryEntry) -> None:
    """Add an entry of ``described``."""
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(entry) + "\n")


def read_history(path: Path, sha256: str) -> list[HistoryEntry]:
    """Return the entries of a history: that of trial K is the K-th.

    Args:
        sha256: what its bytes must have; they are the bytes that are read.

    Raises:
        InputError: it is not there, has other bytes, is damaged, or is no tuning history.
    """
    try:
        with open_plain(path) as handle:
            content = handle.read(LARGEST_JSON + 1)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError("it has changed since it was recorded")
        entries = parse_json(b"[" + b",".join(content.splitlines()) + b"]")
        wrong = form.wrong(entries, [TRIAL])  # other keys may be there, and go no further
        if wrong is not None:
            raise ValueError(wrong)
        if [entry["trial"] for entry in entries] != list(range(1, len(entries) + 1)):
            raise ValueError("its trials are not numbered from 1 on")
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())[:300]
        raise InputError(
            f"the tuning history {path} cannot be read ({said}): restore it, or measure the row again, "
            "in a new run"
        ) from None
    return [_without_others(entry, TRIAL) for entry in entries]


def _without_others(value: Any, rule: Any) -> Any:
    """Return a value that its rule holds for, with the keys alone that the rule names."""
    if isinstance(rule, tuple):
        return None if value is None else _without_others(value, rule[0])
    if isinstance(rule, dict):
        return {key: _without_others(value[key], inner) for key, inner in rule.items()}
    return value
