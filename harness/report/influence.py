"""Which operators' quantisation hurts those behind them: errors before and after an exclusion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One operator tried in fp32.

    Attributes:
        after: every operator's error with it in fp32, in the operators' order.
        reduction: by how much the errors fell, summed over those that are finite.
        kept: it stayed in fp32.
    """

    excluded: str
    after: tuple[float, ...]
    reduction: float
    kept: bool


@dataclass(frozen=True)
class Influence:
    """A row's operators and what was tried.

    Attributes:
        before: every operator's error with all of them quantised.
        threshold: the error from which on an operator is tried in fp32, None if not known.
    """

    label: str
    operators: tuple[str, ...]
    before: tuple[float, ...]
    steps: tuple[Step, ...]
    threshold: float | None

    @property
    def shown(self) -> list[Step]:
        """The exclusions that were kept, or the one that helped most where none was."""
        kept = [step for step in self.steps if step.kept]
        return kept or [max(self.steps, key=lambda step: step.reduction)]


def influence(
    label: str, rows: Sequence[Mapping[str, str]], threshold: float | None
) -> Influence | None:
    """Return what ``operator_influence.csv`` says; None where nothing was tried.

    Args:
        rows: excluded, operator, error_before, error_after, kept; those of one exclusion together.

    Raises:
        KeyError, ValueError: a column is missing or holds no number.
    """
    tried: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        tried.setdefault(row["excluded"], []).append(row)
    if not tried:
        return None
    first = next(iter(tried.values()))
    operators = tuple(row["operator"] for row in first)
    before = tuple(float(row["error_before"]) for row in first)
    steps = []
    for excluded, found in tried.items():
        errors = {row["operator"]: float(row["error_after"]) for row in found}
        falls = (float(row["error_before"]) - float(row["error_after"]) for row in found)
        steps.append(
            Step(
                excluded,
                tuple(errors.get(name, math.nan) for name in operators),
                math.fsum(fall for fall in falls if math.isfinite(fall)),
                found[0]["kept"] == "True",
            )
        )
    return Influence(label, operators, before, tuple(steps), threshold)
