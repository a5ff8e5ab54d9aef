"""Which earlier runs a night is compared with: pure functions of the history."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from harness.nightly import reasons
from harness.nightly.entry import METRICS, NightEntry, NightRow, as_run, judged_alike, unlike
from harness.nightly.verdict import BATCH, Key, Run, Verdict

AT_ONCE = [name for name in METRICS if name != BATCH.name]  # one night shows them without rounds
PassedOver = Literal["regression", "disturbed"]


@dataclass(frozen=True)
class Baseline:
    """The runs that a night is compared with.

    Attributes:
        entries: the runs, oldest first; each has a row that counts.
        runs: the same, with only the rows that count.
        reason: why there is none, or why runs were passed over; None where there is nothing to say.
        passed_over: rows that no run counts for, (method, metric), though one has them, and why.
        is_named: whether it is one run that was chosen by hand, whose level may be a bad one.
    """

    entries: tuple[NightEntry, ...]
    runs: tuple[Run, ...]
    reason: str | None = None
    passed_over: Mapping[Key, PassedOver] = field(default_factory=dict)
    is_named: bool = False

    def latest(self, row: Verdict) -> NightEntry:
        """Return the latest run that has a row; of times, that they count of."""
        runs = zip(reversed(self.entries), reversed(self.runs))
        return next(
            entry
            for entry, run in runs
            if (
                row.method in run.times
                if row.metric == BATCH
                else entry.row(row.method) is not None
            )
        )

    def comparable(self, row: Verdict) -> Verdict:
        """Return the verdict on a row, which is no new one if earlier nights have it and do not count."""
        why = self.passed_over.get(row.key)
        if row.kind != "new" or why is None:
            return row
        advice = reasons.nothing_counts(why == "disturbed")
        return replace(row, kind="cannot tell", gap="nothing before", advice=advice)


def last_good(
    history: Sequence[NightEntry],
    now: Mapping[str, Any],
    most: int,
    trust_disturbed: bool = False,
    present: Collection[str] | None = None,
) -> Baseline:
    """Return the last good runs of a machine that were measured alike.

    A row counts if it was measured, and is of no night of a regression that is not acknowledged
    (``regressed``). After a shift was acknowledged, rows from before that run do not count any more,
    and the row of that run does. Each row counts in at most ``most`` runs, the latest. Disturbed times
    do not count, unless they were acknowledged, or ``trust_disturbed`` lets them.

    Args:
        history: earlier runs, oldest first.
        now: what must be the same, ``entry.alike``.
        present: the methods of the night that is compared. Others count as long as one of the latest
            ``most`` runs of at least half as many rows has them: a row that was taken out is not
            missing for ever. None: all count.
    """
    judged = [entry for entry in history if entry.is_judged]
    fit = judged_alike(judged, now)
    gone: set[str] = set()
    if present is not None:
        # a night of one row, such as one that looks into a regression, says nothing of the others
        wide = [entry for entry in fit if 2 * len(entry.rows) >= len(present)] or fit
        used = {row.method for entry in wide[-most:] for row in entry.rows}.union(present)
        gone = {row.method for entry in fit for row in entry.rows} - used
    bad = regressed(fit)
    chosen: list[tuple[NightEntry, frozenset[Key]]] = []
    counted: dict[Key, int] = {}
    closing: list[NightEntry] = []  # later runs in which shifts were acknowledged, measured or not
    passed_over: dict[Key, PassedOver] = {}
    # rows that older runs say nothing of
    settled = {(method, metric) for method in gone for metric in METRICS}
    for entry in reversed(fit):
        if entry.measured <= settled and not entry.acknowledged:
            continue
        left_out = set()
        kept = 0
        for row in entry.rows:
            for metric in METRICS:
                key = (row.method, metric)
                if row.method in gone:
                    left_out.add(key)
                    continue
                why = _why_not(entry, row, metric, bad, trust_disturbed)
                if why is not None:
                    passed_over.setdefault(key, why)
                full = counted.get(key, 0) >= most or not row.has(metric)
                is_closed = any(later.acknowledges(*key) for later in closing)
                if why is not None or is_closed or full:
                    left_out.add(key)
                else:
                    counted[key] = counted.get(key, 0) + 1
                    kept += 1
                is_closed = is_closed or entry.acknowledges(*key)
                if is_closed or counted.get(key, 0) >= most:
                    settled.add(key)
        if entry.acknowledged:
            closing.append(entry)
        if kept:
            chosen.append((entry, frozenset(left_out)))
    chosen.reverse()
    reason = None
    if not chosen and judged:
        differs = unlike(judged[-1], now)
        listed = "; ".join(differs[:4]) + ("; ..." if len(differs) > 4 else "")
        reason = (
            f"run {judged[-1].run} and the runs before it were not measured alike ({listed}), so there "
            "is nothing to compare with"
            if differs
            else "no earlier row counts: all were regressions that nobody acknowledged, or disturbed"
        )
    return Baseline(
        tuple(entry for entry, _ in chosen),
        tuple(as_run(entry, left_out) for entry, left_out in chosen),
        reason,
        {key: why for key, why in passed_over.items() if not counted.get(key)},
    )


def named(entry: NightEntry, now: Mapping[str, Any]) -> Baseline:
    """Return one run as the baseline.

    Raises:
        ValueError: it was not measured alike; the message has the keys.
    """
    differs = unlike(entry, now)
    if differs:
        listed = "; ".join(differs[:8]) + ("; ..." if len(differs) > 8 else "")
        raise ValueError(listed)
    return Baseline((entry,), (as_run(entry),), is_named=True)


def first_good(
    history: Sequence[NightEntry], now: Mapping[str, Any], most: int
) -> dict[Key, tuple[NightEntry, ...]]:
    """Return the level that counts of each cost and accuracy: what small steps add up against.

    It is that of the first ``most`` good runs since the row was last acknowledged or called better.

    Args:
        history: earlier runs, oldest first.
        now: what must be the same, ``entry.alike``.
    """
    fit = judged_alike(history, now)
    bad = regressed(fit)
    levels: dict[Key, tuple[NightEntry, ...]] = {}
    full: set[Key] = set()
    for entry in fit:
        if entry.measured <= full and not entry.acknowledged and not entry.improved:
            continue
        for key in levels:  # also of rows that this run did not measure
            if entry.acknowledges(*key) or key in entry.improved:
                levels[key] = ()
                full.discard(key)
        for row in entry.rows:
            full.add((row.method, BATCH.name))
            for metric in AT_ONCE:
                key = (row.method, metric)
                good = row.has(metric) and _why_not(entry, row, metric, bad, True) is None
                if good and len(levels.get(key, ())) < most:
                    levels[key] = (*levels.get(key, ()), entry)
                if len(levels.get(key, ())) >= most:
                    full.add(key)
    return levels


def regressed(history: Sequence[NightEntry]) -> frozenset[tuple[str, Key]]:
    """Return the rows that do not count since a regression of theirs is not acknowledged.

    A regression takes all nights from the first that has it to the last that it is open in. What is
    acknowledged in any night from the first on counts; nights before that one are left out anyway.

    Args:
        history: judged runs, oldest first.

    Returns:
        run and (method, metric) of each row.
    """
    places = {entry.run: at for at, entry in enumerate(history)}
    known = [(at, entry) for at, entry in reversed(list(enumerate(history))) if entry.acknowledged]
    latest: dict[Key, int] = {}  # place of the latest acknowledgement of a row
    bad = set()
    for at, entry in enumerate(history):
        starts = {key: at for key in entry.regressions}
        starts.update(
            (regression.key, min(places.get(regression.since, at), at)) for regression in entry.open
        )
        for key, start in starts.items():
            if key not in latest:
                latest[key] = next((n for n, night in known if night.acknowledges(*key)), -1)
            if latest[key] < start:
                bad |= {(night.run, key) for night in history[start : at + 1]}
    return frozenset(bad)


def _why_not(
    entry: NightEntry,
    row: NightRow,
    metric: str,
    bad: frozenset[tuple[str, Key]],
    trust_disturbed: bool,
) -> PassedOver | None:
    """Return why a row does not count; None if it does."""
    key = (row.method, metric)
    if (entry.run, key) in bad:
        return "regression"
    is_disturbed = metric == BATCH.name and row.has_disturbed_times and not trust_disturbed
    return "disturbed" if is_disturbed and not entry.acknowledges(*key) else None
