"""The sentences of verdicts: first the finding, then its meaning and the next step.

No p-values: ``nightly.json`` has them. Every sentence of a verdict stands here, so that they stay alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.nightly.verdict import (
    BATCH,
    ONCE,
    OPTIMIZE_MEMORY,
    VALIDATE_MEMORY,
    Gap,
    Kind,
)
from harness.stats.intervals import Interval
from harness.table.metrics import COST, Metric

BESIDE = "beside the other methods of the same nights"
LITTLE_BY_LITTLE = "In steps too small for a single night,"
NOTHING = "Nothing needs to be done."
WAITING = "It may be worse, and waits to be measured again: this is no verdict yet."
GAPS: dict[Gap, str] = {  # for a headline, in brackets
    "noise": "too noisy",
    "disturbed": "rounds disturbed",
    "few rounds": "too few rounds",
    "few runs": "too few earlier nights",
    "nothing before": "no earlier night counts",
    "not repeated": "measuring again failed",
    "machine": "the machine or the environment: not separable",
}


def percent_more(ratio: float) -> str:
    """Return how much more or less a ratio of times or costs is: ``4.2 % more``."""
    change = 100 * (ratio - 1)
    size = f"{abs(change):.{_digits(change)}f}"
    return f"{size} % {'less' if change < 0 else 'more'}"


def _digits(percent: float) -> int:
    return 2 if abs(percent) < 1 else 1 if abs(percent) < 100 else 0


def points_more(points: float) -> str:
    """Return how many points of 100 an accuracy won or lost: ``0.50 points less``."""
    return f"{abs(points):.2f} points {'less' if points < 0 else 'more'}"


def interval(estimate: Interval) -> str:
    """Return a ratio's interval as changes in percent."""
    ends = [100 * (end - 1) for end in (estimate.low, estimate.high)]
    digits = _digits(100 * (estimate.estimate - 1))
    low, high = (f"{end:+.{digits}f}" for end in ends)
    return f"{100 * estimate.level:g} % interval {low} to {high} %"


def subject(metric: Metric, method: str) -> str:
    """Return the row of a metric as the subject of a sentence."""
    named = {
        BATCH: "The time",
        COST: "The cost",
        OPTIMIZE_MEMORY: "The memory of optimising",
        VALIDATE_MEMORY: "The memory of validating",
    }.get(metric, metric.title)
    return f"{named} of {method}"


def runs(count: int) -> str:
    return f"{count} earlier run{'s' if count != 1 else ''}"


def time_finding(method: str, now_s: float, before_s: float, before: int, ratio: Interval) -> str:
    """Return how long a batch takes, and how long it took before."""
    return (
        f"A batch of {method} takes {now_s:.4g} s, {percent_more(ratio.estimate)} than the "
        f"{before_s:.4g} s of {runs(before)} ({interval(ratio)})."
    )


def figure_finding(
    metric: Metric, method: str, figures: tuple[float, float], before: int, ratio: Interval
) -> str:
    """Return a figure that a run has once, and what it was before.

    Args:
        figures: now and before.
        before: how many earlier runs.
    """
    now, was = figures
    return (
        f"{_figure(metric, method, now)}, {percent_more(ratio.estimate)} than the "
        f"{_value(metric, was)} of {runs(before)} ({interval(ratio)})."
    )


def _figure(metric: Metric, method: str, value: float) -> str:
    """Return a figure that a run has once, as the beginning of a sentence."""
    stage = "Validating" if metric == VALIDATE_MEMORY else "Optimising"
    verb = "took" if metric == COST else "held at most"
    return f"{stage} {method} {verb} {_value(metric, value)}"


def _value(metric: Metric, value: float) -> str:
    return f"{value:.4g} s" if metric == COST else f"{value:.0f} MB"


def accuracy_finding(
    metric: Metric,
    method: str,
    shares: tuple[float, float],
    points: Interval,
    counts: Sequence[int],
) -> str:
    """Return an accuracy and what it was before.

    Args:
        shares: now and before.
        counts: images in all, lost and won.
    """
    now, before = shares
    images, lost, won = counts
    return (
        f"{metric.title} of {method} is {now:.4f}, {points_more(points.estimate)} than the {before:.4f} "
        f"of the run before ({100 * points.level:g} % interval {points.low:+.2f} to "
        f"{points.high:+.2f}): of {images} images {lost} turned wrong and {won} turned right."
    )


def meaning(kind: Kind, gap: Gap | None, metric: Metric, matters: str, has_size: bool) -> str:
    """Return the second sentence of a verdict, before anything is measured again.

    Args:
        gap: why a row could not be judged.
        matters: the threshold in words.
        has_size: whether the difference is of the threshold or more.
    """
    if kind == "regression":
        return (
            f"Noise does not explain that, and {matters} or more matters. Find what changed and repair "
            "it, or acknowledge it."
        )
    if kind == "improvement":
        return f"Noise does not explain that: it became better. {NOTHING}"
    if kind == "change" and has_size:
        return (
            "Noise does not explain that, and neither direction of this metric is better. "
            "See whether it was meant."
        )
    if kind == "change":
        return f"Noise does not explain that, but less than {matters} does not matter. {NOTHING}"
    if kind == "none":
        return f"Noise explains that, and a change of {matters} is excluded. {NOTHING}"
    if gap == "few runs":
        return (
            "One earlier run does not show how far apart runs of the same code lie, so this was not "
            "judged. The next night will tell."
        )
    return (
        f"In nights as noisy as these a change of {matters} cannot be told from none, so this was not "
        "judged. "
        + (
            "Keep the machine quieter, or measure more rounds (protocol.rounds)."
            if metric == BATCH
            else "Later nights know the noise better."
            if metric in ONCE
            else "More images (workload.images) would tell."
        )
    )


