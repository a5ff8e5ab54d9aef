"""Checks of a configuration: each key against its type, and keys against one another."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from harness.facts.faults import MISSING, Fault, first_fault, key_inside
from harness.facts.override_key import spell
from harness.facts.typed import decode, fault, text_keys, unkept
from harness.storage.configuration import Configuration, Protocol, Transform
from harness.storage.method_options import (
    ARGUMENTS,
    INC,
    MADE_ELSEWHERE,
    UNABLE,
    Nesting,
    SearchOptions,
    as_tuple,
    wrong_objective,
    wrong_pattern,
    wrong_space,
)

LONGER = 10  # a trial of queries than the latency that they may have


def advice(wrong: Fault) -> str:
    """Return the sentence on a fault for whoever typed the value."""
    if wrong.value is MISSING:
        return str(wrong)
    is_long = isinstance(wrong.value, (dict, list))
    value = reprlib.repr(wrong.value) if is_long else spell(wrong.value)
    return f"{wrong.at}={value}: use {wrong.expected}"


def stored_fault(values: Any, at: str = "") -> Fault | None:
    """Return the first thing that is wrong with the configuration of a plan, at a dotted key."""
    return _fault(values, at, new=False)


def new_fault(values: Any) -> Fault | None:
    """Return the first thing that is wrong with a configuration that is to be measured."""
    return _fault(values, "", new=True) or unkept(values)


def _fault(values: Any, at: str, new: bool) -> Fault | None:
    wrong = fault(values, Configuration, at, new)
    if wrong is not None:
        return wrong
    methods = key_inside(at, "method")
    return first_fault(
        _fault_of_arguments(method, key_inside(methods, name), new)
        for name, method in values["method"].items()
    )


def _fault_of_arguments(method: Mapping[str, Any], at: str, new: bool) -> Fault | None:
    kind = ARGUMENTS.get(method["_target_"])
    if kind is None:
        return None
    wrong = fault(method, kind, at, new)
    if wrong is None and kind is Nesting and new:
        return _fault_of_arguments(method["method"], key_inside(at, "method"), new)
    return wrong


def inconsistent(configuration: Configuration) -> str | None:
    """Return what in a new configuration does not go together and what to do, if anything does not."""
    return (
        inconsistent_protocol(configuration.protocol)
        or inconsistent_splits(configuration)
        or next(_inconsistent_methods(configuration), None)
        or inconsistent_transform(configuration.workload.transform)
    )


def inconsistent_protocol(protocol: Protocol) -> str | None:
    """Return what in a protocol does not go together, if anything does not."""
    unknown = set(protocol.stored) - set(Protocol.__struct_fields__)
    if unknown:
        return (
            "protocol has not the keys of conf/protocol/careful.yaml: there is no "
            f"{', '.join(sorted(unknown))}; type protocol=careful and set those that there are"
        )
    if protocol.rounds and not protocol.batches:
        return "protocol.batches=0: rounds need batches to time; give at least 1"
    if protocol.sweep and not (protocol.rounds and protocol.sweep_batches):
        return (
            "protocol.sweep is timed in rounds: choose protocol=careful, or give protocol.rounds and "
            "protocol.sweep_batches"
        )
    return None


def inconsistent_splits(configuration: Configuration) -> str | None:
    """Return what does not go with several instances or thread counts, if anything does not."""
    protocol, threads = configuration.protocol, configuration.threads
    keys = {"protocol.instances": protocol.instances, "threads.sweep": threads.sweep}
    key = next((key for key, value in keys.items() if value), None)
    if key is None:
        needs = {
            "share_cores": protocol.share_cores,
            "latency_ms": protocol.latency_ms,
            "server": protocol.server,
        }
        without = next((name for name, value in needs.items() if value), None)
        return without and (
            f"protocol.{without} is for several instances: give protocol.instances, or choose "
            "protocol=throughput"
        )
    if not protocol.rounds and not protocol.server:
        return f"{key} is measured in rounds: choose protocol=throughput, or give protocol.rounds"
    server = protocol.server
    if server is not None and server.duration_s * 1e3 < LONGER * server.latency_ms:
        return (
            f"protocol.server.duration_s={server.duration_s:g}: a trial must be at least {LONGER} times "
            f"as long as latency_ms, here {LONGER * server.latency_ms / 1e3:g} s, or it ends before "
            "its queue has grown"
        )
    own = {"count": None, "places": "auto", "affinity": "auto"}
    taken = next(
        (f"threads.{name}" for name, free in own.items() if threads.stored.get(name, free) != free),
        None,
    )
    if threads.policy == "none":
        return f"{key} binds each instance to its cores, and threads=none does not: use threads=omp"
    if taken:
        return f"{key} gives each instance its threads and their places: leave {taken} out"
    return None


def inconsistent_transform(transform: Transform | None) -> str | None:
    """Return what in a transform does not go together, if anything does not."""
    if transform is None or transform.crop <= transform.resize:
        return None
    return (
        f"workload.transform.crop={transform.crop} is larger than "
        f"workload.transform.resize={transform.resize}: lower the one or raise the other"
    )


def inconsistent_search(options: SearchOptions, at: str) -> str | None:
    """Return what in a search's options does not go together; ``at`` is their dotted key."""
    if options.criterion == "relative" and not -1 < options.tolerance < 1:
        return f"{at}.tolerance={options.tolerance}: use a number below 1"
    unable = _unable_key(options, at)
    if unable is not None:
        return unable
    weights, objectives = options.objective_weights, options.objective
    wrong = wrong_objective(objectives, f"{at}.objective") if objectives is not None else None
    if wrong is not None:
        return wrong
    several = len(as_tuple(objectives))
    if weights is not None and len(weights) != several:
        return (
            f"{at}.objective_weights={list(weights)}: give one weight for each objective; there "
            f"{'is' if several == 1 else 'are'} {several}"
        )
    return next(_unable_spaces(options, at), None)


