"""Judge a night: compare it with its baseline and measure suspected rows again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.config import Composed
from harness.nightly.baseline import Baseline
from harness.nightly.entry import NightEntry, as_run, changed, software, unlike
from harness.nightly.judge import judge
from harness.nightly.night import (
    Night,
    after_remeasuring,
    headline,
    in_a_new_environment,
    same_model,
    solution_lost,
    timed_again,
)
from harness.nightly.remeasure import Again, measure_again
from harness.nightly.verdict import BATCH, NIGHTLY, Verdict
from harness.render.progress import Display
from harness.stats.changes import shifts
from harness.stats.night_noise import level
from harness.storage.store import RunFolder
from harness.table.row_names import names_of

Key = tuple[str, str]  # method and metric


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
    folder: RunFolder,
    composed: Composed,
    folders: Sequence[Path],
    show: Display,
) -> Night:
    """Compare a night with its baseline, measure suspected rows again, and return the result.

    Args:
        entry: the night.
        earlier: the machine's history before it, oldest first.
        baseline: the runs that it is compared with.

    Raises:
        InputError, HarnessError, KeyboardInterrupt: as ``measure_folder``, from measuring again.
    """
    verdicts = {_key(row): row for row in judge(baseline.runs, as_run(entry))}
    lasting = lasting_shifts(earlier, entry)
    origin = _origins(verdicts, baseline, lasting, earlier)
    slower: dict[str, NightEntry] = {}
    for key, before in origin.items():
        if key[1] == BATCH.name and _is_same(entry, before, key[0]):
            verdicts[key] = same_model(verdicts[key], before.run)
        elif key[1] == BATCH.name:
            slower[key[0]] = before
    lost = [key for key, row in verdicts.items() if _has_no_solution(row, entry)]
    other = list(dict.fromkeys(m for m, metric in [*origin, *lost] if metric != BATCH.name))
    again: Again | None = None
    if slower or other:
        show.note(f"suspected: {', '.join(dict.fromkeys([*slower, *other]))}; measuring again")
        again = measure_again(folder, composed, slower, other, folders, show)
        second = {_key(row): row for row in judge(baseline.runs, as_run(again.entry))}
        for key, before in origin.items():
            if key[0] in (slower if key[1] == BATCH.name else other):
                verdicts[key] = _after(verdicts[key], second.get(key), again, entry, before)
        for key in lost:
            if _has_no_solution(verdicts[key], again.entry):
                row = again.entry.row(key[0])
                verdicts[key] = solution_lost(verdicts[key], row.outcome if row else "gone")
    last = baseline.entries[-1] if baseline.entries else None
    rows = tuple(verdicts.values())
    names = names_of({row.method: row.label for row in entry.rows})
    return Night(
        machine=entry.machine,
        run=entry.run,
        created=entry.created,
        verdict=headline(rows, last is not None),
        rows=rows,
        baseline=tuple(run.run for run in baseline.entries),
        again=again.run if again else None,
        failed={names[row.method]: row.outcome for row in entry.rows if row.failed},
        changes=tuple(changed(last, entry)) if last else (),
        shifted=tuple((shift.method, shift.since.run, shift.ratio) for shift in lasting),
        notes=(baseline.reason,) if baseline.reason else (),
    )


def lasting_shifts(earlier: Sequence[NightEntry], entry: NightEntry) -> list[LastingShift]:
    """Return the shifts of each method's times over the nights that were measured alike.

    An acknowledged shift starts the series anew.
    """
    nights = [
        night for night in earlier if night.verdict is not None and not unlike(night, entry.alike)
    ]
    lasting = []
    for row in entry.rows:
        series: list[tuple[NightEntry, float]] = []
        for night in [*nights, entry]:
            if night.acknowledges(row.method, BATCH.name):
                series = []
            timed = night.row(row.method)
            if timed is not None and timed.times is not None and len(timed.times) >= NIGHTLY.rounds:
                series.append((night, math.exp(float(level(timed.times).value))))
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
    origin = {
        key: next(run for run in reversed(baseline.entries) if run.row(row.method) is not None)
        for key, row in verdicts.items()
        if row.suspected
    }
    seen = {method for night in earlier for method in night.shifted}
    for shift in lasting:
        key = (shift.method, BATCH.name)
        if shift.ratio > 1 and shift.method not in seen and key in verdicts:
            origin.setdefault(key, shift.before)
    return origin


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


def _key(row: Verdict) -> Key:
    return row.method, row.metric.name


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
