"""INC's own formats, which are plain dicts: what a strategy proposes, and what the adaptor caches."""

from __future__ import annotations

from typing import Any, TypedDict

Operator = tuple[str, str]  # INC's key of an operator: name and type
IncConfig = dict[str, Any]  # the content of INC's own YAML
CalibrationCache = dict[str, Any]  # batches, and by kind (kl, minmax) each tensor's range


class TensorConfig(TypedDict, total=False):
    """How an operator's activations or weights are computed.

    ``halvings`` is of ``sensitivity``, which cuts ranges; the rest is INC's.
    """

    dtype: str
    algorithm: str
    halvings: int


class OperatorConfig(TypedDict, total=False):
    """How an operator is computed; the keys that are read or written here."""

    activation: TensorConfig
    weight: TensorConfig


class TuneConfig(TypedDict):
    """What a strategy proposes for a trial: ``tune_cfg`` in INC."""

    calib_iteration: int
    calib_sampling_size: int
    op: dict[Operator, OperatorConfig]
