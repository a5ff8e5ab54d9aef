"""Hundreds of tuning trials in little memory: two leaks of every trial, closed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mxnet.symbol import Symbol

from harness.methods.inc_formats import OperatorConfig


@contextmanager
def dynamic_shapes_asked_once() -> Iterator[None]:
    """Have MXNet look once whether the network has operators of dynamic shape, not for every trial.

    MXNet 2.0.0b1 leaks a copy of the graph whenever it looks, which is at the first pass of every
    network: 40 kB for ten quantised operators. Quantising adds no operator of dynamic shape.
    """
    look = Symbol.has_dynamic_shape_op
    answer: list[bool] = []

    def look_once(symbol: Any) -> bool:
        if not answer:
            answer.append(look(symbol))
        return answer[0]

    Symbol.has_dynamic_shape_op = look_once
    try:
        yield
    finally:
        Symbol.has_dynamic_shape_op = look


def share_operator_configurations(strategy: Any) -> None:
    """Have the trials in an INC strategy's history share their operators' equal configurations.

    INC keeps a deep copy of the whole configuration for each trial, though an operator has only a
    few: 10 kB a trial for ten operators. The history only compares them.
    """
    add = strategy._add_tuning_history
    known: dict[str, OperatorConfig] = {}

    def add_shared(tune_cfg: Any = None, *arguments: Any, **named: Any) -> None:
        operators = tune_cfg["op"] if tune_cfg else {}
        for name, configuration in operators.items():
            # not by DotDict's own method, which makes copies
            dict.__setitem__(operators, name, known.setdefault(repr(configuration), configuration))
        add(tune_cfg, *arguments, **named)

    strategy._add_tuning_history = add_shared
