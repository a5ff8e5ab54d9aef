"""Which earlier runs a night is compared with: pure functions of the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.nightly.entry import NightEntry, as_run, unlike
from harness.nightly.verdict import Run

METRICS = ("batch_s", "cost_s", "top1", "top5")
PassedOver = Literal["regression", "disturbed"]


@dataclass(frozen=True)
class Baseline:
    """The runs that a night is compared with.

    Attributes:
        entries: the runs, oldest first; each has a row that counts.
        runs: the same, with only the rows that count.
        reason: why there is none, or why runs were passed over; None where there is nothing to say.
        passed_over: rows that no run counts for, (method, metric), though one has them, and why.
    """

    entries: tuple[NightEntry, ...]
    runs: tuple[Run, ...]
    reason: str | None = None
    passed_over: Mapping[tuple[str, str], PassedOver] = field(default_factory=dict)


def last_good(
    history: Sequence[NightEntry],
    now: Mapping[str, Any],
    most: int,
    trust_disturbed: bool = False,
) -> Baseline:
    """Return the last good runs of a machine that were measured alike.

    A row counts if it was judged, or is of the first night, and was no regression; after a shift was
    acknowledged, rows from before that run do not count any more, and the row of that run does. Each
    row counts in at most ``most`` runs, the latest. Disturbed times do not count, unless they were
    acknowledged, or ``trust_disturbed`` lets them.

    Args:
        history: earlier runs, oldest first.
        now: what must be the same, ``entry.alike``.
    """
    judged = [entry for entry in history if entry.is_judged]
    fit = [entry for entry in judged if not unlike(entry, now)]
    chosen: list[tuple[NightEntry, frozenset[tuple[str, str]]]] = []
    counted: dict[tuple[str, str], int] = {}
    closed: set[tuple[str, str]] = set()  # rows whose shift was acknowledged in a later run
    passed_over: dict[tuple[str, str], PassedOver] = {}
    for entry in reversed(fit):
        left_out = set()
        kept = 0
        for row in entry.rows:
            for metric in METRICS:
                key = (row.method, metric)
                known = entry.acknowledges(*key)
                why: PassedOver | None = None
                if key in entry.regressions and not known:
                    why = "regression"
                elif metric == "batch_s" and row.has_disturbed_times and not trust_disturbed:
                    why = None if known else "disturbed"
                if why is not None:
                    passed_over.setdefault(key, why)
                if why is not None or key in closed or counted.get(key, 0) >= most:
                    left_out.add(key)
                else:
                    counted[key] = counted.get(key, 0) + 1
                    kept += 1
                if known:
                    closed.add(key)
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
    return Baseline((entry,), (as_run(entry),))
