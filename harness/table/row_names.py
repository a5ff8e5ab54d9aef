"""The names of rows for people: their labels, with the method where labels do not tell rows apart."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.render.escape import one_line
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord

LONGEST = 80  # characters of a label that fit into a table
HEAD = 55  # of them, from its beginning
_UNSEEN = {  # letters, marks and signs that draw nothing, besides Unicode's controls and formats
    *map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0)),
    *map(chr, (*range(0x180B, 0x180F), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))),
}


def named(plan: RunPlan, records: Sequence[MethodRecord]) -> list[MethodRecord]:
    """Return records whose labels tell them apart, among all rows of their plan."""
    labels = {method: chosen.label for method, chosen in plan.methods.items()}
    names = names_of({**labels, **{record.method: record.label for record in records}})
    return [replace(record, label=names[record.method]) for record in records]


def names_of(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the name of each row for people, by method.

    That is its label, on one line and not too long, and the name of its method where the label is
    blank. The name follows in parentheses where a reader could not tell the label from another row's:
    the two are equal, or differ in no more than case, spaces and characters that nobody sees.

    Args:
        labels: by the method's name.
    """
    short = {
        method: _shortened(one_line(label)) if _seen(label) else method
        for method, label in labels.items()
    }
    names = dict(short)
    alike: set[str] = set()
    while True:
        counts = Counter(_seen(name) for name in names.values())
        now = alike | {method for method, name in names.items() if counts[_seen(name)] > 1}
        if now == alike:
            return names
        alike = now
        names |= {method: f"{short[method]} ({method})" for method in alike}


def _shortened(label: str) -> str:
    if len(label) <= LONGEST:
        return label
    return f"{label[:HEAD]}…{label[HEAD - LONGEST + 1 :]}"


def _seen(label: str) -> str:
    """Return what a reader sees of a label."""
    shown = (
        char
        for char in unicodedata.normalize("NFKC", label)
        if not unicodedata.category(char).startswith("C") and char not in _UNSEEN
    )
    return " ".join("".join(shown).casefold().split())
