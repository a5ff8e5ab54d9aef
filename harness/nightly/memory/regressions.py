"""Open regressions: red every night until they are measured fixed or acknowledged."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.nightly import reasons
from harness.nightly.baseline import Baseline, last_good
from harness.nightly.entry import NightEntry, as_run, judged_alike, list_changes, software
from harness.nightly.judge import judge
from harness.nightly.memory.control import Control
from harness.nightly.memory.lasting import LastingShift
from harness.nightly.night import Regression, worse
from harness.nightly.verdict import BATCH, LEAST, NIGHTLY, Key, Kind, Run, Verdict
from harness.stats.intervals import Interval
from harness.table.metrics import TOP1, TOP5

NIGHTS = 2  # in a row that measure a time or a cost as before, where the code is not that of before
ACCURACIES = (TOP1.name, TOP5.name)


@dataclass(frozen=True)
class Settled:
    """The regressions that were open before a night, after its first measurement.

    Attributes:
        open: those that still are.
        fixed: those that are measured fixed.
        against: the verdicts on their rows against the level before them.
        doubtful: those that timing in turn may find fixed, with the run whose model that takes.
    """

    open: tuple[Regression, ...]
    fixed: tuple[Regression, ...]
    against: Mapping[Key, Verdict]
    doubtful: Mapping[Key, NightEntry]


def carried(earlier: Sequence[NightEntry], entry: NightEntry, most: int) -> tuple[Regression, ...]:
    """Return the regressions that are open before a night.

    Args:
        earlier: oldest first.
        most: how many runs a level has, where a regression was kept by a version that kept none.
    """
    nights = judged_alike(earlier, entry.alike)
    if not nights:
        return ()
    return tuple(
        replace(
            regression,
            is_notified=True,
            level=regression.level or _before(regression, nights, most),
        )
        for regression in nights[-1].open
        if not any(
            night.acknowledges(*regression.key)
            for night in nights
            if night.created >= regression.created or night.run == regression.since
        )
    )


def left_behind(earlier: Sequence[NightEntry], entry: NightEntry, most: int) -> str:
    """Return what was open before the first night of its kind, which no later night carries on."""
    judged = [night for night in earlier if night.is_judged]
    if not judged or judged_alike(judged, entry.alike):
        return ""
    latest = judged[-1]
    listed = [regression.said for regression in carried(judged, latest, most)]
    return reasons.left_behind(latest.run, listed) if listed else ""


def _before(regression: Regression, nights: Sequence[NightEntry], most: int) -> tuple[str, ...]:
    """Return the runs of the level before a regression, oldest first."""
    before = [night for night in nights if night.created < regression.created]
    baseline = last_good(before, nights[-1].alike, most)
    return tuple(_ids(baseline, *regression.key))


def settle(
    open_: Sequence[Regression],
    earlier: Sequence[NightEntry],
    entry: NightEntry,
    control: Control,
    outside: Sequence[NightEntry] = (),
) -> Settled:
    """Return which regressions a night measured fixed: equivalent to the level before them.

    Equivalent is what the 90 % interval of the row, or of its time beside the other methods, shows to
    be worse by less than the threshold. That no difference is found closes nothing.

    Args:
        outside: the runs of levels that are no nights.
    """
    still, fixed = [], []
    against: dict[Key, Verdict] = {}
    doubtful: dict[Key, NightEntry] = {}
    latest = next((night for night in reversed(earlier) if night.is_judged), None)
    for regression in open_:
        level = [night for night in (*outside, *earlier) if night.run in regression.level]
        row = _against(regression, level, entry)
        if row is None:
            still.append(replace(regression, back=0))
            continue
        against[regression.key] = row
        is_time = regression.metric == BATCH.name
        beside = control.ratio(regression.method, regression.level) if is_time else None
        back = regression.back + 1 if _is_as_before(row, beside) else 0
        is_reverted = is_same(entry, level[-1], regression.method)
        needed = 1 if regression.metric in ACCURACIES or is_reverted else NIGHTS
        if back >= needed:
            fixed.append(regression)
            continue
        still.append(replace(regression, back=back))
        is_changed = latest is None or not is_same(entry, latest, regression.method)
        is_near = row.estimate is not None and row.estimate.estimate < 1 + NIGHTLY.slower
        if regression.in_turn and is_changed and is_near:
            doubtful[regression.key] = level[-1]
    return Settled(tuple(still), tuple(fixed), against, doubtful)


def is_same(entry: NightEntry, before: NightEntry, method: str) -> bool:
    """Return whether a row's model, software and settings are those of an earlier run."""
    mine, theirs = entry.row(method), before.row(method)
    return (
        mine is not None
        and theirs is not None
        and mine.model is not None
        and mine.model == theirs.model
        and software(entry) == software(before)
    )


