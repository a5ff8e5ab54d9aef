"""The options of methods: of INC's searches and of ``quantize_net``.

What is ``New`` and what is not: see ``configuration.py``. A key that is not required was not there in
earlier versions, and without it the method does what it did then.
"""

# No ``from __future__ import annotations``: msgspec evaluates the annotations, on Python 3.9 too.
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Optional, Union

import msgspec
from msgspec import Meta

from harness.facts.faults import LONGEST_S
from harness.facts.typed import MOST, Count, Facts, New, Number, Positive, Sha256, one_of

INC = "harness.methods.inc.Tuned"  # the classes of methods, as ``_target_`` names them
UNOPTIMIZED = "harness.methods.native.Unoptimized"  # as the run's mxnet_additions says
FUSED = "harness.methods.native.Fused"
QUANTIZED = "harness.methods.native.Quantized"
AS_RELEASED = "harness.methods.native.AsReleased"
REPAIRED = "harness.methods.summed.Summed"
EQUALIZED = "harness.methods.equalize.Equalized"
BF16 = "harness.methods.bf16.Bf16"
BF16_FALLBACK = "harness.methods.bf16.Bf16Fallback"
MADE_ELSEWHERE = "harness.methods.finished.Finished"
MYCUSTOM = "harness.methods.mycustom.MyCustomTuneStrategy"  # strategies, as INC's rows name them
SENSITIVITY = "harness.methods.sensitivity.SensitivityTuneStrategy"

_Whole = Annotated[int, Meta(ge=0, lt=LONGEST_S)]
_Real = Annotated[float, Meta(ge=0, lt=LONGEST_S)]
NotNegative = Annotated[
    Union[Annotated[int, Meta(ge=0)], Annotated[float, Meta(ge=0, le=MOST)]],
    Meta(description="a number of at least 0"),
]
Limit = Annotated[Union[_Whole, _Real], Meta(description="a number of at least 0, below 1e9")]
Criterion = Annotated[str, one_of(("relative", "absolute"))]
OBJECTIVES = ("accuracy", "footprint", "performance")
OBJECTIVE_WORDS = (
    "accuracy, footprint or performance (INC's modelsize needs TensorFlow, which is not installed with "
    "this harness), or a list of these such as [accuracy,performance]"
)
# A pattern here for the items as well as for the one crashes msgspec 0.20: ``wrong_objective`` checks
Objective = Annotated[
    # not plain str, or a list that is typed were taken for a text (``takes_text``)
    Union[Annotated[str, Meta(min_length=1)], Annotated[tuple[str, ...], Meta(min_length=1)]],
    Meta(description=OBJECTIVE_WORDS),
]
Weights = Annotated[
    tuple[NotNegative, ...], Meta(description="a list of numbers of at least 0, such as [0.7,0.3]")
]
SamplingSize = Annotated[
    Union[Positive, Annotated[tuple[Positive, ...], Meta(min_length=1)]],
    Meta(description="a whole number of at least 1, or a list of such as [64,192]"),
]
INT8_FP32 = "int8_fp32"
Dtypes = Annotated[
    str, one_of((INT8_FP32, "inc"), "inc: as INC chooses, with bf16 where the CPU has it")
]


