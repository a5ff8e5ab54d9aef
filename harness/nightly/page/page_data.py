"""The data of the page, small enough for years of nights: whole numbers in a unit of each line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.facts.typed import JsonObject
from harness.nightly.entry import NightEntry
from harness.nightly.page.software_changes import SoftwareChange
from harness.nightly.page.trends import SHOWN, Floats, Trend
from harness.render.escape import plain

DIGITS = 5  # of a line's typical value
SCRIPT_ENDS = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def page_data(
    nights: Sequence[NightEntry],
    lines: Sequence[Trend],
    changes: Sequence[SoftwareChange],
    links: Sequence[Mapping[str, str]],
    names: Mapping[str, str],
) -> JsonObject:
    """Return what the script of the page draws.

    Args:
        nights: oldest first.
        links: of each night, by what they lead to, relative to the page.
        names: of the methods, for people.
    """
    methods = list(dict.fromkeys(line.method for line in lines))
    return {
        "nights": [
            [night.run, night.created, night.verdict or "", link]
            for night, link in zip(nights, links)
        ],
        "metrics": [[metric.name, metric.title, metric.unit] for metric in SHOWN],
        "methods": [[method, names.get(method, method)] for method in methods],
        "lines": [_packed(line) for line in lines],
        "marks": [mark for at, night in enumerate(nights) for mark in _marks(at, night)],
        "changes": [[change.night, change.kind, list(change.lines)] for change in changes],
    }


def as_script(data: JsonObject) -> str:
    """Return JSON for a script element, which no text in it can end or turn around."""
    text = json.dumps(_plain(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(SCRIPT_ENDS)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):  # most of a page are whole numbers
        return [item if type(item) is int else _plain(item) for item in value]
    return value


def _packed(line: Trend) -> JsonObject:
    """Return a line as whole numbers: values in ``unit``, all others as differences from them."""
    known = np.abs(line.value[~np.isnan(line.value)])
    typical = float(np.median(known)) or float(known.max()) or 1.0
    unit = 10.0 ** (math.floor(math.log10(typical)) + 1 - DIGITS)
    values = np.round(line.value / unit)
    others = [
        np.round(part / unit) - values
        for part in (line.low, line.high, line.base_low, line.base_high)
    ]
    return {
        "method": line.method,
        "metric": line.metric.name,
        "unit": unit,
        "values": _whole(values),
        **{key: _whole(part) for key, part in zip(("low", "high", "baseLow", "baseHigh"), others)},
    }


def _whole(numbers: Floats) -> list[int | None]:
    """Return whole numbers, None for NaN, without the unknown ones at the end."""
    whole = [None if math.isnan(number) else int(number) for number in numbers.tolist()]
    while whole and whole[-1] is None:
        whole.pop()
    return whole


def _marks(at: int, night: NightEntry) -> list[list[Any]]:
    """Return the marks of a night: its place, method, metric, kind, and what is said of it."""
    said = {regression.key: regression for regression in night.open}
    marks = []
    for key in sorted(night.regressions):
        open_ = said.get(key)
        is_new = open_ is None or not open_.is_notified
        kind = "regression" if is_new else "open"
        marks.append([at, *key, kind, open_.said if open_ else ""])
    for key, regression in said.items():
        if key not in night.regressions:
            marks.append([at, *key, "open", f"{regression.said}, since run {regression.since}"])
    marks += [[at, *key, "improvement", ""] for key in sorted(night.improved)]
    marks += [[at, *key, change, ""] for key, change in sorted(night.changed.items())]
    marks += [
        [at, *key, "acknowledged", reason]
        for key, reason in sorted((night.acknowledged or {}).items())
    ]
    return marks
