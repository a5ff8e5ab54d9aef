"""Judge a night: compare it with its baseline and measure suspected rows again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import HarnessError, InputError
from harness.nightly import reasons
from harness.nightly.baseline import Baseline
from harness.nightly.disturbed import Disturbances
from harness.nightly.entry import NightEntry, as_run, changed, software, unlike
from harness.nightly.judge import judge, typical_s
from harness.nightly.night import Figures, Night, Outcome, outcome_of, worse
from harness.nightly.remeasure import Again, measure_again
from harness.nightly.second_verdicts import (
    after_remeasuring,
    in_a_new_environment,
    same_model,
    solution_lost,
    timed_again,
)
from harness.nightly.verdict import BATCH, NIGHTLY, Key, Verdict
from harness.run.context import Context
from harness.stats.changes import shifts
from harness.storage.store import RunFolder
from harness.table.row_names import names_of


@dataclass(frozen=True)
class Seen:
    """What is said of a night besides its verdicts: see ``Night``."""

    disturbances: Disturbances
    places: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class LastingShift:
    """A shift of a method's times in the history that nobody acknowledged.

    Attributes:
        since: the first run after it.
        before: the last run before it.
        ratio: of times, after to before.
    """

    method: str
    since: NightEntry
    before: NightEntry
    ratio: float


def judge_night(
    entry: NightEntry,
    earlier: Sequence[NightEntry],
    baseline: Baseline,
    seen: Seen,
    folder: RunFolder,
    context: Context,
    publish: Callable[[Night], None],
) -> Night:
    """Compare a night with its baseline, measure suspected rows again, and return the result.

    Args:
        entry: the night.
        earlier: the machine's history before it, oldest first.
        baseline: the runs that it is compared with.
        seen: what is said of the night besides its verdicts.
        publish: is given the night as it stands before rows are measured again, and as it stands
            where that was stopped or failed.

    Raises:
        InputError, HarnessError, KeyboardInterrupt: as ``measure_folder``, from measuring again.
    """
    judged = judge(baseline.runs, as_run(entry))
    verdicts = {row.key: _comparable(row, baseline) for row in judged}
    trusts = context.composed.config.nightly.trust_disturbed
    lasting = lasting_shifts(earlier, entry, trusts)
    origin = _origins(verdicts, baseline, lasting, earlier)
    slower: dict[str, NightEntry] = {}
    for key, before in origin.items():
        if key[1] == BATCH.name and _is_same(entry, before, key[0]):
            verdicts[key] = same_model(verdicts[key], before.run)
        elif key[1] == BATCH.name:
            slower[key[0]] = before
    lost = [key for key, row in verdicts.items() if _has_no_solution(row, entry)]
    other = list(dict.fromkeys(m for m, metric in [*origin, *lost] if metric != BATCH.name))

    def night(verdict: Outcome | None = None, again: str | None = None, **more: Any) -> Night:
        last = baseline.entries[-1] if baseline.entries else None
        rows = tuple(verdicts.values())
        if not trusts:
            rows = tuple(_of_disturbed_rounds(row, entry) for row in rows)
        waiting = more.get("suspects", {})
        rows = tuple(
            replace(row, advice=reasons.WAITING) if row.key in waiting else row for row in rows
        )
        names = names_of({row.method: row.label for row in entry.rows})
        disturbed = [row.method for row in entry.rows if row.has_disturbed_times]
        of_disturbed = reasons.trusted if trusts else reasons.no_baseline
        notes = [baseline.reason or "", of_disturbed(disturbed) if disturbed else ""]
        return Night(
            machine=entry.machine,
            run=entry.run,
            created=entry.created,
            verdict=verdict or outcome_of(rows, last is not None),
            rows=rows,
            baseline=tuple(run.run for run in baseline.entries),
            again=again,
            failed={names[row.method]: row.outcome for row in entry.rows if row.failed},
            changes=tuple(changed(last, entry)) if last else (),
            shifted=tuple((shift.method, shift.since.run, shift.ratio) for shift in lasting),
            notes=tuple(filter(None, notes)),
            figures=figures_of(entry),
            disturbances=seen.disturbances,
            places=seen.places,
            words=seen.words,
            **more,
        )

    if not (slower or other):
        return night()
    suspects = {
        key: _suspicion(row, next((s for s in lasting if s.method == key[0]), None))
        for key, row in verdicts.items()
        if (key in origin or key in lost) and key[0] in (slower if key[1] == BATCH.name else other)
    }
    publish(night("suspected", suspects=suspects))
    try:
        for (method, metric), said in suspects.items():
            is_time = metric == BATCH.name
            how = f"in turn with the model of run {slower[method].run}" if is_time else "anew"
            context.show.note(f"suspected: {said}; measuring it again {how}")
        again = measure_again(folder, context, slower, other)
    except BaseException as error:
        doing = "measuring suspected rows again"
        said = f" ({error})" if isinstance(error, (InputError, HarnessError)) else ""
        publish(night("stopped", suspects=suspects, stopped=f"{doing}{said}"))
        raise
    second = {row.key: row for row in judge(baseline.runs, as_run(again.entry))}
    for key, before in origin.items():
        if key in suspects:
            verdicts[key] = _after(verdicts[key], second.get(key), again, entry, before)
    for key in lost:
        if _has_no_solution(verdicts[key], again.entry):
            row = again.entry.row(key[0])
            verdicts[key] = solution_lost(verdicts[key], row.outcome if row else "gone")
    return night(again=again.run)


def figures_of(entry: NightEntry) -> tuple[Figures, ...]:
    """Return what was measured of every row of a night."""
    figures = []
    for row in entry.rows:
        top1, top5 = (None, None) if row.correct is None else map(float, row.correct.mean(axis=1))
        figures.append(
            Figures(
                row.method,
                None if row.times is None else typical_s(row.times),
                0 if row.times is None else len(row.times),
                row.disturbed or 0,
                top1,
                top5,
                row.cost_s,
            )
        )
    return tuple(figures)


def lasting_shifts(
    earlier: Sequence[NightEntry], entry: NightEntry, trust_disturbed: bool = False
) -> list[LastingShift]:
    """Return the shifts of each method's times over the nights that were measured alike.

    An acknowledged shift starts the series anew. Disturbed times count only where they are trusted.
    """
    nights = [night for night in earlier if night.is_judged and not unlike(night, entry.alike)]
    lasting = []
    for row in entry.rows:
        series: list[tuple[NightEntry, float]] = []
        for night in [*nights, entry]:
            if night.acknowledges(row.method, BATCH.name):
                series = []
            timed = night.row(row.method)
            if timed is None or timed.times is None or len(timed.times) < NIGHTLY.rounds:
                continue
            if trust_disturbed or not timed.has_disturbed_times:
                series.append((night, typical_s(timed.times)))
        lasting += [
            LastingShift(row.method, series[at.at][0], series[at.at - 1][0], at.ratio)
            for at in shifts([value for _, value in series], NIGHTLY.slower)
        ]
    return lasting


def _origins(
    verdicts: Mapping[Key, Verdict],
    baseline: Baseline,
    lasting: Sequence[LastingShift],
    earlier: Sequence[NightEntry],
) -> dict[Key, NightEntry]:
    """Return the suspected rows, each with the run whose model it is compared with.

    A gradual shift is suspected once, against the last run before it.
    """
    origin = {key: _latest(baseline, row) for key, row in verdicts.items() if row.suspected}
    seen = {method for night in earlier for method in night.shifted}
    for shift in lasting:
        key = (shift.method, BATCH.name)
        if shift.ratio > 1 and shift.method not in seen and key in verdicts:
            origin.setdefault(key, shift.before)
    return origin


def _latest(baseline: Baseline, row: Verdict) -> NightEntry:
    """Return the latest run of the baseline that has a row; of times, that they count of."""
    runs = zip(reversed(baseline.entries), reversed(baseline.runs))
    return next(
        entry
        for entry, run in runs
        if (row.method in run.times if row.metric == BATCH else entry.row(row.method) is not None)
    )


def _after(
    row: Verdict, second: Verdict | None, again: Again, entry: NightEntry, before: NightEntry
) -> Verdict:
    """Return the verdict on a suspected row after it was measured again."""
    confirmation = again.confirmations.get(row.method) if row.metric == BATCH else None
    if confirmation is None:
        lacking = again.lacking.get(row.method) if row.metric == BATCH else None
        return after_remeasuring(row, second, lacking)
    turn = timed_again(row, confirmation, again.before[row.method], NIGHTLY)
    if turn.kind == "regression" or second is None or software(before) == software(entry):
        return turn
    return in_a_new_environment(turn, second, "; ".join(changed(before, entry)[:4]))


def _comparable(row: Verdict, baseline: Baseline) -> Verdict:
    """Return the verdict on a row, which is no new one if earlier nights have it and do not count."""
    why = baseline.passed_over.get(row.key)
    if row.kind != "new" or why is None:
        return row
    advice = reasons.nothing_counts(why == "disturbed")
    return replace(row, kind="cannot tell", gap="nothing before", advice=advice)


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
    if not row.suspected and shift is not None:
        return (
            f"{row.method} takes {reasons.percent_more(shift.ratio)} time since {shift.since.run}"
        )
    return worse(row)


def _is_same(entry: NightEntry, before: NightEntry, method: str) -> bool:
    """Return whether a row's model, software and settings are those of an earlier run."""
    mine, theirs = entry.row(method), before.row(method)
    return (
        mine is not None
        and theirs is not None
        and mine.model is not None
        and mine.model == theirs.model
        and software(entry) == software(before)
    )


def _has_no_solution(row: Verdict, entry: NightEntry) -> bool:
    """Return whether a search that found a model in earlier runs finds none in this one."""
    mine = entry.row(row.method)
    is_missing = row.kind == "missing" and row.metric != BATCH
    return is_missing and mine is not None and mine.has_no_solution
