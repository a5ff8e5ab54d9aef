"""Simulated years of nights, judged by the functions that judge a real night.

No process is started: a night's times, costs and answers are drawn from a model of a host, and
measuring suspected rows again is drawn from the same model, both models of a row in turn within one
hour. A false regression is acknowledged the next morning, as its reader would, and counts once.
"""

from __future__ import annotations

import copy
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from harness.nightly.baseline import last_good
from harness.nightly.disturbed import Disturbances
from harness.nightly.entry import NightEntry, NightRow
from harness.nightly.night import Night
from harness.nightly.remeasure import Again
from harness.nightly.sequential_test import LOOKS, Confirmation, confirm
from harness.nightly.suspects import Means, Seen, judge_night
from harness.nightly.verdict import NIGHTLY

METHODS = ("fp32", "fp32_fused", "int8", "int8_smart", "int8_mse", "int8_equalized")
ROUNDS, BATCHES = 20, 3
RUNS = 5  # of a baseline
BATCH = "batch_s"
BEGIN = 40  # the night that a change begins in
SOFTWARE = {"fixed": 10**6, "weekly": 7, "nightly": 1}  # nights that it stays the same

Floats = npt.NDArray[np.float64]
Change = Callable[[int], float]  # of a night, a factor


@dataclass(frozen=True)
class Host:
    """A model of a host's noise, of log times.

    Attributes:
        night: sd of what all methods of a night share, with correlation ``memory`` to the night before.
        method: sd of what a night does to one method.
        round: sd of a round.
        busy: chance of a night with a neighbour, who adds up to ``busy_adds`` to all and a third of
            it to single rounds.
        slow: chance that an hour is slower by ``slow_adds``.
        turns: how far the two instances lie apart that take turns.
        step: what all methods take more from half of the year on; a tenth of it differs by method.
    """

    night: float
    method: float
    round: float
    memory: float = 0.0
    busy: float = 0.0
    busy_adds: float = 0.15
    slow: float = 0.0
    slow_adds: float = math.log(1.1)
    turns: float = 0.0
    step: float = 0.0


QUIET = Host(0.003, 0.004, 0.005)
SHARED = Host(0.03, 0.008, 0.02, memory=0.5)
HOSTS: dict[str, Host] = {
    "quiet": QUIET,
    "shared": SHARED,
    "noisy neighbour": Host(0.005, 0.005, 0.01, busy=0.2),
    "slow hours": Host(0.005, 0.005, 0.01, slow=0.1),
    "alternating instances": Host(0.003, 0.004, 0.005, turns=math.log(1.04)),
    "thermal step": Host(0.003, 0.004, 0.005, step=math.log(1.08)),
}


def constant(night: int) -> float:
    return 1.0


def nothing(night: int) -> float:
    return 0.0


@dataclass(frozen=True)
class Course:
    """What truly happens over the nights, by method a factor of a night.

    Attributes:
        model: of times, by the row's own model; timing in turn shows it.
        library: of times, by the environment; both models have it.
        cost: of the cost of optimising.
        lost: images that are answered wrongly in a night, of ``images``.
        failed: nights in which the row fails.
        events: nights from which the software is new, besides ``Year.software``.
        acknowledged: nights whose rows are acknowledged.
    """

    model: Mapping[str, Change] = field(default_factory=dict)
    library: Mapping[str, Change] = field(default_factory=dict)
    cost: Mapping[str, Change] = field(default_factory=dict)
    lost: Mapping[str, Change] = field(default_factory=dict)
    failed: Mapping[str, Sequence[int]] = field(default_factory=dict)
    events: Sequence[int] = ()
    acknowledged: Sequence[int] = ()
    images: int = 400

    def changed(self) -> set[str]:
        return {
            method for part in (self.model, self.library, self.cost, self.lost) for method in part
        }


