"""The cells of the history's tables: what is written into them, and what is read and checked again."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any, Optional

import msgspec
import numpy as np

from harness.facts.faults import is_name
from harness.facts.typed import JsonObject, decode, plain
from harness.nightly.entry import Change, NightEntry, NightRow, opened_by
from harness.nightly.night import MeasuredShift, Regression
from harness.nightly.verdict import Bools, Floats, Key

RUN_COLUMNS = (  # of the table of runs, after those that name a run
    "created", "folder", "alike", "environment", "verdict", "shifted", "regressions", "acknowledged",
    "improved", "open", "changed", "trusts_disturbed", "compared_with",
)  # fmt: skip
ROW_COLUMNS = (  # of the table of rows, after those that name a run and the row's position
    "method", "label", "outcome", "cost_s", "model", "rounds", "times", "images", "correct",
    "disturbed", "optimize_mb", "validate_mb",
)  # fmt: skip
ENCODER = msgspec.json.Encoder(order="sorted")
Answers = dict[tuple[bytes, Optional[int]], Bools]  # by their cells: bits, and how many images


def _json(value: Any) -> str:
    """Return a value of JSON's types, or dataclasses, as text, which is the same for the same value."""
    try:
        return ENCODER.encode(value).decode()
    except UnicodeEncodeError:  # half of a character, such as of a word that is not UTF-8
        return json.dumps(plain(value), sort_keys=True)


def run_cells(entry: NightEntry) -> tuple[Any, ...]:
    """Return the cells of a run, of ``RUN_COLUMNS``."""
    known = [[*row, reason] for row, reason in sorted((entry.acknowledged or {}).items())]
    return (
        _whole(entry.created),
        entry.folder,
        _json(entry.alike),
        _json(entry.environment),
        entry.verdict,
        _json(sorted(list(shift) for shift in entry.shifted)),
        _json(sorted(list(row) for row in entry.regressions)),
        _json(known),
        _json(sorted(list(row) for row in entry.improved)),
        _json(entry.open),
        _json([[*row, change] for row, change in sorted(entry.changed.items())]),
        int(entry.trusts_disturbed),
        entry.compared_with,
    )


def row_cells(row: NightRow) -> tuple[Any, ...]:
    """Return the cells of a row, of ``ROW_COLUMNS``."""
    times, correct = row.times, row.correct
    return (
        row.method,
        _whole(row.label),
        _whole(row.outcome),
        row.cost_s,
        row.model,
        None if times is None else len(times),
        None if times is None else times.astype("<f8").tobytes(),
        None if correct is None else correct.shape[1],
        None if correct is None else np.packbits(correct, axis=1).tobytes(),
        row.disturbed,
        row.optimize_mb,
        row.validate_mb,
    )


def _whole(text: str) -> str:
    """Return a text that UTF-8 can hold: half a character, of bytes that are no text, as an escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def row_of(
    shared: Answers,
    method: str,
    label: str,
    outcome: str,
    cost_s: float | None,
    model: str | None,
    rounds: int | None,
    times: bytes | None,
    images: int | None,
    correct: bytes | None,
    disturbed: int | None,
    optimize_mb: float | None,
    validate_mb: float | None,
) -> NightRow:
    """Return the row of its cells, of ``ROW_COLUMNS``.

    Args:
        shared: what was read before: rows of unchanged models answer alike, and share it.

    Raises:
        ValueError: a cell holds what no row has.
    """
    seconds: Floats | None = None
    right: Bools | None = None
    if times is not None:
        seconds = np.frombuffer(times, "<f8").reshape(rounds or 0, -1)
        # a NaN is neither
        if seconds.size and not (seconds.min() > 0 and seconds.max() < math.inf):
            raise ValueError(f"a time of {method} is not positive and finite")
    if correct is not None:
        right = shared.get((correct, images))
        if right is None:
            bits = np.frombuffer(correct, np.uint8).reshape(2, -1)
            if not 0 < (images or 0) <= 8 * bits.shape[1]:
                raise ValueError(f"{images} images of {method} in {bits.shape[1]} bytes")
            right = shared[correct, images] = np.unpackbits(bits, axis=1, count=images).view(bool)
    figures = {"cost": cost_s, "memory": optimize_mb, "memory of validating": validate_mb}
    for name, figure in figures.items():
        if figure is not None and not (isinstance(figure, (int, float)) and 0 <= figure < math.inf):
            raise ValueError(f"the {name} of {method} is {figure!r}")
    if model is not None:
        text_of(model)
    if not (disturbed is None or (isinstance(disturbed, int) and disturbed >= 0)):
        raise ValueError(f"the disturbed rounds of {method} are {disturbed!r:.60}")
    return NightRow(
        text_of(method),
        text_of(label),
        text_of(outcome),
        cost_s,
        seconds,
        right,
        model,
        disturbed,
        optimize_mb,
        validate_mb,
    )


def keys(text: str) -> frozenset[Key]:
    return frozenset((text_of(method), text_of(metric)) for method, metric in json.loads(text))


def shifts_of(text: str) -> frozenset[MeasuredShift]:
    """Return the shifts of a run; those without a place are of an earlier version and say nothing."""
    placed = [MeasuredShift(*shift) for shift in json.loads(text) if not isinstance(shift, str)]
    if not all(0 < float(shift.ratio) < math.inf for shift in placed):
        raise ValueError(f"the ratio of a shift is not positive and finite: {text:.60}")
    if not all(isinstance(shift.is_controlled, bool) for shift in placed):
        raise ValueError(f"whether a shift is controlled is neither true nor false: {text:.60}")
    return frozenset(
        shift._replace(
            method=text_of(shift.method), since=text_of(shift.since), ratio=float(shift.ratio)
        )
        for shift in placed
    )


def changes_of(text: str) -> dict[Key, Change]:
    """Return how rows changed without being worse or better, by method and metric."""
    return decode(
        {(method, metric): change for method, metric, change in json.loads(text)},
        dict[tuple[str, str], Change],
    )


def with_open(entry: NightEntry, stored: str | None) -> NightEntry:
    """Return an entry with its open regressions; its own ones where it was kept without them."""
    if stored is None:
        return replace(entry, open=opened_by(entry))
    return replace(entry, open=tuple(decode(json.loads(stored), list[Regression])))


def name_of(machine: object) -> str:
    """Return the name of a machine: pages are written into the folder of that name."""
    if not isinstance(machine, str) or not is_name(machine):
        raise ValueError(f"{machine!r:.60} is no name")
    return machine


def folder_of(cell: object) -> str:
    """Return the folder of a run, which stays inside the results."""
    folder = text_of(cell)
    if not all(is_name(part) for part in folder.split("/")):
        raise ValueError(f"{folder!r:.60} is no folder of a run")
    return folder


def text_of(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.60} is no text")
    return value


def object_of(text: Any) -> JsonObject:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.60} is no object")
    return value
