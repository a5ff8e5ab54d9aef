"""Judge a night: compare it with its baseline and measure suspected rows again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import HarnessError, InputError
from harness.nightly import reasons
from harness.nightly.baseline import Baseline, first_good
from harness.nightly.disturbed import Disturbances
from harness.nightly.entry import NightEntry, changed, software
from harness.nightly.judge import typical_s
from harness.nightly.memory.control import Control
from harness.nightly.memory.lasting import LastingShift, counting, is_new, lasting_shifts
from harness.nightly.memory.levels import against_all
from harness.nightly.memory.regressions import (
    Settled,
    carried,
    is_same,
    left_behind,
    opened,
    settle,
    settled_rows,
)
from harness.nightly.night import Figures, MeasuredShift, Night, Outcome, outcome_of, worse
from harness.nightly.remeasure import Again
from harness.nightly.second_verdicts import (
    after_remeasuring,
    in_a_new_environment,
    not_separable,
    same_model,
    solution_lost,
    timed_again,
)
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
    """

    remeasure: Callable[[Mapping[str, NightEntry], Sequence[str]], Again]
    publish: Callable[[Night], None]
    note: Callable[[str], None]
    runs: int
    trust_disturbed: bool = False


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
    trusts = means.trust_disturbed
    levels = {} if baseline.is_named else first_good(earlier, entry.alike, means.runs)
    judged = against_all(baseline, levels, entry)
    verdicts = {key: _comparable(row, baseline) for key, row in judged.items()}
    before_tonight = carried(earlier, entry, means.runs)
    red = {regression.method for regression in before_tonight if regression.metric == BATCH.name}
    control = Control(earlier, entry, red, trusts)
    settled = (
        Settled(before_tonight, (), {}, {})
        if baseline.is_named
        else settle(before_tonight, earlier, entry, control)
    )
    open_, fixed = {regression.key: regression for regression in settled.open}, list(settled.fixed)
    lasting = lasting_shifts(earlier, entry, means.runs, trusts)
    *nights, _ = counting(
        earlier, entry
    )  # a night that was stopped may not have measured its shifts
    new = {
        shift.method: shift
        for shift in (*lasting, *control.shifts(means.runs))
        if shift.ratio > 1 and is_new(shift, nights)
    }
    origin = {
        key: before
        for key, before in _origins(verdicts, baseline, levels, new).items()
        if key not in open_
    }
    slower: dict[str, NightEntry] = {method: run for (method, _), run in settled.doubtful.items()}
    for key, before in origin.items():
        if key[1] == BATCH.name and is_same(entry, before, key[0]):
            verdicts[key] = same_model(verdicts[key], before.run)
        elif key[1] == BATCH.name:
            slower[key[0]] = before
    lost = [k for k, row in verdicts.items() if k not in open_ and _has_no_solution(row, entry)]
    other = list(dict.fromkeys(m for m, metric in [*origin, *lost] if metric != BATCH.name))

    def night(verdict: Outcome | None = None, again: str | None = None, **more: Any) -> Night:
        last = baseline.entries[-1] if baseline.entries else None
        waiting = more.get("suspects", {})
        final = {**verdicts, **settled_rows(open_, fixed, verdicts, settled.against, entry)}
        rows = tuple(final.values())
        if not trusts:
            rows = tuple(_of_disturbed_rounds(row, entry) for row in rows)
        rows = tuple(
            replace(row, advice=reasons.WAITING) if row.key in waiting else row for row in rows
        )
        just_open = [
            opened(row, entry, baseline, levels, new.get(row.method))
            for row in rows
            if row.kind == "regression" and row.key not in {*open_, *waiting}
        ]
        names = names_of({row.method: row.label for row in entry.rows})
        disturbed = [row.method for row in entry.rows if row.has_disturbed_times]
        of_disturbed = reasons.trusted if trusts else reasons.no_baseline
        notes = [
            baseline.reason or "",
            left_behind(earlier, entry, means.runs),
            of_disturbed(disturbed) if disturbed else "",
        ]
        is_open = bool(open_ or just_open)
        return Night(
            machine=entry.machine,
            run=entry.run,
            created=entry.created,
            verdict=verdict or outcome_of(rows, last is not None, is_open),
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
            open=(*open_.values(), *just_open),
            fixed=tuple(fixed),
            tested=tuple(
                MeasuredShift(shift.method, shift.since.run, shift.ratio, shift.is_controlled)
                for method, shift in new.items()
                if (method, BATCH.name) in origin
            ),
            **more,
        )

    if not (slower or other):
        return night()
    suspects = {
        key: _suspicion(row, new.get(key[0]) if key[1] == BATCH.name else None)
        for key, row in verdicts.items()
        if (key in origin or key in lost) and key[0] in (slower if key[1] == BATCH.name else other)
    }
    means.publish(night("suspected", suspects=suspects))
    try:
        for (method, metric), suspicion in suspects.items():
            is_time = metric == BATCH.name
            how = f"in turn with the model of run {slower[method].run}" if is_time else "anew"
            means.note(f"suspected: {suspicion}; measuring it again {how}")
        again = means.remeasure(slower, other)
    except BaseException as error:
        doing = "measuring suspected rows again"
        why = f" ({error})" if isinstance(error, (InputError, HarnessError)) else ""
        means.publish(night("stopped", suspects=suspects, stopped=f"{doing}{why}"))
        raise
    second = against_all(baseline, levels, again.entry)
    for key, before in origin.items():
        if key in suspects:
            shift = new.get(key[0])
            verdicts[key] = _after(verdicts[key], second.get(key), again, entry, before, shift)
    for key in lost:
        if _has_no_solution(verdicts[key], again.entry):
            row = again.entry.row(key[0])
            verdicts[key] = solution_lost(verdicts[key], row.outcome if row else "gone")
    for key in settled.doubtful:
        confirmation = again.confirmations.get(key[0])
        if confirmation is not None and confirmation.ratio.high < 1 + NIGHTLY.slower:
            fixed.append(open_.pop(key))
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
        key: _latest(baseline, row) if key[1] == BATCH.name else _counted(baseline, row, levels)
        for key, row in verdicts.items()
        if row.suspected
    }
    for shift in new.values():
        if (shift.method, BATCH.name) in verdicts:
            origin[shift.method, BATCH.name] = shift.before
    return origin