def _against(
    regression: Regression, level: Sequence[NightEntry], entry: NightEntry
) -> Verdict | None:
    """Return the verdict on a row against the level before its regression; None without figures.

    A cost that is too small to be judged counts as the least that is.
    """
    mine = entry.row(regression.method)
    if mine is None or not level or not mine.has(regression.metric):
        return None
    now = as_run(entry)
    once = {
        metric: {method: max(figure, LEAST.get(metric, 0.0)) for method, figure in figures.items()}
        for metric, figures in now.once.items()
    }
    judged = judge([as_run(night) for night in level], replace(now, once=once))
    return next((r for r in judged if (r.method, r.metric.name) == regression.key), None)


def _is_as_before(row: Verdict, beside: Interval | None) -> bool:
    least = row.threshold
    if row.metric in (TOP1, TOP5):
        return row.estimate is not None and row.estimate.low > -least
    return any(ratio is not None and ratio.high < 1 + least for ratio in (row.estimate, beside))


def settled_rows(
    open_: Mapping[Key, Regression],
    fixed: Sequence[Regression],
    verdicts: Mapping[Key, Verdict],
    against: Mapping[Key, Verdict],
    entry: NightEntry,
) -> dict[Key, Verdict]:
    """Return the verdicts on the rows of regressions that were open before the night."""
    rows = {}
    for key, regression in open_.items():
        row = against.get(key) or verdicts.get(key)
        if row is not None:
            rows[key] = _still_open(regression, row)
    for regression in fixed:
        row = against.get(regression.key)
        if row is not None:
            kind: Kind = "improvement" if row.kind == "improvement" else "none"
            advice = reasons.fixed(regression.since)
            rows[regression.key] = replace(row, kind=kind, gap=None, suspected=False, advice=advice)
    return rows


def opened(
    row: Verdict,
    entry: NightEntry,
    baseline: Baseline,
    levels: Mapping[Key, Sequence[NightEntry]],
    shift: LastingShift | None,
) -> Regression:
    """Return the regression that a confirmed verdict opens, with the level before it."""
    key = row.key
    since, level = entry, tuple(_ids(baseline, *key))
    said = worse(row)
    if row.metric == BATCH and shift is not None and not _is_of_tonight(row, shift):
        since, level = shift.since, shift.level
    elif levels.get(key) and row.reason.startswith(reasons.LITTLE_BY_LITTLE):
        level = tuple(run.run for run in levels[key])
    return Regression(
        *key, since.run, since.created, said, level, row.metric == BATCH and row.in_turn is not None
    )


def _is_of_tonight(row: Verdict, shift: LastingShift) -> bool:
    """Return whether most of what timing in turn found came tonight, and not with a shift before."""
    if row.in_turn is None or row.estimate is None:
        return False
    half = math.log(row.in_turn.estimate) / 2
    return math.log(shift.ratio) < half <= math.log(row.estimate.estimate)


def with_changes(regression: Regression, nights: Sequence[NightEntry]) -> Regression:
    """Return a regression with what changed in its row's settings, the software and the machine.

    Args:
        nights: those with the runs that it names, as far as they are known.
    """
    by_run = {night.run: night for night in nights}
    before = by_run.get(regression.level[-1]) if regression.level else None
    since = by_run.get(regression.since)
    if before is None or since is None:
        return regression
    own = f"method.{regression.method}."
    lines = [
        line
        for line in list_changes(before, since)
        if not line.startswith("method.") or line.startswith(own)
    ]
    return replace(regression, changes=tuple(lines))


def _ids(baseline: Baseline, method: str, metric: str) -> list[str]:
    """Return the runs of the baseline that count for a row, oldest first."""
    pairs = zip(baseline.entries, baseline.runs)
    return [entry.run for entry, run in pairs if method in _measured(run, metric)]


def _measured(run: Run, metric: str) -> Collection[str]:
    """Return the methods of a run whose metric counts."""
    if metric == BATCH.name:
        return run.times
    others = (*run.once.items(), *run.correct.items())
    return next((values for known, values in others if known.name == metric), ())


def _still_open(regression: Regression, row: Verdict) -> Verdict:
    """Return the verdict on a row whose regression is open since an earlier night."""
    advice = reasons.still_open(regression.since, regression.created, regression.back)
    return replace(row, kind="regression", gap=None, suspected=False, advice=advice)
