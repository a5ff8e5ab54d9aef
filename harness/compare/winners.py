"""Which row on which machine is the fastest, the cheapest, makes most of its roof, and serves most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.compare.columns.column import Column
from harness.compare.columns.method_values import MethodInRun
from harness.compare.comparison import Comparison, Line
from harness.compare.grid import titles
from harness.stats.intervals import Interval
from harness.storage.outcomes import OK
from harness.table.metrics import QUERIES, THROUGHPUT
from harness.table.searches import is_accurate_enough
from harness.table.served.rates import NO_RATE

APART, TOGETHER, UNKNOWN = (
    "their intervals do not overlap",
    "their intervals overlap, so these runs do not tell which is better",
    "without intervals for both, these runs do not tell which is better",
)
NOT_KNOWN = "no row is known to meet the criterion of the tuning"


@dataclass(frozen=True)
class Question:
    """A question that a comparison answers.

    Attributes:
        key: of the values and intervals of a MethodInRun.
        title: with the words after which the winner is named.
        shown: returns a value as text.
        unit: of the values, in a column.
        value: of a method in a run, None where it has none.
        highest: whether more is better.
        missing: what to do where no run has a value.
    """

    key: str
    title: str
    shown: Callable[[float], str]
    unit: Callable[[Column], str]
    value: Callable[[MethodInRun], float | None]
    highest: bool
    missing: str

    def interval(self, entry: MethodInRun) -> Interval | None:
        """Return the 95 % interval of the value of a method in a run, where it has one."""
        own = entry.row.intervals if entry.row else {}
        return entry.intervals.get(self.key) or own.get(self.key)


@dataclass(frozen=True)
class Candidate:
    """A method in a run, with its value and the 95 % interval of that."""

    label: str
    machine: str
    run: int
    value: float
    unit: str
    interval: Interval | None


@dataclass(frozen=True)
class Winner:
    """The answer to a question.

    Attributes:
        first: the best row that is accurate enough; None where none has a value.
        second: the best one of another run; None where there is none.
        missing: why there is none.
    """

    question: Question
    first: Candidate | None
    second: Candidate | None
    missing: str

    @property
    def answer(self) -> str:
        """The winner by name, or why there is none and what to do for one."""
        if self.first is None:
            return self.missing
        return f"{self.first.label} on {self.first.machine}"

    @property
    def value(self) -> str:
        """The winner's value with its interval."""
        return _shown(self.question, self.first) if self.first else ""

    @property
    def next(self) -> str:
        """The best of the other machines, and whether the two can be told apart."""
        if self.first is None or self.second is None:
            return ""
        one, other = self.first, self.second
        if one.interval is None or other.interval is None:
            sure = UNKNOWN
        elif one.interval.low > other.interval.high or other.interval.low > one.interval.high:
            sure = APART
        else:
            sure = TOGETHER
        return f"{other.label} on {other.machine}, {_shown(self.question, other)}: {sure}"


QUESTIONS = (
    Question(
        "images_per_s",
        "Fastest",
        lambda value: THROUGHPUT.shown(value, ""),
        lambda column: "images/s",
        lambda entry: entry.row.images_per_s if entry.row else None,
        True,
        "no row has a time",
    ),
    Question(
        "cost",
        "Cheapest",
        lambda value: f"{value:.3g}",
        lambda column: f"{column.price.currency} for a million images",
        lambda entry: entry.cost,
        False,
        "no machine has a price: give price.MACHINE=N",
    ),
    Question(
        "share",
        "Most of its roof",
        lambda value: f"{100 * value:.1f}",
        lambda column: "%",
        lambda entry: entry.share.value,
        True,
        "no share of a roof is known: the notes say why",
    ),
)


def _rate_of_all(entry: MethodInRun) -> float | None:
    """Return the rate of queries; None where a machine of the column kept the target at no rate."""
    served = entry.served
    return None if served is None or served.without else served.queries_per_s


SERVER_QUESTION = Question(
    QUERIES.name,
    "Most queries in time",
    lambda value: QUERIES.shown(value, ""),
    lambda column: QUERIES.unit,
    _rate_of_all,
    True,
    NO_RATE,
)


def winners(comparison: Comparison) -> list[Winner]:
    """Return the answer to each question, among the rows that are known to be accurate enough.

    The server's is asked where a rate of queries was searched.
    """
    is_served = any(entry.served for line in comparison.lines for entry in line.entries)
    questions = (*QUESTIONS, SERVER_QUESTION) if is_served else QUESTIONS
    return [_winner(question, comparison) for question in questions]


def _winner(question: Question, comparison: Comparison) -> Winner:
    names = titles(comparison)
    candidates, has_others = [], False
    for line in comparison.lines:
        for number, (entry, column) in enumerate(zip(line.entries, comparison.columns)):
            if entry.row is None or entry.outcome != OK:
                continue
            unit = question.unit(column)
            candidate = _candidate(question, line, entry, number, names[number], unit)
            if candidate is None:
                continue
            if is_accurate_enough(entry.row, column.first.plan):
                candidates.append(candidate)
            else:
                has_others = True
    best_first = sorted(candidates, key=lambda one: one.value, reverse=question.highest)
    first = best_first[0] if best_first else None
    others = [one for one in best_first if first is not None and one.run != first.run]
    missing = NOT_KNOWN if has_others else question.missing
    return Winner(question, first, others[0] if others else None, missing)


def _candidate(
    question: Question, line: Line, entry: MethodInRun, number: int, machine: str, unit: str
) -> Candidate | None:
    value = question.value(entry)
    if value is None:
        return None
    return Candidate(line.label, machine, number, value, unit, question.interval(entry))


def _shown(question: Question, one: Candidate) -> str:
    ends = ""
    if one.interval is not None:
        ends = f" [{question.shown(one.interval.low)}, {question.shown(one.interval.high)}]"
    return f"{question.shown(one.value)}{ends} {one.unit}"
