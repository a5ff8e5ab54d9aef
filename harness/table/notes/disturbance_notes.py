"""The notes on what disturbed a run: where, how much, and what to do about it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from harness.facts.machine_facts import Disturbance
from harness.storage.record import InstancesRecord, MethodRecord, RoundRecord
from harness.table.samples import Used

BRIEF_S = 0.2  # of a round; a rival must then take a seventh of a core to be seen


def disturbance_notes(
    records: Sequence[MethodRecord],
    rounds: Sequence[RoundRecord],
    used: Used,
) -> Iterator[str]:
    """Yield what disturbed rounds, optimisations and validation passes, and what to do about it.

    Args:
        used: the timings that count.
    """
    kept = [(row, timing.disturbed) for row, timing in used if timing.disturbed]
    yield from disturbed_rounds_note(rounds, used)
    yield from _advice_by_kind(kept)
    optimised = [(row, row.optimize.disturbed) for row in records if row.optimize]
    validated = [(row, row.validate.disturbed) for row in records if row.validate]
    for title, stage in (("Optimising", optimised), ("Validation pass", validated)):
        for note in _advice_by_kind(stage):
            yield f"{title}: {note}"
    brief = {
        row.method: row.label
        for row, timing in used
        if timing.timed and timing.timed[0].conditions.seconds < BRIEF_S
    }
    if brief:
        yield (
            f"Rounds of under {BRIEF_S:g} s are too brief to see every disturbance in; raise "
            f"protocol.batches for {', '.join(sorted(brief.values()))}."
        )


def disturbed_timings(rounds: Sequence[RoundRecord]) -> str:
    """Return how many timings were disturbed, such as "3 of 4 timings"; empty for none.

    Args:
        rounds: all attempts, those that were repeated as well.
    """
    disturbed = sum(bool(timing.disturbed) for timing in rounds)
    return f"{disturbed} of {len(rounds)} timings" if disturbed else ""


def disturbed_rounds_note(rounds: Sequence[RoundRecord], used: Used) -> Iterator[str]:
    """Say how many timings of the rounds were disturbed, and how many of those had to count.

    Args:
        used: the timings that count.
    """
    disturbed = disturbed_timings(rounds)
    kept = sum(bool(timing.disturbed) for _, timing in used)
    if disturbed:
        yield (
            f"{disturbed} in the rounds were disturbed; each was repeated as far as protocol.reruns "
            f"allows, and {kept} had to count all the same."
        )


def disturbed_splits_notes(
    records: Sequence[MethodRecord], counted: Sequence[InstancesRecord]
) -> Iterator[str]:
    """Say how many rounds of several instances were disturbed and count all the same, and by what.

    Args:
        counted: the rounds that count.
    """
    rows = {record.method: record for record in records}
    kept = [
        (rows[one.method], one.disturbed) for one in counted if one.disturbed and one.method in rows
    ]
    if kept:
        yield (
            f"{len(kept)} of {len(counted)} rounds of a row in instances were disturbed, and had to "
            "count all the same."
        )
    for note in _advice_by_kind(kept):
        yield f"Instances: {note}"


def disturbed_stages_note(records: Sequence[MethodRecord]) -> Iterator[str]:
    """Say how many validation passes and optimisations were disturbed, and how much by what."""
    passes = [record.validate.disturbed for record in records if record.validate]
    optimisations = [record.optimize.disturbed for record in records if record.optimize]
    counts = [
        f"{sum(map(bool, stages))} of {len(stages)} {name}"
        for name, stages in (("passes", passes), ("optimisations", optimisations))
        if any(stages)
    ]
    by_kind: dict[str, list[Disturbance]] = {}
    for disturbance in itertools.chain.from_iterable((*passes, *optimisations)):
        by_kind.setdefault(disturbance.kind, []).append(disturbance)
    kinds = [
        f"{kind} up to {max(case.value for case in cases):.3g}, limit {cases[0].limit:.3g}"
        for kind, cases in by_kind.items()
    ]
    if counts:
        yield (
            f"{' and '.join(counts)} were disturbed ({'; '.join(kinds)}); table full=true says by what."
        )


def _advice_by_kind(
    disturbances: Sequence[tuple[MethodRecord, Sequence[Disturbance]]],
) -> Iterator[str]:
    """Yield one sentence for each kind of disturbance: where, how much, and what to do."""
    kinds: dict[str, list[tuple[MethodRecord, Disturbance]]] = {}
    for row, of_row in disturbances:
        for disturbance in of_row:
            kinds.setdefault(disturbance.kind, []).append((row, disturbance))
    for kind, cases in kinds.items():
        worst = max(disturbance.value for _, disturbance in cases)
        labels = ", ".join({row.method: row.label for row, _ in cases}.values())
        first = cases[0][1]
        yield f"{kind} up to {worst:.3g} (limit {first.limit:.3g}) at {labels}: {first.advice}."
