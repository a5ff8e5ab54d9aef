"""The machines that a fleet is to measure, by type, as the user types them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import InputError

ALL = "all"
EXAMPLES = "[c6i.4xlarge,c7i.4xlarge], or {c7i.4xlarge: 3}"
COUNT = re.compile(r"[1-9]\d{0,3}")


@dataclass(frozen=True)
class Chosen:
    """The machines that a fleet measures.

    Attributes:
        counts: how many of each type, None for all that there are; empty for every type.
        every: how many of a type without a count of its own; None for all.
        key: the words that say so.
    """

    counts: Mapping[str, int | None]
    every: int | None
    key: str

    def number(self, name: str) -> int | None:
        """Return how many machines of a type are measured; None for all that there are."""
        own = self.counts.get(name)
        return self.every if own is None else own


def chosen_machines(machines: str, each: str) -> Chosen:
    """Return the machines that ``machines=`` and ``fleet.each=`` choose.

    Args:
        machines: ``all``, ``[NAME,...]`` or ``{NAME: N,...}``.
        each: how many of each type; empty for all.

    Raises:
        InputError: one of them is neither, or a number is none from 1 on.
    """
    if each and not COUNT.fullmatch(each):
        raise InputError(f"fleet.each={each}: use a whole number from 1 on")
    counted = machines.strip().startswith("{")
    words = [word.strip() for word in machines.strip().strip("[]{}").split(",") if word.strip()]
    counts: dict[str, int | None] = {}
    for word in words:
        name, colon, number = (part.strip() for part in word.partition(":"))
        if bool(colon) != counted or not name or (counted and not COUNT.fullmatch(number)):
            raise InputError(f"machines={machines}: {word} is none of {ALL}, {EXAMPLES}")
        if counted and name == ALL:
            raise InputError(
                f"machines={machines}: for so many of each type give fleet.each={number}"
            )
        if name in counts:
            raise InputError(f"machines={machines}: {name} is named twice")
        counts[name] = int(number) if counted else None
    if not counts:
        raise InputError(f"machines={machines}: use {ALL}, or such as {EXAMPLES}")
    key = f"machines={machines}" if counted else f"fleet.each={each}"
    return Chosen({} if list(counts) == [ALL] else counts, int(each) if each else None, key)