def few_rounds(method: str, fewest: int, needed: int) -> tuple[str, str]:
    return (
        f"{method} has {fewest} rounds, and a verdict takes {needed} of each run.",
        f"Its time was not judged: measure with protocol.rounds={needed} or more.",
    )


def too_few_rounds(rounds: int, needed: int) -> str:
    """Return the warning before a night whose times cannot be judged."""
    return (
        f"warning: protocol.rounds={rounds}: no time of this night will be judged, since a verdict takes "
        f"{needed} rounds; accuracies will. Give protocol.rounds={needed} or more"
    )


def few_figures(
    metric: Metric, method: str, now: float, before: int, needed: int
) -> tuple[str, str]:
    return (
        f"{_figure(metric, method, now)}; costs are judged from {needed} earlier runs on, and "
        f"there are {before}.",
        f"{NOTHING}",
    )


def same_images(metric: Metric, method: str, images: int) -> tuple[str, str]:
    return f"{metric.title} of {method} is the same on each of the {images} images.", NOTHING


def missing(metric: Metric, method: str) -> tuple[str, str]:
    return (
        f"{subject(metric, method)} was measured before and is not now.",
        "See whether the row was left out, or why it failed.",
    )


def new(metric: Metric, method: str, value: str) -> tuple[str, str]:
    """Return the sentences of a row that no earlier run has; ``value`` is its figure."""
    return (
        f"{subject(metric, method)} is {value}.",
        "It is measured for the first time, and later nights are compared with it.",
    )


def nothing_counts(disturbed: bool) -> str:
    """Return the meaning of a row whose earlier measurements do not count."""
    if disturbed:
        return (
            "The earlier nights were disturbed and do not count, so it was not judged. The first "
            "undisturbed night will count; nightly.trust_disturbed=true lets disturbed ones count."
        )
    return (
        "The earlier nights were regressions that nobody acknowledged, so it was not judged. "
        "Acknowledge the night whose level is right."
    )


def disturbed(count: int, rounds: int) -> str:
    """Return the meaning of times that could not be judged since their rounds were disturbed."""
    return (
        f"{count} of its {rounds} rounds were disturbed, so its time was not judged. "
        "Remove what disturbed them and measure another night."
    )


def no_baseline(methods: Sequence[str]) -> str:
    return (
        f"the times of {', '.join(methods)} are no baseline for later nights, since more than half of "
        "their rounds were disturbed; nightly.trust_disturbed=true lets them count"
    )


def trusted(methods: Sequence[str]) -> str:
    return (
        f"the times of {', '.join(methods)} are trusted (nightly.trust_disturbed=true), though more than "
        "half of their rounds were disturbed: they are judged, and are a baseline for later nights"
    )


def same_model(before: str) -> str:
    return (
        f"The model, the software and the settings are those of run {before} to the last bit, so the "
        "machine differs and not the code; nothing was measured again. If it stays so, see what "
        "changed about the machine, and acknowledge it."
    )


def in_turn(before: str, rounds: int, ratio: Interval) -> str:
    """Return what timing a row in turn with an earlier model showed."""
    return (
        f"Timed again in turn with the model of run {before}, {rounds} rounds each, it takes "
        f"{percent_more(ratio.estimate)} ({interval(ratio)})"
    )


def confirmed(before: str) -> str:
    return (
        f": the slowdown is confirmed. Find what changed since run {before} and repair it, or "
        "acknowledge it."
    )


def cleared(matters: str) -> str:
    return f": a slowdown of {matters} is excluded; the first times were those of a slow hour. {NOTHING}"


def undecided(matters: str) -> str:
    return (
        f": no slowdown is confirmed, and one of {matters} is not excluded, so it was not judged. Later "
        "nights will tell."
    )


def environment(changes: str, since: str) -> str:
    return (
        f"Since run {since} it takes longer than before {BESIDE}, so the machine does not explain it; "
        f"its earlier model does so too, and the environment is new ({changes}). Go back to the "
        "environment of before, or acknowledge it."
    )


def not_separable(changes: str) -> str:
    return (
        f"Both models take longer than before, and the environment is new ({changes}). It may be the "
        "machine or the environment: nothing here separates them, so it was not judged. Later nights "
        "tell, or nightly.pinned=DIR with the earlier environment's checkout."
    )


def little_by_little(finding: str, run: str) -> str:
    """Return a finding against the level that counts, which no single night showed."""
    return f"{LITTLE_BY_LITTLE} since run {run}: {finding}"


def still_open(since: str, created: str, back: int) -> str:
    """Return the meaning of a row whose regression is open since an earlier night.

    Args:
        back: how many nights in a row measured the level before.
    """
    said = f"Still open since run {since} ({created[:10]})"
    if back:
        return f"{said}. It was measured as before it; another night like this one closes it."
    return f"{said}: find what changed and repair it, or acknowledge it."


def left_behind(run: str, listed: Sequence[str]) -> str:
    return (
        f"run {run} was not measured alike, so what is open in it is neither judged nor carried on here: "
        f"{'; '.join(listed)}"
    )


def fixed(since: str) -> str:
    return f"The regression since run {since} is fixed: measured as before it. {NOTHING}"


def again_failed() -> str:
    return "Measuring it again failed, so it was not judged. See the log of the run that measured again."


def made_anew(is_confirmed: bool, finding: str, advice: str) -> str:
    """Return what making a row anew showed.

    Args:
        finding, advice: of its second verdict.
    """
    result = "confirmed" if is_confirmed else "not confirmed"
    return f"Measured again, this was {result}: {finding} {advice}"


def solution_lost(outcome: str) -> str:
    return (
        f"Its search found a model before; now it ended with {outcome}, and did so again when made "
        "anew. Find what changed, or loosen its criterion."
    )
