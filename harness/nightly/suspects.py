"""Judge a night: compare it with its baseline and measure suspected rows again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.errors import HarnessError, InputError
from harness.nightly import reasons
from harness.nightly.baseline import Baseline, first_good
from harness.nightly.disturbed import Disturbances
from harness.nightly.entry import NightEntry, figures_of, judged_alike, list_changes
from harness.nightly.memory.control import Control
from harness.nightly.memory.lasting import LastingShift, is_new, lasting_shifts
from harness.nightly.memory.levels import against_all
from harness.nightly.memory.regressions import (
    Settled,
    carried,
    is_same,
    left_behind,
    opened,
    settle,
    settled_rows,
    with_changes,
)
from harness.nightly.night import MeasuredShift, Night, Outcome, outcome_of, worse
from harness.nightly.remeasure import Again, second_verdict
from harness.nightly.second_verdicts import same_model, solution_lost
from harness.nightly.verdict import BATCH, NIGHTLY, Key, Verdict
from harness.table.row_names import names_of


@dataclass(frozen=True)
class Seen:
    """What is said of a night besides its verdicts: see ``Night``."""

    disturbances: Disturbances
    places: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Means:
    """What judging a night takes besides its history.

    Attributes:
        remeasure: measures suspected rows again: by method suspected of being slower the run whose
            model it is timed with, and the methods that are made anew.
        publish: is given the night as it stands before rows are measured again, and as it stands
            where that was stopped or failed.
        note: shows a line of progress.
        runs: how many runs a level has.
        trust_disturbed: whether disturbed times count.
        outside: the runs before open regressions that are no nights.
    """

    remeasure: Callable[[Mapping[str, NightEntry], Sequence[str]], Again]
    publish: Callable[[Night], None]
    note: Callable[[str], None]
    runs: int
    trust_disturbed: bool = False
    outside: Sequence[NightEntry] = ()


def judge_night(
    entry: NightEntry,
    earlier: Sequence[NightEntry],
    baseline: Baseline,
    seen: Seen,
    means: Means,
) -> Night:
    """Compare a night with its baseline, measure suspected rows again, and return the result.

    Args:
        entry: the night.
        earlier: the machine's history before it, oldest first.
        baseline: the runs that it is compared with.
        seen: what is said of the night besides its verdicts.

    Raises:
        InputError, HarnessError, KeyboardInterrupt: as ``measure_folder``, from measuring again.
    """
    judgement = _Judgement(entry, earlier, baseline, seen, means)
    suspects = judgement.suspects()
    if not (judgement.slower or judgement.others):
        return judgement.night()
    means.publish(judgement.night("suspected", suspects=suspects))
    try:
        for (method, metric), suspicion in suspects.items():
            is_time = metric == BATCH.name
            how = (
                f"in turn with the model of run {judgement.slower[method].run}"
                if is_time
                else "anew"
            )
            means.note(f"suspected: {suspicion}; measuring it again {how}")
        again = means.remeasure(judgement.slower, judgement.others)
    except BaseException as error:
        doing = "measuring suspected rows again"
        why = f" ({error})" if isinstance(error, (InputError, HarnessError)) else ""
        means.publish(judgement.night("stopped", suspects=suspects, stopped=f"{doing}{why}"))
        raise
    judgement.take(again, suspects)
    return judgement.night(again=again.run)


class _Judgement:
    """A night that is being judged: its verdicts as they stand, and what is to be measured again.

    Attributes:
        slower: methods that are timed again, each with the run whose model it is timed with.
        others: methods whose models are made anew.
    """

    def __init__(
        self,
        entry: NightEntry,
        earlier: Sequence[NightEntry],
        baseline: Baseline,
        seen: Seen,
        means: Means,
    ) -> None:
        self._entry, self._earlier, self._baseline = entry, earlier, baseline
        self._seen, self._means = seen, means
        self._levels = {} if baseline.is_named else first_good(earlier, entry.alike, means.runs)
        judged = against_all(baseline, self._levels, entry)
        self._verdicts = {key: baseline.comparable(row) for key, row in judged.items()}
        self._remember()
        self._suspect()

    def _remember(self) -> None:
        """Settle the regressions that were open, and look for shifts over the nights."""
        entry, earlier, means = self._entry, self._earlier, self._means
        before_tonight = carried(earlier, entry, means.runs)
        red = {each.method for each in before_tonight if each.metric == BATCH.name}
        control = Control(earlier, entry, red, means.trust_disturbed)
        self._settled = (
            Settled(before_tonight, (), {}, {})
            if self._baseline.is_named
            else settle(before_tonight, earlier, entry, control, means.outside)
        )
        self._open = {regression.key: regression for regression in self._settled.open}
        self._fixed = list(self._settled.fixed)
        self._lasting = lasting_shifts(earlier, entry, means.runs, means.trust_disturbed)
        # a stopped night may not have measured its shifts
        nights = judged_alike(earlier, entry.alike)
        self._new = {
            shift.method: shift
            for shift in (*self._lasting, *control.shifts(means.runs))
            if shift.ratio > 1 and is_new(shift, nights)
        }

    def _suspect(self) -> None:
        """Find the rows to measure again; a row with the same model and software is none."""
        origins = _origins(self._verdicts, self._baseline, self._levels, self._new)
        self._origins = {key: run for key, run in origins.items() if key not in self._open}
        self.slower = {method: run for (method, _), run in self._settled.doubtful.items()}
        for key, before in self._origins.items():
            if key[1] == BATCH.name and is_same(self._entry, before, key[0]):
                self._verdicts[key] = same_model(self._verdicts[key], before.run)
            elif key[1] == BATCH.name:
                self.slower[key[0]] = before
        self._lost = [
            key
            for key, row in self._verdicts.items()
            if key not in self._open and _has_no_solution(row, self._entry)
        ]
        anew = (method for method, metric in (*self._origins, *self._lost) if metric != BATCH.name)
        self.others = list(dict.fromkeys(anew))

    def suspects(self) -> dict[Key, str]:
        """Return what is suspected of the rows that are measured again."""
        return {
            key: _suspicion(row, self._new.get(key[0]) if key[1] == BATCH.name else None)
            for key, row in self._verdicts.items()
            if (key in self._origins or key in self._lost)
            and key[0] in (self.slower if key[1] == BATCH.name else self.others)
        }

    def take(self, again: Again, suspects: Mapping[Key, str]) -> None:
        """Replace the verdicts on suspected rows by those after measuring them again."""
        entry, verdicts = self._entry, self._verdicts
        second = against_all(self._baseline, self._levels, again.entry)
        for key, before in self._origins.items():
            if key in suspects:
                shift = self._new.get(key[0])
                verdicts[key] = second_verdict(
                    verdicts[key], second.get(key), again, entry, before, shift
                )
        for key in self._lost:
            if _has_no_solution(verdicts[key], again.entry):
                row = again.entry.row(key[0])
                verdicts[key] = solution_lost(verdicts[key], row.outcome if row else "gone")
        for key in self._settled.doubtful:
            confirmation = again.confirmations.get(key[0])
            if confirmation is not None and confirmation.ratio.high < 1 + NIGHTLY.slower:
                self._fixed.append(self._open.pop(key))

    def night(
        self,
        verdict: Outcome | None = None,
        again: str | None = None,
        suspects: Mapping[Key, str] | None = None,
        stopped: str = "",
    ) -> Night:
        """Return the night as it stands.

        Args:
            verdict: of a night that is not judged to its end.
            again: the run that measured rows again.
            suspects, stopped: as of ``Night``.
        """
        entry, baseline, waiting = self._entry, self._baseline, suspects or {}
        last = baseline.entries[-1] if baseline.entries else None
        rows = self._rows(waiting)
        just_open = [
            opened(row, entry, baseline, self._levels, self._new.get(row.method))
            for row in rows
            if row.kind == "regression" and row.key not in {*self._open, *waiting}
        ]
        names = names_of({row.method: row.label for row in entry.rows})
        nights = (*self._earlier, *baseline.entries, entry)
        open_now = [
            with_changes(each, nights) if each.changes is None else each
            for each in (*self._open.values(), *just_open)
        ]
        return Night(
            machine=entry.machine,
            run=entry.run,
            created=entry.created,
            verdict=verdict or outcome_of(rows, last is not None, bool(open_now)),
            rows=rows,
            baseline=tuple(run.run for run in baseline.entries),
            again=again,
            failed={names[row.method]: row.outcome for row in entry.rows if row.failed},
            changes=tuple(list_changes(last, entry)) if last else (),
            shifted=tuple((shift.method, shift.since.run, shift.ratio) for shift in self._lasting),
            notes=self._notes(),
            figures=figures_of(entry),
            disturbances=self._seen.disturbances,
            places=self._seen.places,
            words=self._seen.words,
            suspects=waiting,
            stopped=stopped,
            open=tuple(open_now),
            fixed=tuple(self._fixed),
            tested=tuple(
                MeasuredShift(shift.method, shift.since.run, shift.ratio, shift.is_controlled)
                for method, shift in self._new.items()
                if (method, BATCH.name) in self._origins
            ),
        )

    def _rows(self, waiting: Mapping[Key, str]) -> tuple[Verdict, ...]:
        """Return the verdicts as they stand; those of ``waiting`` say that they wait."""
        settled = settled_rows(
            self._open, self._fixed, self._verdicts, self._settled.against, self._entry
        )
        rows: Iterable[Verdict] = {**self._verdicts, **settled}.values()
        if not self._means.trust_disturbed:
            rows = [_of_disturbed_rounds(row, self._entry) for row in rows]
        return tuple(
            replace(row, advice=reasons.WAITING) if row.key in waiting else row for row in rows
        )

    def _notes(self) -> tuple[str, ...]:
        entry = self._entry
        disturbed = [row.method for row in entry.rows if row.has_disturbed_times]
        of_disturbed = reasons.trusted if self._means.trust_disturbed else reasons.no_baseline
        notes = (
            self._baseline.reason or "",
            left_behind(self._earlier, entry, self._means.runs),
            of_disturbed(disturbed) if disturbed else "",
        )
        return tuple(filter(None, notes))


def _origins(
    verdicts: Mapping[Key, Verdict],
    baseline: Baseline,
    levels: Mapping[Key, Sequence[NightEntry]],
    new: Mapping[str, LastingShift],
) -> dict[Key, NightEntry]:
    """Return the suspected rows, each with the run whose model it is compared with.

    A lasting shift is suspected when it is new, against the middle of the segment before it: a row
    of it may lie no further from the latest runs than noise does.
    """
    origin = {
        key: levels[key][-1] if key[1] != BATCH.name and levels.get(key) else baseline.latest(row)
        for key, row in verdicts.items()
        if row.suspected
    }
    for shift in new.values():
        if (shift.method, BATCH.name) in verdicts:
            origin[shift.method, BATCH.name] = shift.before
    return origin


def _of_disturbed_rounds(row: Verdict, entry: NightEntry) -> Verdict:
    """Return the verdict on a row; it says so if its rounds were too disturbed to judge it.

    Also if they were too disturbed for the first of them to be a baseline. Not for times that are
    trusted: these are judged as all others, and what they cannot tell is noise.
    """
    mine = entry.row(row.method)
    if row.metric != BATCH or mine is None or mine.times is None or not mine.has_disturbed_times:
        return row
    if row.gap not in ("noise", "few runs") and row.kind != "new":
        return row
    if row.in_turn is not None:
        return replace(row, gap="disturbed")
    return replace(
        row, gap="disturbed", advice=reasons.disturbed(mine.disturbed or 0, len(mine.times))
    )


def _suspicion(row: Verdict, shift: LastingShift | None) -> str:
    """Return what is suspected of a row, and by how much."""
    if row.kind == "missing":
        return f"{row.method} finds no model any more"
    if shift is not None:
        return (
            f"{row.method} takes {reasons.percent_more(shift.ratio)} time since {shift.since.run}"
        )
    return worse(row)


def _has_no_solution(row: Verdict, entry: NightEntry) -> bool:
    """Return whether a search that found a model in earlier runs finds none in this one."""
    mine = entry.row(row.method)
    is_missing = row.kind == "missing" and row.metric != BATCH
    return is_missing and mine is not None and mine.has_no_solution
