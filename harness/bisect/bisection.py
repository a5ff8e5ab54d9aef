"""The search: both ends first, then the changes between them, then the change that it leads to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
from msgspec import Struct

from harness import PROJECT
from harness.bisect.asides import COMMON_LOCKS, Asides, State
from harness.bisect.commits import count_commits, first_bad_commit, is_ancestor
from harness.bisect.lock_search import first_bad_step
from harness.bisect.pairs import Answer, Comparison, Measure, Meter, Version
from harness.bisect.run_changes import (
    Endpoint,
    chosen_search,
    list_changes,
    package_changes,
    with_changes,
    with_digests,
)
from harness.bisect.search_result import (
    COMMITS,
    Outcome,
    Result,
    beside,
    only_said,
    taken_back,
    to_json,
    to_markdown,
    unsearchable,
)
from harness.bisect.turns import Turns, turn_places, turn_words
from harness.checkout.commit import MEASURING
from harness.errors import InputError, proposal
from harness.facts.typed import Mistyped, decode
from harness.files import whole_files
from harness.nightly.sequential_test import LOOKS
from harness.nightly.verdict import BATCH, ONCE
from harness.run.context import Context
from harness.table.metrics import TOP1, TOP5, Metric

FOLDER = "bisect"  # under the results, and in the cache
JSON, MARKDOWN = "bisect.json", "bisect.md"
METRICS: dict[str, Metric] = {metric.name: metric for metric in (BATCH, *ONCE, TOP1, TOP5)}


class Kept(Struct, frozen=True):
    """What is read of a search that was stopped."""

    comparisons: list[Comparison] = []


@dataclass(frozen=True)
class Request:
    """What is searched.

    Attributes:
        over: COMMITS, LOCK, or empty for what fits.
        rounds: pairs of turns a look.
    """

    good: Endpoint
    bad: Endpoint
    metric: Metric
    method: str
    over: str
    rounds: int

    @property
    def name(self) -> str:
        return f"{self.bad.folder.id}-{self.method}-{self.metric.name}"


def endpoint(context: Context, run: str) -> Endpoint:
    """Return one of the two runs of a search.

    Raises:
        InputError: there is no such run, or it was not measured here.
    """
    folder = context.find(run)
    folder.require_own("a search measures again what was measured here")
    plan = folder.load_plan()
    assert plan is not None  # it was found by its plan
    return Endpoint(folder, plan)


def check_row(request: Request) -> None:
    """Refuse a row that one of the runs does not have.

    Raises:
        InputError: it does not.
    """
    for end in (request.good, request.bad):
        if request.method not in end.plan.methods:
            rows = list(end.plan.methods)
            raise InputError(
                f"method={request.method}: run {end.folder.id} has {', '.join(rows)}"
                f"{proposal(request.method, rows)}"
            )


def bisect(context: Context, request: Request, measure: Measure | None = None) -> Result:
    """Search for the change that made a row worse, and keep the result under the results.

    Args:
        measure: measures a version; None for its own run.sh.

    Raises:
        InputError: a run does not say what it measured, or the repository does not have it.
        HarnessError: git fails.
        KeyboardInterrupt: the search was stopped; started again, it takes what was compared.
    """
    good, bad = request.good, request.bad
    unsearched = Result(
        good.folder.id,
        bad.folder.id,
        request.method,
        request.metric.name,
        "nothing changed",
        changes=tuple(list_changes(good, bad, request.method)),
    )
    over = chosen_search(good, bad, request.over)
    if over is None:
        return _kept(context, request, replace(unsearched, why=only_said(unsearched.changes)))
    engine = bad.plan.methods[request.method].engine
    own = () if engine is None else (f"requirements/engines/{engine.environment}.lock",)
    asides = Asides(PROJECT, context.cache / FOLDER / request.name, (*COMMON_LOCKS, *own))
    asides.require_commits([good.commit, bad.commit])
    search = _Search(context, request, asides, replace(unsearched, over=over), measure)
    result = search.over_commits() if over == COMMITS else search.over_packages()
    search.remove()
    return _kept(context, request, result)


class _Search:
    """A search in progress."""

    def __init__(
        self,
        context: Context,
        request: Request,
        asides: Asides,
        result: Result,
        measure: Measure | None,
    ) -> None:
        self._context, self._request, self._asides, self._result = context, request, asides, result
        self._measure = measure
        self._turns: Measure | None = measure
        self._before = {
            (one.before, one.now): one
            for one in _earlier(context, request)
            if one.answer != "not measured"
        }
        self._comparisons: list[Comparison] = []
        self._turn_ended: Callable[[], None] = lambda: None

    def remove(self) -> None:
        """Delete what the search does not need any more: its checkouts and the models of its turns."""
        self._asides.remove()
        if isinstance(self._turns, Turns):
            self._turns.drop_models()

    def over_commits(self) -> Result:
        """Search the commits that touch what is measured."""
        request, asides = self._request, self._asides
        good, bad = (self._commit(end.commit) for end in (request.good, request.bad))
        history = asides.history()
        count = count_commits(history, good.name, bad.name, MEASURING)
        if not count:
            if count_commits(history, bad.name, good.name, MEASURING):
                return taken_back(self._result, good, bad, MEASURING)
            why = f"no commit after {good.said} up to {bad.said} touches what is measured"
            return unsearchable(replace(self._result, why=why))
        if not is_ancestor(history, good.name, bad.name):
            self._context.show.note(beside(good, bad))
        meter = self._begin(good, count)
        unsure = self._ends(meter, good, bad)
        if unsure is not None:
            return unsure
        half = meter.half_of(self._comparisons[0])

        def test(commit: str) -> Answer:
            return self._compare(meter, good, self._commit(commit), half).answer

        suspected = first_bad_commit(history, good.name, bad.name, MEASURING, test)
        suspects = [self._commit(commit) for commit in suspected.commits]
        before = self._commit(suspected.last_good) if suspected.last_good else good
        return self._concluded(meter, suspects, before, half)

    def over_packages(self) -> Result:
        """Search the packages whose locked versions changed, in the bad run's code."""
        request, asides = self._request, self._asides
        commit = request.bad.commit
        texts = [asides.lock_texts(end.commit) for end in (request.good, request.bad)]
        changes = package_changes(*texts)
        if not changes:
            why = "the lock files of the two runs' commits have the same versions for this row"
            return unsearchable(replace(self._result, why=why))
        locked = with_digests(*texts)

        def version(count: int) -> Version:
            said = f"with {changes[count - 1].said}" if count else "with the good run's packages"
            locks = with_changes(locked, changes[:count])
            return asides.add(Version(f"packages-{count}", said), State(commit, locks))

        good, steps = version(0), len(changes)
        meter = self._begin(good, steps)
        unsure = self._ends(meter, good, version(steps))
        if unsure is not None:
            return unsure
        half = meter.half_of(self._comparisons[0])
        left = first_bad_step(
            steps, lambda count: self._compare(meter, good, version(count), half).answer
        )
        named = [Version(f"packages-{n}", changes[n - 1].said) for n in left]
        before = version(left.start - 1)
        if len(left) == 1:
            named = [replace(version(left.start), said=changes[left.start - 1].said)]
            asides.add(named[0], State(commit, with_changes(locked, changes[: left.start])))
        return self._concluded(meter, named, before, half)

    def _commit(self, commit: str) -> Version:
        version = Version(commit, f"commit {commit[:12]} ({self._asides.subject(commit)})")
        return self._asides.add(version, State(commit))

    def _begin(self, reference: Version, candidates: int) -> Meter:
        """Return the meter: the ends, the search and the confirmation share its error."""
        request = self._request
        turns: Measure
        if self._measure is None:
            results = _folder(self._context, request) / "runs"
            machine = request.bad.folder.path.parent.name
            turns = Turns(
                self._asides,
                request.method,
                request.metric,
                results,
                turn_words(request.bad.plan, request.method, request.metric, self._context),
                turn_places(results, machine, self._context),
                reference,
            )
        else:
            turns = self._measure
        self._turns = turns

        def measured(version: Version, anew: bool) -> npt.NDArray[Any]:
            figures = turns(version, anew)
            self._turn_ended()
            return figures

        planned = candidates.bit_length() + 2
        self._result = replace(self._result, planned=planned)
        return Meter(request.metric, measured, planned, request.rounds, self._context.show.note)

    def _ends(self, meter: Meter, good: Version, bad: Version) -> Result | None:
        """Compare the ends; return the result where there is nothing to search."""
        ends = self._compare(meter, good, bad, meter.threshold)
        if ends.answer == "bad":
            return None
        why = f"{bad.said} measured in turn with {good.said}: {ends.why or ends.said}"
        outcome: Outcome = "nothing to find" if ends.answer == "good" else ends.answer
        return replace(self._result, outcome=outcome, why=why, comparisons=tuple(self._comparisons))

    def _concluded(
        self, meter: Meter, suspects: Sequence[Version], before: Version, half: float
    ) -> Result:
        """Return the result; a single suspect is confirmed against what stands just before it."""
        result = replace(self._result, suspects=tuple(one.said for one in suspects))
        if len(suspects) != 1:
            return replace(result, outcome="several", comparisons=tuple(self._comparisons))
        if isinstance(self._turns, Turns):
            self._turns.reference = before
        confirmation = self._compare(meter, before, suspects[0], half)
        is_confirmed = confirmation.answer == "bad"
        return replace(
            result,
            outcome="found" if is_confirmed else "not separable",
            confirmation=confirmation,
            comparisons=tuple(self._comparisons),
            why=""
            if is_confirmed
            else f"the search led to {suspects[0].said}, and measuring that in turn with {before.said} "
            f"did not confirm it ({confirmation.said})",
        )

    def _compare(self, meter: Meter, before: Version, now: Version, threshold: float) -> Comparison:
        """Return a comparison, a known one where a search that was stopped has it; keep it."""
        known = self._before.get((before.name, now.name))
        comparison = known
        if comparison is None:
            turns = 0
            step = f"measuring {now.said} in turn with {before.said}"
            with self._context.show.step(step) as report:

                def turn_ended() -> None:
                    nonlocal turns
                    turns += 1
                    report(turns // 2, LOOKS * meter.rounds, "pairs")

                self._turn_ended = turn_ended
                comparison = meter.compare(before, now, threshold)
        if comparison not in self._comparisons:
            self._before[before.name, now.name] = comparison
            self._comparisons.append(comparison)
            stopped = replace(self._result, outcome="not separable", why="the search was stopped")
            so_far = replace(stopped, comparisons=tuple(self._comparisons))
            _write(self._context, self._request, so_far)
        return comparison


def _folder(context: Context, request: Request) -> Path:
    return context.results / FOLDER / request.name


def _earlier(context: Context, request: Request) -> list[Comparison]:
    path = _folder(context, request) / JSON
    try:
        stored = whole_files.load_json(path) if path.is_file() else {}
        is_same = stored.get("good") == request.good.folder.id and not stored.get("finished")
        return decode(stored, Kept).comparisons if is_same else []
    except (Mistyped, AttributeError):
        return []


def _write(context: Context, request: Request, result: Result, finished: bool = False) -> None:
    folder = _folder(context, request)
    folder.mkdir(parents=True, exist_ok=True)
    whole_files.write_json(folder / JSON, {**to_json(result), "finished": finished})
    whole_files.write_atomically(folder / MARKDOWN, to_markdown(result))


def _kept(context: Context, request: Request, result: Result) -> Result:
    _write(context, request, result, finished=result.outcome != "not measured")
    return result


def report_path(context: Context, request: Request) -> Path:
    """Return the file of a search's report."""
    return _folder(context, request) / MARKDOWN