CalibMode = Annotated[
    str,
    one_of(
        ("naive", "entropy", "none"),
        "custom needs a collector, which is code: write a method of your own",
    ),
]
QuantizedDtype = Annotated[str, one_of(("auto", "int8", "uint8"), "or null")]
Names = Annotated[
    tuple[Annotated[str, Meta(min_length=1)], ...],
    Meta(description="a list of names, such as [node_5]"),
]
Space = Annotated[
    dict[str, dict[str, Any]],
    Meta(description="what INC may choose, such as {activation:{algorithm:[minmax]}}"),
]
Spaces = Annotated[
    dict[str, Space],
    Meta(description="that by name, such as {node_5:{activation:{dtype:[fp32]}}}"),
]
CHOICES = {  # what INC's MXNet adaptor can choose from, by tensor and key
    "activation": {"dtype": ("int8", "fp32", "bf16"), "algorithm": ("minmax", "kl")},
    "weight": {"dtype": ("int8", "fp32", "bf16"), "algorithm": ("minmax",)},
}
UNABLE = {  # keys of INC's own that its MXNet adaptor has nothing for
    "bit": "INC's MXNet adaptor quantises to 8 bits alone",
    "diagnosis": "INC's MXNet adaptor has no diagnosis_helper, which INC calls for it; the row's "
    "operator_influence.csv (mycustom) and sensitivity.json have each operator's error",
    "granularity": "INC's MXNet adaptor has one for each kind of operator, per_channel for the weights "
    "of convolutions and per_tensor for all else; quantize_granularity of the native rows sets it",
    "scheme": "INC's MXNet adaptor has sym alone",
    "tensorboard": "INC's MXNet adaptor has no hooks to record tensors with, which INC calls for it",
}


class _NewerOptions(Facts, frozen=True, kw_only=True):
    """The options of a search that earlier versions did not have, in ``tuning`` and in each row.

    Attributes:
        objective_weights: one for each of several objectives.
        dtypes: which data types INC may choose.
        model_wise, optype_wise, op_wise: what INC may choose of all operators, by kind, and by name.
        performance_only: take the first model, whatever its accuracy.
        keep_best: where no model meets the criterion, take the most accurate one.
        resume: write each trial down, and go on from there where the search was stopped.
    """

    objective_weights: Annotated[Optional[Weights], New(required=False)] = None
    dtypes: Annotated[Optional[str], New(Dtypes, required=False)] = None
    model_wise: Annotated[Any, New(Optional[Space], required=False)] = None
    optype_wise: Annotated[Any, New(Optional[Spaces], required=False)] = None
    op_wise: Annotated[Any, New(Optional[Spaces], required=False)] = None
    performance_only: Annotated[Optional[bool], New(bool, required=False)] = None
    keep_best: Annotated[Optional[bool], New(bool, required=False)] = None
    resume: Annotated[Optional[bool], New(bool, required=False)] = None


class Tuning(_NewerOptions, frozen=True, kw_only=True):
    """The options of INC's searches; rows take theirs from here.

    Attributes:
        objective: what a better model has less of; several are weighed against each other.
        sampling_size: images to calibrate on; several are tried.
    """

    criterion: Annotated[str, New(Criterion)]
    tolerance: Annotated[Number, New(NotNegative)]
    max_trials: Positive
    bayesian_max_trials: Annotated[Optional[Positive], New(Positive)] = None
    timeout_s: Annotated[Limit, New()] = 0
    sampling_size: SamplingSize
    objective: Annotated[Any, New(Objective)]
    seed: Count


class SearchOptions(_NewerOptions, frozen=True, kw_only=True):
    """The options of one row's search."""

    criterion: Annotated[str, New(Criterion)]
    tolerance: Number
    max_trials: Positive
    timeout_s: Annotated[Optional[Limit], New(Limit)] = None
    seed: Annotated[Optional[Count], New(Count)] = None
    sampling_size: Annotated[Optional[SamplingSize], New(SamplingSize)] = None
    objective: Annotated[Any, New(Objective)] = None


class EngineSearch(Facts, frozen=True, kw_only=True):
    """The options of a search by another engine; None: it has no such option."""

    criterion: str
    tolerance: Number
    max_trials: Optional[Positive] = None
    timeout_s: Optional[Limit] = None
    seed: Optional[Count] = None
    sampling_size: Optional[SamplingSize] = None


class StrategyOptions(Facts, frozen=True, kw_only=True):
    """The options of a strategy's own, of which one is read."""

    error_threshold: Optional[Number] = None


_OwnOptions = New(StrategyOptions, required=False)


