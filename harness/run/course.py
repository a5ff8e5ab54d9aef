"""How far a run is, and how long the rest takes, as earlier runs of this machine and its own rows tell.

A step is a stage of a row in a process of its own. A search has no known end, so only an earlier run of
the same search says how long one takes; where none does, nothing is said of the whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from statistics import fmean
from typing import Any, NamedTuple

import msgspec

from harness.errors import HarnessError
from harness.files.whole_files import load_json
from harness.storage.instances.instance_files import load_instances
from harness.storage.known_runs import planned_runs, readable_plan
from harness.storage.outcomes import NO_SOLUTION, OK
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord, Split
from harness.storage.served.server_files import load_server_records
from harness.storage.store import TRAJECTORY, RunFolder

OPTIMIZE, CONVERT = "optimize", "convert"
VALIDATE, PROFILE, MEASURE = "validate", "profile", "measure"
ALIKE = ("name", "images", "batch_size", "transform", "tuning")  # of the workload
SEARCHING = {"strategy", "criterion"}  # keys of INC's rows, and of an engine's accuracy control
MOST_RUNS = 5  # earlier ones that are read, the newest first


class _Trial(msgspec.Struct):
    seconds: float


class Step(NamedTuple):
    """A stage of a row; ``round`` is 0 for one that is no round."""

    method: str
    stage: str
    round: int = 0


def serving(method: str, split: Split) -> Step:
    """Return the search for a row's highest rate of queries in a split."""
    return Step(method, f"server, {split}")


class Course:
    """The steps of a run that are still to come, and how long each takes.

    Args:
        plan: of the run.
        known: seconds that steps of earlier runs took, rounds without their numbers.
        splits: in which the rows are measured after their rounds.
    """

    def __init__(
        self, plan: RunPlan, known: Mapping[Step, float], splits: Sequence[Split] = ()
    ) -> None:
        protocol = plan.config.protocol
        self._methods = list(plan.methods)
        self._endless = {
            Step(name, stage)
            for name, method in plan.methods.items()
            for stage, values in _searching(method.stored).items()
            if _is_search(values)
        }
        last = [VALIDATE, *([PROFILE] if protocol.profile_batches else [])]
        self._ahead = [
            Step(name, stage)
            for name, method in plan.methods.items()
            for stage in (OPTIMIZE, *([CONVERT] if method.engine else []), *last)
        ]
        self._ahead += [
            Step(method, stage, round_)
            for stage in (MEASURE, *map(str, splits))
            for round_ in range(1, protocol.rounds + 1)
            for method in self._methods
        ]
        if protocol.server is not None:
            self._ahead += [serving(method, split) for method in self._methods for split in splits]
        self._known = dict(known)
        self._own: dict[Step, float] = {}

    def place(self, step: Step) -> str:
        """Return which row of the run a step is of, in words; empty for a row that is not planned."""
        if step.method not in self._methods:
            return ""
        return f"row {self._methods.index(step.method) + 1} of {len(self._methods)}, "

    def named(self, step: Step) -> str:
        """Return what a search does; empty for other steps."""
        return "tuning" if self._is_endless(step) else ""

    def _is_endless(self, step: Step) -> bool:
        return step in self._endless

    @contextmanager
    def taking(self, step: Step) -> Iterator[None]:
        """Take a step in the block: it, and what comes before it, is no longer ahead."""
        if step.round:  # the rows of a round are shuffled
            first = next((at for at, each in enumerate(self._ahead) if each.round), 0)
            self._ahead = [each for each in self._ahead[first:] if each != step]
        elif step in self._ahead:
            del self._ahead[: self._ahead.index(step) + 1]
        began = time.monotonic()
        yield
        self._own[step._replace(round=0)] = time.monotonic() - began

    def drop(self, method: str) -> None:
        """Leave out what was ahead of a row that ended early."""
        self._ahead = [step for step in self._ahead if step.method != method]

    def drop_round(self, method: str, round_: int, split: Split | None = None) -> None:
        """Leave out a round of a row that is on disk: in a split, or by one process."""
        self.drop_step(Step(method, MEASURE if split is None else str(split), round_))

    def drop_step(self, done: Step) -> None:
        """Leave out a step whose result is on disk."""
        self._ahead = [step for step in self._ahead if step != done]

    def left(self, step: Step, elapsed: float) -> float | None:
        """Return the seconds that the run takes from now; None where a step has no known end.

        Args:
            step: that is taken now.
            elapsed: the seconds it took so far.
        """
        now = self._seconds(step)
        ahead = [self._seconds(each) for each in self._ahead]
        if now is None or None in ahead:
            return None
        return max(0.0, now - elapsed) + sum(each for each in ahead if each is not None)

    def _seconds(self, step: Step) -> float | None:
        """Return how long a step takes: as it took here, as it took earlier, as others of its kind."""
        step = step._replace(round=0)
        for known in (self._own, self._known):
            if step in known:
                return known[step]
        if self._is_endless(step):
            return None
        for known in (self._own, self._known):
            alike = [
                seconds
                for each, seconds in known.items()
                if each.stage == step.stage and not self._is_endless(each)
            ]
            if alike:
                return fmean(alike)
        return None