class Year:
    """Nights of one host and one course, drawn and judged one after the other."""

    def __init__(self, host: Host, software: str, course: Course, nights: int, seed: int) -> None:
        self._host, self._course, self._nights = host, course, nights
        self._stays = SOFTWARE[software]
        self._random = np.random.default_rng(seed)
        self._by_method = dict(zip(METHODS, self._random.standard_normal((len(METHODS), 2))))
        self._shared = 0.0
        self._right = self._random.random(course.images) < 0.8
        self.entries: list[NightEntry] = []

    def judge(self) -> list[Night]:
        """Return all nights as they are judged; false regressions are acknowledged."""
        return [self.next_night() for _ in range(len(self.entries), self._nights)]

    def next_night(self) -> Night:
        """Return the next night as it is judged; the year remembers it."""
        number = len(self.entries)
        entry = self._entry(number)
        night = judged_night(entry, self.entries, partial(self._again, number))
        self.entries.append(self._kept(number, entry, night))
        return night

    def branch(self, course: Course) -> Year:
        """Return the year as it goes on with another course; both go on alike but for that."""
        other = copy.copy(self)
        other._course, other.entries = course, list(self.entries)
        other._random = copy.deepcopy(self._random)
        return other

    def _kept(self, number: int, entry: NightEntry, night: Night) -> NightEntry:
        """Return a night as the history keeps it."""
        kinds = {
            kind: frozenset(row.key for row in night.rows if row.kind == kind)
            for kind in ("regression", "improvement")
        }
        changed = self._course.changed()
        known = {key: "nothing happened" for key in kinds["regression"] if key[0] not in changed}
        if number in self._course.acknowledged:
            known |= {(method, BATCH): "known" for method in changed}
        return replace(
            entry,
            verdict=night.verdict,
            regressions=kinds["regression"],
            improved=kinds["improvement"],
            shifted=frozenset(night.tested),
            open=night.open,
            acknowledged=known,
        )

    def _entry(self, number: int) -> NightEntry:
        host, random = self._host, self._random
        innovation = math.sqrt(1 - host.memory**2) * random.standard_normal()
        self._shared = host.memory * self._shared + innovation
        hour, busy = self._hour(number, self._shared)
        rows = []
        for method in METHODS:
            if number in self._course.failed.get(method, ()):
                rows.append(NightRow(method, method, "failed: killed"))
                continue
            own = hour + self._own(method, number) + host.method * random.standard_normal()
            rows.append(
                NightRow(
                    method,
                    method,
                    "ok",
                    self._cost(method, number),
                    self._times(own + self._true(method, number), ROUNDS, busy),
                    self._answers(method, number),
                    self._model(method, number),
                    0,
                )
            )
        return NightEntry(
            "m", f"n{number:03d}", f"{2026 + number // 336}-{number // 28 % 12 + 1:02d}-"
            f"{number % 28 + 1:02d}T00:00:00Z", "", {}, {"code": self._code(number)}, tuple(rows),
        )  # fmt: skip

    def _code(self, number: int) -> str:
        return f"{number // self._stays}.{sum(number >= event for event in self._course.events)}"

    def _hour(self, number: int, shared: float) -> tuple[float, float]:
        """Return what an hour adds to all times, and what a neighbour adds to single rounds."""
        host, random = self._host, self._random
        hour = host.night * shared + host.turns * (number % 2)
        hour += host.slow_adds * (random.random() < host.slow)
        is_busy = random.random() < host.busy
        return hour + is_busy * host.busy_adds * random.random(), is_busy * host.busy_adds / 3

    def _own(self, method: str, number: int) -> float:
        """Return what the host does to one method for good: instances and heat are not alike to all."""
        instance, heat = self._by_method[method]
        is_late = number >= self._nights // 2
        turns = 0.1 * self._host.turns * instance * (number % 2)
        return float(turns + self._host.step * is_late * (1 + 0.1 * heat))

    def _true(self, method: str, number: int, model: int | None = None) -> float:
        course, of = self._course, number if model is None else model
        own = course.model.get(method, constant)(of)
        return math.log(own * course.library.get(method, constant)(number))

    def _times(self, value: float, rounds: int, busy: float) -> Floats:
        host, random = self._host, self._random
        of_rounds = host.round * random.standard_normal((rounds, 1))
        of_rounds = of_rounds + busy * random.exponential(size=(rounds, 1))
        times: Floats = 0.1 * np.exp(value + of_rounds + np.zeros((rounds, BATCHES)))
        return times

    def _cost(self, method: str, number: int) -> float:
        factor = self._course.cost.get(method, constant)(number)
        return 10 * factor * math.exp(0.03 * self._random.standard_normal())

    def _answers(self, method: str, number: int) -> npt.NDArray[np.bool_]:
        right = self._right
        lost = round(self._course.lost.get(method, nothing)(number))
        if lost:
            right = right.copy()
            right[np.flatnonzero(right)[:lost]] = False
        return np.stack([right, self._right])

    def _model(self, method: str, number: int) -> str:
        course = self._course
        parts = (course.model.get(method, constant), course.lost.get(method, constant))
        return f"{method}/{zlib.crc32(repr([part(number) for part in parts]).encode()):x}"

    def _again(
        self, number: int, entry: NightEntry, slower: Mapping[str, NightEntry], other: Sequence[str]
    ) -> Again:
        """Measure rows again within the hour after the night: those slower in turn, others anew."""
        hour, busy = self._hour(number, 0.8 * self._shared + 0.6 * self._random.standard_normal())
        now, before = {}, {}
        for method, earlier in slower.items():
            own = hour + self._own(method, number)
            model = int(earlier.run[1:])
            now[method] = self._times(own + self._true(method, number), ROUNDS * LOOKS, busy)
            before[method] = self._times(
                own + self._true(method, number, model), ROUNDS * LOOKS, busy
            )
        rows = []
        for method in dict.fromkeys([*slower, *other]):
            row = entry.row(method)
            assert row is not None
            times = now.get(method, row.times)
            cost = self._cost(method, number) if method in other else None
            rows.append(replace(row, times=times, cost_s=cost))
        runs = {method: earlier.run for method, earlier in slower.items()}
        again = replace(entry, run=f"{entry.run}-again", rows=tuple(rows))
        return Again(again.run, again, _looks(before, now), runs)