class Search(Facts, frozen=True, kw_only=True):
    """The arguments of ``harness.methods.inc.Tuned``."""

    strategy: str
    options: SearchOptions
    strategy_options: Annotated[Optional[StrategyOptions], _OwnOptions] = None


class Native(Facts, frozen=True, kw_only=True):
    """The arguments of ``harness.methods.native.Quantized``."""

    quantize_mode: Annotated[Any, New(Annotated[str, one_of(("full", "smart"))])] = None
    calib_mode: Annotated[Any, New(CalibMode)] = None
    quantize_granularity: Annotated[
        Any, New(Annotated[str, one_of(("tensor-wise", "channel-wise"))])
    ] = None
    quantized_dtype: Annotated[Any, New(Optional[QuantizedDtype], required=False)] = None
    exclude_layers: Annotated[Any, New(Optional[Names], required=False)] = None
    exclude_layers_match: Annotated[Any, New(Optional[Names], required=False)] = None
    exclude_operators: Annotated[Any, New(Optional[Names], required=False)] = None
    num_calib_batches: Annotated[Any, New(Optional[Positive], required=False)] = None


class Finished(Facts, frozen=True, kw_only=True):
    """The arguments of ``harness.methods.finished.Finished``; ``run/inputs.py`` checks the files."""

    symbol: Annotated[Optional[str], New()] = None
    params: Annotated[Optional[str], New()] = None
    symbol_sha256: Annotated[Optional[Sha256], New(required=False)] = None
    params_sha256: Annotated[Optional[Sha256], New(required=False)] = None


class Inner(Facts, frozen=True, kw_only=True):
    """A method in another's arguments; it has no label."""

    target: str = msgspec.field(name="_target_")


class Nesting(Facts, frozen=True, kw_only=True):
    """The arguments of a method that works with what another one makes."""

    method: Annotated[Any, New(Inner)] = None


ARGUMENTS: Mapping[str, type[Facts]] = {  # of the methods whose arguments are checked
    INC: Search,
    MADE_ELSEWHERE: Finished,
    QUANTIZED: Native,
    EQUALIZED: Nesting,
    BF16_FALLBACK: Nesting,
}


def wrong_objective(value: Any, at: str) -> Optional[str]:
    """Return what is wrong with one objective or several; ``at`` is their key."""
    if all(name in OBJECTIVES for name in as_tuple(value)):
        return None
    return f"{at}={value}: use {OBJECTIVE_WORDS}"


def wrong_space(space: Mapping[str, Mapping[str, Any]], at: str) -> Optional[str]:
    """Return what INC's MXNet adaptor cannot do of a ``model_wise`` or the like; ``at`` is its key."""
    return next(_wrong_choices(space, at), None)


def wrong_pattern(name: str, at: str) -> Optional[str]:
    """Return why a name in ``op_wise``, which may be a pattern, is no pattern; ``at`` is its key."""
    try:
        re.compile(name)
    except (re.error, RecursionError, OverflowError) as error:
        return f"{at}: {name!r} is neither a name nor a pattern: {error}"
    return None


def _wrong_choices(space: Mapping[str, Mapping[str, Any]], at: str) -> Iterator[str]:
    for tensor, choices in space.items():
        if tensor not in CHOICES:
            yield f"{at}.{tensor}: there is no such key; use {' or '.join(CHOICES)}"
            continue
        known = CHOICES[tensor]
        for key, values in choices.items():
            where = f"{at}.{tensor}.{key}"
            if key in UNABLE:
                yield f"{where}: it cannot be chosen: {UNABLE[key]}"
            elif key not in known:
                yield f"{where}: there is no such key; use {' or '.join(known)}"
            elif (
                not isinstance(values, (list, tuple))
                or not values
                or any(value not in known[key] for value in values)
            ):
                yield f"{where}={values}: use a list of {', '.join(known[key])}"


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Return the items of an option that is one item or a list of them."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)