def _unable_key(options: SearchOptions, at: str) -> str | None:
    """Return why a key that is there is none that INC's MXNet adaptor can serve."""
    unable = next((key for key in options.stored if key in UNABLE), None)
    return None if unable is None else f"{at}.{unable}: it cannot be chosen: {UNABLE[unable]}"


def _unable_spaces(options: SearchOptions, at: str) -> Iterator[str]:
    spaces = [("model_wise", options.model_wise or {})]
    for key, named in (("optype_wise", options.optype_wise), ("op_wise", options.op_wise)):
        spaces += [(f"{key}.{name}", space) for name, space in (named or {}).items()]
    for name in options.op_wise or {}:
        wrong = wrong_pattern(name, f"{at}.op_wise")
        if wrong is not None:
            yield wrong
    for key, space in spaces:
        wrong = wrong_space(space, f"{at}.{key}")
        if wrong is not None:
            yield wrong


def _inconsistent_methods(configuration: Configuration) -> Iterator[str]:
    shared = decode(configuration.tuning.stored, SearchOptions)
    unable = _unable_key(shared, "tuning")  # no row takes such a key from there
    if unable is not None:
        yield unable
    for name, method in configuration.method.items():
        at, values = f"method.{name}", method.stored
        while ARGUMENTS.get(values["_target_"]) is Nesting:
            at, values = f"{at}.method", values["method"]
        if values["_target_"] == MADE_ELSEWHERE and at != f"method.{name}":
            yield (
                f"{at}: a model that was made elsewhere takes no network from another method: give it a "
                "row of its own, as int8_finished is"
            )
        if values["_target_"] == INC:
            options = decode(values["options"], SearchOptions)
            wrong = inconsistent_search(options, f"{at}.options")
            if wrong is not None:  # rows take their options from tuning
                yield inconsistent_search(shared, "tuning") or wrong


def wrong_search(options: object) -> str | None:
    """Return what is wrong with a search's options where a user's own class gives them."""
    wrong = fault(options, SearchOptions, "options", new=True)
    if wrong is not None:
        return advice(wrong)
    return inconsistent_search(decode(options, SearchOptions), "options")


def takes_text(key: str) -> bool:
    """Say whether what is typed for a dotted key is a text: a name, a path, or one of some words.

    Such a value is never read as a number (``harness/words/overrides.py``).
    """
    return any(_matches(pattern, key.split(".")) for pattern in _text_keys())


@cache
def _text_keys() -> frozenset[tuple[str, ...]]:
    return frozenset(text_keys(Configuration))


def _matches(pattern: tuple[str, ...], key: list[str]) -> bool:
    return len(pattern) == len(key) and all(p in ("*", k) for p, k in zip(pattern, key))
