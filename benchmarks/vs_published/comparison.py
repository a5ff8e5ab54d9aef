"""What is equal between the sides and which targets are met: pure functions of ``Side``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.vs_published.side import Row, Side
from harness.table.metrics import TOP1, TOP5

COLD, WARM, REUSED = "harness, cold cache", "harness, warm cache", "harness, tuned models reused"
COLD_TIME, WARM_TIME, REUSED_TIME = 1.0, 0.9, 0.5  # at most these parts of the published time
PREPARATION_SPEEDUP = 1.8  # at least, one pass of the published loader against a cold preparation
FREE_S = 0.5  # what reading "nothing to do" may take
MEMORY = 0.25  # at most this part of the published peak ...
MEMORY_IMAGES, MEMORY_CROP = 10_000, 224  # ... on so many images of this size


@dataclass(frozen=True)
class Scale:
    """How large the workload is: images validated, images tuned on, and their side in pixels."""

    images: int
    tuning_images: int
    crop: int


@dataclass(frozen=True)
class Equality:
    """One method, published against one harness run.

    Attributes:
        same_options: whether INC was told the same; None where it was told nothing.
        same_trials: whether every INC trial had the same accuracy; None where there was none.
    """

    method: str
    side: str
    expected: Row
    observed: Row
    same_options: bool | None
    same_trials: bool | None

    @property
    def same_accuracies(self) -> bool:
        """Whether the outcome, top-1 and top-5 agree to the last digit that the table prints."""
        return shown_accuracies(self.expected) == shown_accuracies(self.observed)

    @property
    def equal(self) -> bool:
        return self.same_accuracies and self.same_options is not False


@dataclass(frozen=True)
class Target:
    """A promise, what was measured, and whether it is kept; ``met`` is None where it is not asked."""

    what: str
    wanted: str
    found: str
    met: bool | None


def shown_accuracies(row: Row) -> str:
    """Return outcome and accuracies as the table prints them."""
    if row.top1 is None or row.top5 is None:
        return row.outcome
    return f"{row.top1:.{TOP1.digits}f} {row.top5:.{TOP5.digits}f}"


def equalities(published: Side, runs: Sequence[Side]) -> list[Equality]:
    """Return every method of every harness run against the published one.

    The trials of a run that reused tuned models are those of the earlier run.
    """
    found = []
    for run in runs:
        for name, expected in published.rows.items():
            observed = run.rows.get(name, Row("not measured"))
            options = trials = None
            if expected.told is not None and observed.told is not None:
                options = expected.told == observed.told
            if expected.trials is not None and observed.trials is not None:
                trials = expected.trials == observed.trials
            found.append(Equality(name, run.name, expected, observed, options, trials))
    return found


def targets(
    published: Side, runs: Sequence[Side], equal: Sequence[Equality], scale: Scale
) -> list[Target]:
    """Return the targets with what was found."""
    by_name = {run.name: run for run in runs}
    differing = sorted({each.method for each in equal if not each.equal})
    methods = {each.method for each in equal}
    answer = [
        Target(
            "every accuracy equal",
            "to the last digit",
            f"{len(methods) - len(differing)} of {len(methods)} methods"
            + (f"; not: {', '.join(differing)}" if differing else ""),
            not differing,
        )
    ]
    spared = spared_seconds(published, scale)
    for name, limit in ((COLD, COLD_TIME), (WARM, WARM_TIME), (REUSED, REUSED_TIME)):
        if name in by_name:
            seconds = by_name[name].seconds
            ratio, strict = seconds / published.seconds, seconds / (published.seconds - spared)
            found = f"{ratio:.2f} ({strict:.2f} *)"
            answer.append(
                Target(f"time to the table, {name}", f"<= {limit:g}", found, ratio <= limit)
            )
    if COLD in by_name:
        speedup = min(published.preparation_s) / by_name[COLD].preparation_s[0]
        answer.append(
            Target(
                "data preparation, one published pass / cold",
                f">= {PREPARATION_SPEEDUP:g}",
                f"{speedup:.2f}",
                speedup >= PREPARATION_SPEEDUP,
            )
        )
    if WARM in by_name:
        seconds = by_name[WARM].preparation_s[0]
        answer.append(
            Target("data preparation, warm", "free", f"{seconds:.3f} s", seconds < FREE_S)
        )
    peak = max(run.peak_bytes for run in runs) / published.peak_bytes
    asked = scale.images >= MEMORY_IMAGES and scale.crop >= MEMORY_CROP
    answer.append(
        Target(
            "peak memory / published",
            f"<= {MEMORY:g} on {MEMORY_IMAGES} images at {MEMORY_CROP} x {MEMORY_CROP}",
            f"{peak:.2f}",
            peak <= MEMORY if asked else None,
        )
    )
    return answer


def spared_seconds(published: Side, scale: Scale) -> float:
    """Return what the published side would save if its first pass decoded the tuning images alone."""
    return published.preparation_s[0] * max(0.0, 1 - scale.tuning_images / scale.images)