def course_of(plan: RunPlan, folder: RunFolder, splits: Sequence[Split] = ()) -> Course:
    """Return the course of a run, with what the earlier ones beside its folder tell."""
    known: dict[Step, float] = {}
    for earlier in _earlier(plan, folder):
        with suppress(HarnessError, OSError):  # a damaged one tells nothing
            for step, seconds in seconds_taken(plan, earlier):
                known.setdefault(step, seconds)
    course = Course(plan, known, splits)
    for row in folder.load_records():
        if row.outcome.finished and row.outcome.kind != OK:
            course.drop(row.method)
    for round_ in folder.load_rounds():
        if round_.outcome.kind == OK:
            course.drop_round(round_.method, round_.round)
    for together in load_instances(folder):
        if together.outcome.kind == OK:
            course.drop_round(together.method, together.round, together.split)
    for search in load_server_records(folder):
        if search.outcome.kind == OK:
            course.drop_step(serving(search.method, search.split))
    return course


def _searching(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that say whether a method searches, by the stage that would do it."""
    of_mxnet = {key: value for key, value in values.items() if key != "engine"}
    return {OPTIMIZE: of_mxnet, CONVERT: values.get("engine")}


def _is_search(values: Any) -> bool:
    """Say whether a method, or one within it, has a strategy or a criterion to search by."""
    if not isinstance(values, Mapping):
        return False
    return not SEARCHING.isdisjoint(values) or any(_is_search(each) for each in values.values())


def _earlier(plan: RunPlan, folder: RunFolder) -> Iterator[RunFolder]:
    """Yield runs of the same workload and threads on this machine, the newest first."""
    dated = []
    for each in planned_runs(folder.path.parent.parent):
        if each.path.parent != folder.path.parent or each.is_committed:
            continue
        earlier = readable_plan(each)
        if earlier is not None and not earlier.foreign and _asks(earlier) == _asks(plan):
            dated.append((earlier.created, each.id, each))
    for _, _, each in sorted(dated, key=lambda one: one[:2], reverse=True)[:MOST_RUNS]:
        yield each


def _asks(plan: RunPlan) -> list[Any]:
    """Return what of a plan determines how long its steps take."""
    return [
        *(plan.workload.stored.get(key) for key in ALIKE),
        plan.files["rec"].sha256,
        plan.threads.policy,
        plan.threads.count,
        plan.config.max_cpu_isa,
    ]


def _seconds_of(row: MethodRecord) -> dict[str, float | None]:
    """Return what the stages of a row took; an engine's conversion apart, as a stage of its own."""
    seconds = {
        VALIDATE: row.validate.seconds if row.validate else None,
        PROFILE: row.profile.seconds if row.profile else None,
    }
    made = row.optimize
    if made is not None and made.reused_from is None:
        seconds[CONVERT] = made.converted_s
        if made.seconds is not None:
            seconds[OPTIMIZE] = made.seconds - (made.converted_s or 0)
    return seconds


def seconds_taken(plan: RunPlan, folder: RunFolder) -> Iterator[tuple[Step, float]]:
    """Yield the steps of an earlier run that this one takes as well, and their seconds.

    Raises:
        HarnessError: a file of the earlier run is damaged.
    """
    earlier = folder.load_plan()
    assert earlier is not None
    same = {
        name
        for name, method in plan.methods.items()
        if name in earlier.methods and earlier.methods[name].stored == method.stored
    }
    for row in folder.load_records():
        if row.method in same:
            for stage, seconds in _seconds_of(row).items():
                if seconds is not None:
                    yield Step(row.method, stage), seconds
            # a row without a solution has no model, so no facts of a stage
            path = folder.method(row.method) / TRAJECTORY
            stage = CONVERT if plan.methods[row.method].engine else OPTIMIZE
            if row.outcome.kind == NO_SOLUTION and path.is_file():
                with suppress(msgspec.ValidationError):
                    made = msgspec.convert(load_json(path), list[_Trial])
                    yield Step(row.method, stage), sum(trial.seconds for trial in made)
    if earlier.config.protocol.stored == plan.config.protocol.stored:
        for round_ in folder.load_rounds():
            if round_.method in same and round_.facts and round_.facts.seconds is not None:
                yield Step(round_.method, MEASURE), round_.facts.seconds
        for together in load_instances(folder):
            took = [one.seconds for one in together.facts or () if one.seconds is not None]
            if together.method in same and took:
                yield Step(together.method, str(together.split)), max(took)
        for search in load_server_records(folder):
            took = [one.seconds for one in search.facts or () if one.seconds is not None]
            if search.method in same and search.outcome.kind == OK and took:
                yield serving(search.method, search.split), max(took)
