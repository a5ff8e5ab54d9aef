"""The level that counts of costs and accuracies: what many small steps add up against."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from harness.nightly import reasons
from harness.nightly.baseline import Baseline
from harness.nightly.entry import METRICS, NightEntry, as_run
from harness.nightly.judge import judge
from harness.nightly.verdict import Key, Run, Verdict


def against_all(
    baseline: Baseline, levels: Mapping[Key, Sequence[NightEntry]], entry: NightEntry
) -> dict[Key, Verdict]:
    """Return the verdicts on a night's rows against the runs before it, and the levels that count.

    A row that lies no worse than the threshold from the latest runs may lie so from the level that
    was last acknowledged or called good: what many small steps add up to.
    """
    now = as_run(entry)
    verdicts = {row.key: row for row in judge(baseline.runs, now)}
    runs = list({run.run: run for level in levels.values() for run in level}.values())
    counted = {run.run: {key for key in levels if run in levels[key]} for run in runs}
    summed = judge([_only(run, counted[run.run]) for run in runs], replace(now, times={}))
    for row in summed:
        key = row.key
        if row.kind == "regression" and key in verdicts and verdicts[key].kind != "regression":
            finding = reasons.little_by_little(row.reason, levels[key][0].run)
            verdicts[key] = replace(row, reason=finding)
    return verdicts


def _only(entry: NightEntry, keys: Collection[Key]) -> Run:
    """Return the measurements of some costs and accuracies of a run."""
    left_out = {(row.method, metric) for row in entry.rows for metric in METRICS}
    return as_run(entry, frozenset(left_out - set(keys)))
