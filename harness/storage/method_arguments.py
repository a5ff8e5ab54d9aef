"""The arguments of the project's own methods, which are checked where a row is configured."""

# No ``from __future__ import annotations``: msgspec evaluates the annotations, on Python 3.9 too.
from collections.abc import Mapping
from typing import Annotated, Any, Optional

import msgspec

from harness.facts.typed import Facts, New, one_of
from harness.storage.configuration import INC, SearchOptions, StrategyOptions

_OwnOptions = New(StrategyOptions, required=False)


class Search(Facts, frozen=True, kw_only=True):
    """The arguments of ``harness.methods.inc.Tuned``."""

    strategy: str
    options: SearchOptions
    strategy_options: Annotated[Optional[StrategyOptions], _OwnOptions] = None


class Native(Facts, frozen=True, kw_only=True):
    """The arguments of ``harness.methods.native.Quantized``."""

    quantize_mode: Annotated[Any, New(Annotated[str, one_of(("full", "smart"))])] = None
    calib_mode: Annotated[Any, New(Annotated[str, one_of(("naive", "entropy"))])] = None
    quantize_granularity: Annotated[
        Any, New(Annotated[str, one_of(("tensor-wise", "channel-wise"))])
    ] = None


class Inner(Facts, frozen=True, kw_only=True):
    """A method in another's arguments; it has no label."""

    target: str = msgspec.field(name="_target_")


class Nesting(Facts, frozen=True, kw_only=True):
    """The arguments of a method that works with what another one makes."""

    method: Annotated[Any, New(Inner)] = None


ARGUMENTS: Mapping[str, type[Facts]] = {  # of the methods whose arguments are checked
    INC: Search,
    "harness.methods.native.Quantized": Native,
    "harness.methods.equalize.Equalized": Nesting,
    "harness.methods.bf16.Bf16Fallback": Nesting,
}
