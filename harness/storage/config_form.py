"""The form of a configuration: what one must be to be measured, and to be read back from a plan.

``STORED`` is what any plan's configuration is held to, also one that an earlier version wrote. A new
run's is held to that and to ``ASKED``, before anything is measured. Names and paths are texts: what is
typed for them on the command line is never read as a number (``harness/words.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.host import isa
from harness.storage.form import (
    LONGEST_S,
    Chosen,
    Named,
    OneOf,
    argument_path,
    at_least,
    count,
    is_text,
    name,
    number,
    path,
    some,
    switch,
    text,
)

MOST_CLASSES = 1 << 16
INC = "harness.methods.inc.Tuned"


def classes(value: Any) -> bool:
    """a whole number of at least 2 and at most 65536"""
    return count(value) and 2 <= value <= MOST_CLASSES


def not_negative(value: Any) -> bool:
    """a number of at least 0"""
    return number(value) and value >= 0


def limit(value: Any) -> bool:
    """a number of at least 0, below 1e9"""
    return not_negative(value) and value < LONGEST_S


def warmup(value: Any) -> bool:
    """a number of seconds from 0 up, below 1e9"""
    return limit(value)


def sizes(value: Any) -> bool:
    """a list of whole numbers of at least 1, such as [1,8]; see conf/protocol/careful.yaml"""
    return isinstance(value, (list, tuple)) and all(map(some, value))


def mean(value: Any) -> bool:
    """three numbers, [R,G,B]"""
    return isinstance(value, (list, tuple)) and len(value) == 3 and all(map(number, value))


def deviation(value: Any) -> bool:
    """three numbers above 0, [R,G,B]"""
    return mean(value) and min(value) > 0


CRITERION = OneOf(("relative", "absolute"))
OBJECTIVE = OneOf(
    ("accuracy", "footprint", "performance"),
    "INC's modelsize needs TensorFlow, which is not installed with this harness",
)
OPTIONS = {
    "criterion": text,
    "tolerance": number,
    "max_trials": some,
    "timeout_s?": limit,
    "seed?": count,
    "sampling_size?": some,
    "objective?": text,
}
STRATEGY_OPTIONS = {"error_threshold?": (number,)}
METHOD = {"label": text, "_target_": text}
OPTIONS_ASKED = {
    **{key.rstrip("?"): rule for key, rule in OPTIONS.items()},
    "criterion": CRITERION,
    "objective": OBJECTIVE,
}


def stored_arguments(method: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rules of a method's arguments in a plan: an own method's are its own."""
    strategy = {"strategy": text, "options": OPTIONS, "strategy_options?": STRATEGY_OPTIONS}
    return strategy if method["_target_"] == INC else {}


def asked_arguments(method: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rules of a method's arguments that is to be measured."""
    known: dict[str, dict[str, Any]] = {
        INC: {
            "strategy": text,
            "options": OPTIONS_ASKED,
            "strategy_options?": STRATEGY_OPTIONS,
        },
        "harness.methods.native.Quantized": {
            "quantize_mode": OneOf(("full", "smart")),
            "calib_mode": OneOf(("naive", "entropy")),
            "quantize_granularity": OneOf(("tensor-wise", "channel-wise")),
        },
        "harness.methods.equalize.Equalized": {"method": INNER},
        "harness.methods.bf16.Bf16Fallback": {"method": INNER},
    }
    return known.get(method["_target_"], {})


INNER = Chosen({"_target_": text}, asked_arguments)  # of another method; it has no label
PROTOCOL = {
    "name": text,
    "rounds": count,
    "batches": count,
    "reruns": count,
    "warmup_s": warmup,
    "seed": count,
}
STORED: dict[str, Any] = {
    "workload": {
        "name": text,
        "batch_size": some,
        "note?": (text,),
        "tuning": {"source": text, "batches": some},
        "transform?": {"resize": some, "crop": some, "keep_ratio": switch},
        "model": {"_target_": text},
    },
    "method": Named(name, Chosen(METHOD, stored_arguments)),
    "methods": {"shared_calibration": switch},
    "protocol": PROTOCOL,
    "tuning": {
        "criterion": text,
        "tolerance": number,
        "max_trials": some,
        "sampling_size": some,
        "objective": text,
        "seed": count,
    },
    "baseline": text,
    "fused": text,
    "max_cpu_isa": (text,),
}
ASKED: dict[str, Any] = {
    "run": {
        "id": (name,),
        "results": path,
        "cache": path,
        "cache_limit_gb": not_negative,
        "timeout_s": limit,
        "wait_s": limit,
        "memory_gb": (not_negative,),
        "reuse_tuned": (name,),
    },
    "machine": (name,),
    "workload": {
        "rec": (path,),
        "params?": (path,),
        "symbol?": (path,),
        "rec_sha256?": (text,),
        "params_sha256?": (text,),
        "symbol_sha256?": (text,),
        "tuning_sha256?": (text,),
        "network?": (text,),
        "classes": classes,
        "download?": switch,
        "random_weights?": switch,
        "model": {
            "params?": argument_path,
            "symbol?": argument_path,
        },
        "transform": {
            "resize": some,
            "crop": some,
            "keep_ratio": switch,
            "mean": mean,
            "std": deviation,
        },
        "tuning": {"source": path, "batches": some},
    },
    "protocol": {
        **PROTOCOL,
        "sweep": sizes,
        "sweep_batches": count,
        "profile_batches": count,
        "roof": switch,
    },
    "tuning": {
        "criterion": CRITERION,
        "tolerance": not_negative,
        "timeout_s": limit,
        "max_trials": some,
        "bayesian_max_trials": some,
        "sampling_size": some,
        "seed": count,
        "objective": OBJECTIVE,
    },
    "max_cpu_isa": (OneOf(tuple(isa.NAMES), "or null"),),
    "table": {"intervals": (switch,)},
    "nightly": {
        "baseline": name,
        "runs": at_least(1),
        "pinned": (path,),
        "trust_disturbed?": switch,
    },
    "threads": {"policy": text, "places?": text, "affinity?": text},
    # last, since options come from tuning: what is wrong there is named where it was typed
    "method": Named(name, Chosen(METHOD, asked_arguments)),
}


def takes_text(key: str) -> bool:
    """Say whether what is typed for a dotted key is a text: a name, a path, or one of some words."""
    return any(
        _matches(pattern.split("."), key.split("."))
        for pattern in (*_texts(STORED), *_texts(ASKED))
    )


def _texts(rule: Any, at: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the dotted keys of a form's texts; ``*`` is any name."""
    if isinstance(rule, Chosen):
        yield from _texts(rule.always, at)
    elif isinstance(rule, Named):
        yield from _texts(rule.value, (*at, "*"))
    elif isinstance(rule, Mapping):
        for key, inner in rule.items():
            yield from _texts(inner, (*at, key.rstrip("?")))
    elif is_text(rule):
        yield ".".join(at)


def _matches(pattern: list[str], key: list[str]) -> bool:
    return len(pattern) == len(key) and all(p in ("*", k) for p, k in zip(pattern, key))