def _counted(
    baseline: Baseline, row: Verdict, levels: Mapping[Key, Sequence[NightEntry]]
) -> NightEntry:
    return levels[row.key][-1] if levels.get(row.key) else _latest(baseline, row)


def _latest(baseline: Baseline, row: Verdict) -> NightEntry:
    """Return the latest run of the baseline that has a row; of times, that they count of."""
    runs = zip(reversed(baseline.entries), reversed(baseline.runs))
    return next(
        entry
        for entry, run in runs
        if (row.method in run.times if row.metric == BATCH else entry.row(row.method) is not None)
    )


def _after(
    row: Verdict,
    second: Verdict | None,
    again: Again,
    entry: NightEntry,
    before: NightEntry,
    shift: LastingShift | None,
) -> Verdict:
    """Return the verdict on a suspected row after it was measured again.

    The environment is blamed only where the other methods are a control, over two nights at least.
    """
    confirmation = again.confirmations.get(row.method) if row.metric == BATCH else None
    if confirmation is None:
        lacking = again.lacking.get(row.method) if row.metric == BATCH else None
        return after_remeasuring(row, second, lacking)
    turn = timed_again(row, confirmation, again.before[row.method], NIGHTLY)
    if turn.kind == "regression" or software(before) == software(entry):
        return turn
    changes = "; ".join(changed(before, entry)[:4])
    if shift is not None and shift.is_controlled:
        return in_a_new_environment(turn, shift.ratio, changes, shift.since.run)
    is_slower = second is not None and second.kind == "regression"
    return not_separable(turn, changes) if is_slower else turn


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
