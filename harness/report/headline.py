"""The headline of a report: the fastest row that is accurate enough, and how much of that is a defect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.table.kernels import Profile
from harness.table.loaded_run import LoadedRun
from harness.table.markdown import with_interval
from harness.table.metrics import COST, THROUGHPUT, TOP1, TOP1_LOSS, VS_FUSED, Metric
from harness.table.rows import Row, main_speedup
from harness.table.searches import best_accurate


@dataclass(frozen=True)
class Headline:
    """The fastest row that is accurate enough.

    Attributes:
        gain: its speedup with the interval, the numbers that table and figure show.
        defect: how much of that the baseline's reference kernels explain; empty where little.
        facts: its throughput, accuracy and cost.
        disturbed: what disturbed the timings that the gain comes from; empty where nothing did.
    """

    row: Row
    gain: str
    defect: str
    facts: str
    disturbed: str


def headline(run: LoadedRun) -> Headline | None:
    """Return the headline of a run, None where no row is accurate enough."""
    best = best_accurate(run.plan, run.rows)
    if best is None:
        return None
    metric, config = main_speedup(run.rows), run.plan.config
    labels = {row.method: row.label for row in run.rows}
    over = [  # a row is not compared with itself
        (_with_ends(best, shown), method)
        for method, shown in ((config.baseline, metric), (config.fused, VS_FUSED))
        if method in labels and method != best.method
    ]
    gain = " and ".join(f"{speedup} times {labels[method]}" for speedup, method in over if speedup)
    facts = [
        f"{THROUGHPUT.shown(best.images_per_s, '')} images/s",
        f"top-1 {TOP1.shown(best.top1, '')} (loss {TOP1_LOSS.shown(best.top1_rel_loss_pct, '')} %)",
    ]
    if best.cost_s is not None:
        facts.append(f"made once in {COST.shown(best.cost_s, '')} s")
    defect = _defect(run, best, metric.shown(getattr(best, metric.name), ""), labels)
    compared = [best.method, *(method for speedup, method in over if speedup)]
    return Headline(best, gain, defect, ", ".join(facts), _disturbed(run, compared))


def _with_ends(row: Row, metric: Metric) -> str:
    """Return a row's value with its interval, empty where it has no value."""
    value = getattr(row, metric.name)
    return "" if value is None else with_interval(metric, value, row.intervals.get(metric.name))


def _disturbed(run: LoadedRun, methods: Sequence[str]) -> str:
    """Return one sentence on what disturbed the timings of these rows, empty where nothing did."""
    disturbed = {name: kinds for name, kinds in run.disturbances.items() if name in methods}
    if not disturbed:
        return ""
    what = "Rounds" if run.plan.config.protocol.rounds else "The validation passes"
    labels = ", ".join(row.label for row in run.rows if row.method in disturbed)
    kinds = ", ".join(dict.fromkeys(one.kind for several in disturbed.values() for one in several))
    return (
        f"{what} of {labels} were disturbed ({kinds}): the notes under the table say by how much."
    )


def _defect(run: LoadedRun, best: Row, gain: str, labels: dict[str, str]) -> str:
    baseline = run.plan.config.baseline
    profiles: dict[str, Profile] = {one.method: one.profile for one in run.profiles}
    if not gain or baseline not in profiles or best.method == baseline:
        return ""
    profile = profiles[baseline]
    if profile.without_reference is None:
        return ""
    return (
        f"Of the {gain} a factor of {profile.without_reference:.1f} is a defect of {labels[baseline]}: "
        f"{100 * profile.reference_wall_share:.0f} % of its time is in {profile.engine}'s slow "
        "reference kernels."
    )
