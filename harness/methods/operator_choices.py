"""What an INC strategy may choose for an operator: its configurations by min-max, and in fp32."""

from __future__ import annotations

import copy
from typing import Any

from harness.methods.inc_formats import Operator, OperatorConfig

FALLBACK = "fp32"


def can_be_fp32(strategy: Any, operator: Operator) -> bool:
    """Say whether a strategy may leave an operator out of quantisation."""
    return FALLBACK in strategy.opwise_tune_space[operator]["activation"]["dtype"]


def by_minmax(strategy: Any, operator: Operator) -> OperatorConfig:
    """Return an operator's first quantised configuration that calibrates by min-max, else its first."""
    choices: list[OperatorConfig] = (
        strategy.opwise_quant_cfgs[operator] or strategy.opwise_tune_cfgs[operator]
    )
    found = (c for c in choices if c["activation"].get("algorithm") == "minmax")
    return copy.deepcopy(next(found, choices[0]))


def in_fp32(strategy: Any, operator: Operator) -> OperatorConfig:
    """Return an operator's configuration in fp32; it must have one."""
    choices: list[OperatorConfig] = strategy.opwise_tune_cfgs[operator]
    return copy.deepcopy(next(c for c in choices if c["activation"]["dtype"] == FALLBACK))
