"""The notes under a table: one or two sentences on each fact that a reader must know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.stats.multiple_tests import holm
from harness.stats.speed import ENOUGH
from harness.storage.outcomes import OK
from harness.storage.plan import RANDOM_WEIGHTS, RunPlan
from harness.storage.record import MethodRecord, RoundRecord
from harness.table.kernels import BY_ONEDNN, Profile, findings
from harness.table.metrics import INFERENCE_SPEEDUP, THROUGHPUT, VS_FUSED
from harness.table.notes.condition_notes import condition_notes
from harness.table.notes.disturbance_notes import (
    disturbance_notes,
    disturbed_rounds_note,
    disturbed_stages_note,
)
from harness.table.rows import Row
from harness.table.samples import Used, counted
from harness.table.searches import excluded_notes, shared_calibration, taken_over
from harness.table.validity import is_called_int8

WIDE = 0.05  # half of an interval of throughput, as a share of it, from which on there is advice
REJECTED = 0.05  # McNemar's test, for all rows together


def footnotes(
    plan: RunPlan,
    records: Sequence[MethodRecord],
    rounds: Sequence[RoundRecord],
    rows: Sequence[Row],
    resuming: str,
) -> list[str]:
    """Return the notes in the order in which they are printed.

    Args:
        resuming: the command that measures what is missing.
    """
    used = used_timings(records, rounds)
    return [
        *_workload_notes(plan, records),
        *_unfinished_rows_note(plan, records, resuming),
        *_protocol_notes(plan, rows, used, resuming),
        *_kernel_notes(plan, records),
        *excluded_notes(records),
        *_significance_notes(rows),
        *disturbance_notes(records, rounds, used),
        *condition_notes(plan, records, used),
        *_precision_notes(rows, used),
        *plan.warnings,
        *_warnings(records),
    ]


def decisive_notes(
    plan: RunPlan,
    records: Sequence[MethodRecord],
    rounds: Sequence[RoundRecord],
    rows: Sequence[Row],
    resuming: str,
) -> list[str]:
    """Return those of the notes without which the table would be misread, the gravest first.

    Args:
        resuming: as of ``footnotes``.
    """
    known = {record.method: record for record in records}
    base = known.get(plan.config.baseline)
    profile = base.profile if base is not None and base.outcome.kind == OK else None
    grave = (RANDOM_WEIGHTS, *plan.threads.warnings)
    return [
        *(warning for warning in plan.warnings if warning in grave),
        *_unfinished_rows_note(plan, records, resuming),
        *(_unfinished_note(plan, rows, resuming) if plan.config.protocol.rounds else ()),
        *disturbed_rounds_note(rounds, used_timings(records, rounds)),
        *disturbed_stages_note(records),
        *(_defect_note(base.label, Profile.recorded(profile)) if base and profile else ()),
        *_overlap_note(plan),
    ]


def used_timings(records: Sequence[MethodRecord], rounds: Sequence[RoundRecord]) -> Used:
    """Return the timings that count; a row whose record was deleted may have rounds left."""
    known = {record.method: record for record in records}
    return [(known[timing.method], timing) for timing in counted(rounds) if timing.method in known]


def _workload_notes(plan: RunPlan, records: Sequence[MethodRecord]) -> Iterator[str]:
    if plan.workload.note:
        yield plan.workload.note
    yield from _overlap_note(plan)
    if shared_calibration(plan, records):
        yield (
            "INC rows shared one calibration cache (methods.shared_calibration=true): the cost of "
            "each depends on the rows before it."
        )
    # whatever a method says that it configured, also what has no field
    if any(
        record.optimize
        and record.optimize.stored.get("quantization")
        and not record.optimize.network  # of another engine
        for record in records
    ):
        yield (
            "Costs are below those of the tutorial's calls, with the same models: INC would export the "
            "fp32 network for every configuration that it tries instead of once a search, and "
            "quantize_net would run two whole batches through it to see its graph instead of an image."
        )
    if plan.config.mxnet_additions:
        yield (
            "Methods got the fp32 network with repaired residual additions (mxnet_additions=repaired), "
            "since the published MXNet had not the defect of this one; those of one's own got it as "
            "released, unless their class asks for the repair. "
            "Predictions and int8 models are those of the network as released; fp32 itself, "
            "calibration and INC's baseline take less time."
        )
    reused: dict[str, list[str]] = {}
    for record in records:
        origin = taken_over(record, plan.run)
        if origin is not None:
            reused.setdefault(origin, []).append(record.label)
    for origin, labels in reused.items():
        yield (
            f"Not tuned in this run but taken over, with their costs, from run {origin} "
            f"(run.reuse_tuned): {', '.join(labels)}."
        )


def _overlap_note(plan: RunPlan) -> Iterator[str]:
    if plan.tuning_overlap:
        yield (
            f"The {plan.tuning_images} tuning images are the first of the {plan.images} "
            "validated ones, as published: accuracies of calibrated and tuned rows are optimistic "
            "by that overlap."
        )


def _unfinished_rows_note(
    plan: RunPlan, records: Sequence[MethodRecord], resuming: str
) -> Iterator[str]:
    unfinished = [
        f"{record.label} ({record.outcome.kind})"
        for record in records
        if not record.outcome.finished
    ]
    missing = len(plan.methods) - len(records)
    if missing > 0:
        unfinished.append(f"{missing} row{'s' if missing > 1 else ''} without a record yet")
    if unfinished:
        yield f"Not finished: {', '.join(unfinished)}. To go on type {resuming}"


def _protocol_notes(plan: RunPlan, rows: Sequence[Row], used: Used, resuming: str) -> Iterator[str]:
    protocol, size = plan.config.protocol, plan.workload.batch_size
    yield (
        "Validation s is the wall clock of one pass over all images: data, forward pass and metric; "
        "Inference s is its forward passes alone; Speedup is the ratio of validation times."
    )
    if protocol.rounds:
        counts = {row.rounds for row in rows if row.rounds}
        if counts:
            most, fewest = max(counts), min(counts)
            one = "" if fewest > 1 else ", where there are two or more; else they cover one process"
            yield (
                f"Images/s, Inference speedup and {VS_FUSED.title} come from "
                f"{most if most == fewest else f'{fewest} to {most}'} round{'s' if most > 1 else ''} "
                f"of {_batches(used, size)} batches of {size}, each in a fresh process after its "
                f"warm-up, the methods in shuffled order (seed {protocol.seed}); their 95 % "
                f"intervals are of the typical round, by Wilcoxon's signed-rank test{one}. That of "
                "Speedup covers its one pass only."
            )
            if 1 < most < ENOUGH:
                yield (
                    f"Fewer than {ENOUGH} rounds do not show whether they resemble each other; where "
                    "they do, the intervals of times are too narrow."
                )
        yield from _unfinished_note(plan, rows, resuming)
    elif any(row.intervals for row in rows):
        yield (
            f"Images/s, Inference speedup and {VS_FUSED.title} come from that one pass, first batch "
            "included; 95 % intervals of times cover this pass, not another process: "
            "protocol=careful measures that."
        )


def _unfinished_note(plan: RunPlan, rows: Sequence[Row], resuming: str) -> Iterator[str]:
    rounds = plan.config.protocol.rounds
    short = [
        f"{row.label} ({row.rounds})"
        for row in rows
        if row.rounds is not None and row.rounds < rounds
    ]
    if short:
        yield (
            f"Not all {rounds} rounds were measured yet: {', '.join(short)}; {resuming} goes on."
        )


def _batches(used: Used, size: int) -> str:
    counts = {
        len(part.forward_s)
        for _, timing in used
        for part in timing.timed
        if part.batch_size == size
    }
    fewest, most = min(counts, default=0), max(counts, default=0)
    return str(most) if fewest == most else f"{fewest} to {most}"


def _kernel_notes(plan: RunPlan, records: Sequence[MethodRecord]) -> Iterator[str]:
    missing = [r.label for r in records if r.outcome.kind == OK and r.profile is None]
    if missing:
        yield (
            f"How these ran was not looked at (protocol.profile_batches=0): {', '.join(missing)}."
        )
    profiles = {
        record.method: Profile.recorded(record.profile)
        for record in records
        if record.profile is not None and record.outcome.kind == OK
    }
    for engine in sorted({profile.engine for profile in profiles.values()} & set(BY_ONEDNN)):
        yield (
            f"int8 % and the other shares of {engine}'s rows are of their time in oneDNN alone. The "
            f"operators that {engine} runs itself, such as batch norms and additions, in int8 too, are "
            "outside."
        )
    for record in records:
        profile = profiles.get(record.method)
        if profile is None:
            continue
        for finding in findings(profile, is_called_int8(record.method, record.label)):
            yield f"{record.label}: {finding}."
        if record.method == plan.config.baseline:
            yield from _defect_note(record.label, profile)


def _defect_note(label: str, profile: Profile) -> Iterator[str]:
    """Say what part of all speedups is a defect of the baseline."""
    faster = profile.without_reference
    if faster is not None:
        yield (
            f"{label} spends {100 * profile.reference_wall_share:.0f} % of its time in slow reference "
            f"kernels of this MXNet. Without them it would be {faster:.1f} times as fast. Compare by "
            f'"{VS_FUSED.title}", or measure with mxnet_additions=repaired, which removes them.'
        )


def _significance_notes(rows: Sequence[Row]) -> Iterator[str]:
    tested = [(row.label, row.mcnemar_p) for row in rows if row.mcnemar_p is not None]
    adjusted = holm([p for _, p in tested]).tolist()
    differing = [f"{label} (p {_p(p)})" for (label, _), p in zip(tested, adjusted) if p < REJECTED]
    if differing:
        yield (
            "Other top-1 accuracy than the baseline's on the same images, by McNemar's mid-p test with "
            f"Holm's adjustment for the {len(tested)} rows: {', '.join(differing)}."
        )


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _precision_notes(rows: Sequence[Row], used: Used) -> Iterator[str]:
    wide = []
    for row in rows:
        rate = row.intervals.get("images_per_s")
        if rate is not None and row.rounds and rate.high / rate.estimate - 1 > WIDE:
            half = 100 * (rate.high / rate.estimate - 1)
            wide.append(f"{row.label} ({f'±{half:.0f}' if half < 100 else 'over ±100'} %)")
    if wide:
        yield (
            f"Known to no better than {100 * WIDE:.0f} %: the Images/s of {', '.join(wide)}; use "
            "more rounds (protocol.rounds=) or a quieter machine."
        )
    doubts: dict[str, list[str]] = {}
    for row in rows:
        for metric in (THROUGHPUT, INFERENCE_SPEEDUP, VS_FUSED):
            interval = row.intervals.get(metric.name)
            if interval is not None and interval.doubt:
                doubts.setdefault(interval.doubt, []).append(f"{metric.title} of {row.label}")
    for doubt, values in doubts.items():
        yield f"May be further off than its 95 % interval says, as {doubt}: {', '.join(values)}."
    unsettled = {
        row.method: row.label for row, timing in used for part in timing.timed if not part.settled
    }
    if unsettled:
        yield (
            "The warm-up ended by its limit before the times had settled, in at least one round of "
            f"{', '.join(sorted(unsettled.values()))}: raise protocol.warmup_s."
        )


def _warnings(records: Sequence[MethodRecord]) -> Iterator[str]:
    for record in records:
        for warning in dict.fromkeys((record.optimize.warnings or ()) if record.optimize else ()):
            yield f"{record.label}: {warning}"
