"""Runs beside each other, methods by machines: pure functions of the records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.compare.columns.column import Classes, Column, ComparedRun
from harness.compare.columns.machine_types import make_columns
from harness.compare.columns.method_values import MethodInRun, labels_of, method_in_column
from harness.compare.columns.rankings import Ranked, rank
from harness.compare.unlike import Unlike, unlike
from harness.stats.accuracy import McNemar, mcnemar
from harness.storage.same_run import same_images
from harness.table.row_names import names_of


@dataclass(frozen=True)
class Line:
    """A method in all columns, in their order."""

    method: str
    label: str
    entries: tuple[MethodInRun, ...]


@dataclass(frozen=True)
class Disagreement:
    """The images for which one method predicts different classes in two columns' first runs.

    Attributes:
        first, second: indices of the columns.
        images: how many were compared; 0 with the reason in ``left_out``.
        same_model: the two validated models are equal byte by byte; else each run made its own.
        index: (d,), of the images that differ, ascending.
        label, ours, theirs: (d,), their labels and the first and the second run's predictions.
        test: of equal accuracy on these images.
    """

    method: str
    name: str
    first: int
    second: int
    images: int
    same_model: bool
    index: Classes
    label: Classes
    ours: Classes
    theirs: Classes
    test: McNemar | None
    left_out: str = ""

    @property
    def neither(self) -> int:
        """How many of the differing images both runs got wrong."""
        return int(((self.ours != self.label) & (self.theirs != self.label)).sum())


@dataclass(frozen=True)
class Comparison:
    """The contents of a comparison.

    Attributes:
        unlike: what differs between the runs, in the order of ``runs``.
        ranked: the methods that several machines of at least two types were measured by.
    """

    columns: tuple[Column, ...]
    unlike: tuple[Unlike, ...]
    lines: tuple[Line, ...]
    disagreements: tuple[Disagreement, ...]
    ranked: tuple[Ranked, ...] = ()

    @property
    def runs(self) -> list[ComparedRun]:
        """All runs, column by column."""
        return [run for column in self.columns for run in column.runs]

    @property
    def is_pooled(self) -> bool:
        """Whether a column stands for several machines."""
        return any(column.is_pooled for column in self.columns)


def compare(runs: Sequence[ComparedRun], pool: bool = True) -> Comparison:
    """Compare runs, the first column being the one that the others' times are relative to.

    Args:
        pool: whether runs on machines of one type are one column.
    """
    columns = make_columns(runs, pool)
    firsts = [column.first for column in columns]
    names = names_of(labels_of(columns))
    lines = [
        Line(
            method,
            label,
            tuple(method_in_column(method, column, columns[0]) for column in columns),
        )
        for method, label in names.items()
    ]
    pairs = [
        disagreement(method, label, firsts, first, second)
        for method, label in names.items()
        for first, second in combinations(range(len(firsts)), 2)
        if method in firsts[first].predictions and method in firsts[second].predictions
    ]
    ranked = [rank(line.method, line.label, line.entries, columns) for line in lines]
    members = [run for column in columns for run in column.runs]
    return Comparison(
        tuple(columns),
        tuple(unlike([run.plan for run in members])),
        tuple(lines),
        tuple(pairs),
        tuple(one for one in ranked if one is not None),
    )


def disagreement(
    method: str, name: str, runs: Sequence[ComparedRun], first: int, second: int
) -> Disagreement:
    """Return the images on which two runs' predictions by one method differ."""
    one, other = runs[first], runs[second]
    same_model = method in one.models and one.models[method] == other.models.get(method)
    none = np.zeros(0, np.int64)
    if not same_images(one.plan, other.plan):
        return Disagreement(
            method, name, first, second, 0, same_model, none, none, none, none, None,
            "the runs validated different images",
        )  # fmt: skip
    ours, theirs, labels = one.predictions[method], other.predictions[method], one.labels
    index = np.flatnonzero(ours != theirs)
    return Disagreement(
        method,
        name,
        first,
        second,
        len(labels),
        same_model,
        index,
        labels[index],
        ours[index],
        theirs[index],
        mcnemar(ours == labels, theirs == labels),
    )