def judged_night(
    entry: NightEntry,
    earlier: Sequence[NightEntry],
    again: Callable[[NightEntry, Mapping[str, NightEntry], Sequence[str]], Again],
) -> Night:
    """Judge a night as ``./run.sh nightly`` does, but for measuring again."""
    means = Means(partial(again, entry), lambda night: None, lambda line: None, RUNS)
    baseline = last_good(earlier, entry.alike, RUNS)
    return judge_night(entry, earlier, baseline, Seen(Disturbances()), means)


def _looks(before: Mapping[str, Floats], now: Mapping[str, Floats]) -> dict[str, Confirmation]:
    decided: dict[str, Confirmation] = {}
    pending = list(now)
    for look in range(1, LOOKS + 1):
        upto = look * ROUNDS
        for state in confirm(
            {method: before[method][:upto] for method in pending},
            {method: now[method][:upto] for method in pending},
            look,
            NIGHTLY,
            rows=len(now),
        ):
            decided[state.method] = state
        pending = [method for method in pending if decided[method].state == "open"]
    return decided


def red(nights: Sequence[Night], method: str, metric: str = BATCH) -> list[int]:
    """Return the nights that are red for a row."""
    return [at for at, night in enumerate(nights) if (method, metric) in
            {row.key for row in night.regressions}]  # fmt: skip


def step(factor: float, begin: int = BEGIN, end: int = 10**6) -> Change:
    """Return a change by a factor from one night until another."""
    return lambda night: factor if begin <= night < end else 1.0
