"""The tuning history: what each trial's model is made from again, one line of JSON a trial.

INC keeps a history of its own, which is a pickle, and whoever reads a pickle runs what it says. Here
INC's is neither written nor read (``methods.pickles``). This one is plain data: it is read within
bounds, checked against types, and only what the types name goes on to INC.
"""

# No ``from __future__ import annotations``: msgspec evaluates the annotations, on Python 3.9 too.
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, TypedDict, Union

import numpy as np
from msgspec import Meta

from harness.errors import InputError
from harness.facts.faults import Fault, first_fault, key_inside
from harness.facts.typed import Name, Positive, decode, fault, one_of
from harness.files.reading import parse_json, read_plain

LONGEST_NAME = 4096  # characters of an operator's or tensor's name
LARGEST_SINGLE = float(np.finfo(np.float32).max)
DTYPES = ("float32", "float64", "float16", "int64", "int32", "int8", "uint8")  # of MXNet's arrays

A_NAME = "the name of an operator or a tensor"
A_RANGE = "the least and the greatest value, two finite float32 numbers in order"

NameInModel = Annotated[
    str,
    Meta(min_length=1, max_length=LONGEST_NAME, description=A_NAME),
]
Single = Union[
    Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)],
    Annotated[float, Meta(ge=-LARGEST_SINGLE, le=LARGEST_SINGLE)],
]
Range = Annotated[
    list[Single],
    Meta(
        min_length=2,
        max_length=2,
        description=A_RANGE,
    ),
]
Ranges = dict[NameInModel, Range]  # by tensor
QuantisedType = Annotated[str, one_of(("auto", "int8", "uint8"))]
IncQuantised = Mapping[str, Any]  # the q_config that INC's adaptor holds of a quantised model


class Quantising(TypedDict):
    """How INC's adaptor quantised a model."""

    excluded_symbols: list[NameInModel]
    quantized_dtype: QuantisedType
    quantize_mode: Annotated[str, one_of(("smart", "full"))]
    quantize_granularity: Annotated[str, one_of(("tensor-wise", "channel-wise"))]


class Calibration(TypedDict):
    """How it calibrated the model."""

    calib_mode: Annotated[
        Literal["naive"], Meta(description="'naive', since the ranges are in the history")
    ]
    quantized_dtype: QuantisedType
    batches: Positive
    calib_kl_nodes: list[NameInModel]
    calib_minmax_nodes: list[NameInModel]


class ModelInput(TypedDict):
    """The one input of the model."""

    name: NameInModel
    shape: list[Positive]
    dtype: Annotated[str, one_of(DTYPES)]
    layout: Annotated[str, one_of(("NCHW", "NHWC", "NC"))]


class Device(TypedDict):
    """Where the model runs."""

    device: Annotated[Literal["cpu"], Meta(description="'cpu'")]


class QConfig(TypedDict):
    """What a quantised model is made from again: the keys of INC's own, but for the one input."""

    mxnet_version: Name
    quant_cfg: Quantising
    calib_cfg: Calibration
    th_dict: Ranges
    input: ModelInput
    framework_specific_info: Device


class HistoryEntry(TypedDict):
    """The entry of a trial; without ``q_config``, ``because`` says why it cannot be made again."""

    trial: Positive
    q_config: Optional[QConfig]
    because: Optional[str]


def is_range(low: float, high: float) -> bool:
    """Say whether two numbers are the least and the greatest value of a tensor."""
    return -LARGEST_SINGLE <= low <= high <= LARGEST_SINGLE


def wrong_range(ranges: Ranges, at: str) -> Optional[Fault]:
    """Return what is wrong with ranges beyond their types; ``at`` is their dotted key."""
    return _wrong_name(ranges, f"a key of {at}") or first_fault(
        None if is_range(*ends) else Fault(key_inside(at, tensor), ends, A_RANGE)
        for tensor, ends in ranges.items()
    )


def _wrong_name(names: Iterable[str], at: str) -> Optional[Fault]:
    return first_fault(None if name.isprintable() else Fault(at, name, A_NAME) for name in names)


def _wrong_configuration(configuration: QConfig, at: str = "") -> Optional[Fault]:
    """Return what is wrong with a configuration beyond its types."""
    quantising, calibration = configuration["quant_cfg"], configuration["calib_cfg"]
    return (
        _wrong_name(quantising["excluded_symbols"], key_inside(at, "quant_cfg.excluded_symbols"))
        or _wrong_name(calibration["calib_kl_nodes"], key_inside(at, "calib_cfg.calib_kl_nodes"))
        or _wrong_name(
            calibration["calib_minmax_nodes"], key_inside(at, "calib_cfg.calib_minmax_nodes")
        )
        or wrong_range(configuration["th_dict"], key_inside(at, "th_dict"))
        or _wrong_name([configuration["input"]["name"]], key_inside(at, "input.name"))
    )


def described(trial: int, quantised: Optional[IncQuantised]) -> HistoryEntry:
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
            wrong = fault(configuration, QConfig) or _wrong_configuration(configuration)
            because = str(wrong) if wrong else _in_bf16(quantised)
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


def _in_bf16(quantised: IncQuantised) -> Optional[str]:
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
        content = read_plain(path)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError("it has changed since it was recorded")
        lines = b"[" + b",".join(content.splitlines()) + b"]"
        # other keys may be there, and go no further
        entries = decode(parse_json(lines), list[HistoryEntry])
        wrong = first_fault(
            _wrong_configuration(entry["q_config"], f"[{number}].q_config")
            for number, entry in enumerate(entries)
            if entry["q_config"]
        )
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
    return entries
