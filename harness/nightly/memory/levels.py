"""The level that counts of costs and accuracies: what many small steps add up against."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from harness.errors import HarnessError
from harness.nightly import reasons
from harness.nightly.baseline import Baseline
from harness.nightly.entry import METRICS, NightEntry, as_run, build_entry, judged_alike, unlike
from harness.nightly.judge import judge
from harness.nightly.verdict import Key, Run, Verdict
from harness.storage.store import RunFolder


def outside_levels(
    earlier: Sequence[NightEntry], entry: NightEntry, results: Path
) -> list[NightEntry]:
    """Return the runs before open regressions that are no nights: of another checkout, or named once."""
    nights = judged_alike(earlier, entry.alike)
    known = {night.run for night in nights}
    wanted = dict.fromkeys(
        run for night in nights[-1:] for regression in night.open for run in regression.level
    )
    runs = []
    for run in wanted:
        folder = RunFolder(results / entry.machine / run)
        with suppress(HarnessError):  # a damaged one tells nothing
            if run not in known and folder.load_plan() is not None:
                runs.append(build_entry(folder))
    return [run for run in runs if not unlike(run, entry.alike)]


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
