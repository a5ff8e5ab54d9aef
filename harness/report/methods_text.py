"""A paragraph on methods that an author can paste, made from the plan and the records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.render.escape import one_line
from harness.report.artifact.method_works import sources_of
from harness.report.searches_text import searches_text
from harness.stats.speed import ENOUGH, reaches
from harness.storage.outcomes import NO_SOLUTION, OK
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord, RoundRecord
from harness.table.instances.splits import SplitRow
from harness.table.metrics import SPEEDUP, TOP1_LOSS, TOP5_LOSS
from harness.table.notes.disturbance_notes import disturbed_timings
from harness.table.plan_words import cpu_text, mxnet_text, region_text, system_text
from harness.table.rows import Row
from harness.table.searches import taken_over
from harness.table.served.rates import ServedRow

COUNTED = {"sockets": "socket", "cores": "core", "threads_per_core": "hardware thread per core"}
LOSSES = (TOP1_LOSS.name, TOP5_LOSS.name)


def methods_text(
    plan: RunPlan,
    records: Sequence[MethodRecord],
    rows: Sequence[Row],
    rounds: Sequence[RoundRecord] = (),
    splits: Sequence[SplitRow] = (),
    served: Sequence[ServedRow] = (),
) -> str:
    """Return the paragraph as plain text on one line.

    Args:
        rounds: every timing of the rounds, those that were repeated as well.
        splits: the table by instances.
        served: the table of rates of queries.
    """
    parts = [
        _machine,
        _software,
        _workload,
        _optimising,
        _sources,
        _tuning,
        _validating,
        _timing,
        _splitting,
        _serving,
        _statistics,
    ]
    facts = _Facts(plan, records, rows, rounds, splits, served)
    return one_line(" ".join(sentence for part in parts for sentence in part(facts) if sentence))


class _Facts:
    """The run that the sentences describe."""

    def __init__(
        self,
        plan: RunPlan,
        records: Sequence[MethodRecord],
        rows: Sequence[Row],
        rounds: Sequence[RoundRecord],
        splits: Sequence[SplitRow],
        served: Sequence[ServedRow],
    ) -> None:
        self.plan, self.records, self.rows, self.rounds = plan, records, rows, rounds
        self.splits, self.served = splits, served
        self.config, self.protocol = plan.config, plan.config.protocol
        self.validated = [record for record in records if record.validate]


def _machine(facts: _Facts) -> Iterator[str]:
    machine, threads = facts.plan.machine, facts.plan.threads
    isa = machine.isa or []
    memory = machine.memory_total_bytes
    counted = ((getattr(machine, key), unit) for key, unit in COUNTED.items())
    details = [
        *(_count(number, unit) for number, unit in counted if number),
        f"microcode {machine.microcode}" if machine.microcode else "",
        f"instruction sets {', '.join(isa)}" if isa else "",
        f"{memory / 1e9:.0f} GB of memory" if memory else "",
    ]
    known = ", ".join(filter(None, details))
    instance = machine.ec2
    if instance and instance.instance_type:
        kind = f"an EC2 instance {instance.instance_type} ({region_text(instance)}) with "
    elif machine.virtual:
        kind = " ".join(filter(None, ["a", machine.hypervisor, "virtual machine with "]))
    else:
        kind = ""
    yield (
        f"Measurements were taken on {kind}{cpu_text(machine)}"
        f"{f' ({known})' if known else ''} under {system_text(machine)}."
    )
    settings = ", ".join(f"{k}={v}" for k, v in sorted(threads.environment.items()))
    under = f"under the policy {threads.policy}" + (f" ({settings})." if settings else ".")
    verified = [r.validate.openmp for r in facts.validated if r.validate and r.validate.openmp]
    counts = sorted({openmp.max_threads for openmp in verified if openmp.max_threads})
    runtimes = sorted({openmp.runtime for openmp in verified if openmp.runtime})
    if counts:
        runtime = " and ".join(runtimes) or "OpenMP"
        ran = f"{' or '.join(map(str, counts))} {_plural(counts, 'thread')}"
        yield f"MXNet ran {ran} of {runtime} {under}"
    elif threads.count:
        yield f"MXNet was asked for {threads.count} threads of OpenMP {under}"
    else:
        yield f"MXNet chose its own number of threads {under}"
    if any(method.engine for method in facts.plan.methods.values()):
        number = f"{threads.count} threads" if threads.count else "as many threads as they chose"
        yield f"Other engines ran {number}."


def _count(number: int, unit: str) -> str:
    head, _, tail = unit.partition(" per ")
    plural = head if number == 1 else f"{head}s"
    return f"{number} {plural} per {tail}" if tail else f"{number} {plural}"


def _software(facts: _Facts) -> Iterator[str]:
    versions = facts.plan.versions
    others = (("NumPy", versions.numpy), ("SciPy", versions.scipy))
    said = ", ".join(
        [
            f"Apache MXNet {mxnet_text(versions)}",
            f"Intel Neural Compressor {versions.neural_compressor}",
            *(f"{name} {version}" for name, version in others if version),
        ]
    )
    yield f"The software was {said}, driven by inc-bench {facts.plan.harness}."
    if versions.engine_texts:
        yield (
            "Rows of other engines ran the same network, converted to ONNX, in environments of their "
            f"own: {'; '.join(versions.engine_texts)}."
        )
    if facts.config.max_cpu_isa:
        yield f"oneDNN was limited to {facts.config.max_cpu_isa}."
        if versions.engine_texts:
            yield "That does not bind other engines, so their rows were refused."
    if facts.config.mxnet_additions:
        yield (
            "Before any method saw the fp32 network, its residual additions were replaced by an operator "
            "that computes the same sums without this MXNet's reference kernel."
        )


def _workload(facts: _Facts) -> Iterator[str]:
    plan, workload = facts.plan, facts.plan.workload
    transform = workload.transform
    how = ""
    if transform:
        side = "the shorter side" if transform.keep_ratio else "both sides"
        how = (
            f", resized to {transform.resize} pixels ({side}), cropped at the centre to "
            f"{transform.crop} and normalised"
        )
    network = workload.model.network
    yield (
        f"The workload {workload.name}{f' ({network})' if network else ''} has {plan.images} "
        f"validation images{how}, in batches of {workload.batch_size}."
    )
    digests = [f"{role} {file.sha256}" for role, file in sorted(plan.files.items())]
    if digests:
        yield f"SHA-256 of its files: {', '.join(digests)}."


def _optimising(facts: _Facts) -> Iterator[str]:
    plan = facts.plan
    which = ", the first of the validated ones" if plan.tuning_overlap else ""
    taken = [record for record in facts.records if taken_over(record, plan.run)]
    here = [
        record
        for record in facts.records
        if record not in taken and (record.optimize or record.outcome.kind == NO_SOLUTION)
    ]
    if here:
        were = "methods were" if len(here) > 1 else "method was"
        yield (
            f"{len(here)} {were} optimised, each in a process of its own, on "
            f"{plan.tuning_images} images{which}; cost is the wall clock of optimising alone."
        )
    if taken:
        origins = sorted({str(taken_over(record, plan.run)) for record in taken})
        whose = "methods' models and costs" if len(taken) > 1 else "method's model and cost"
        yield f"{len(taken)} {whose} were taken over from run {', '.join(origins)}."


def _sources(facts: _Facts) -> Iterator[str]:
    phrases = [source.phrase for source in sources_of(facts.plan.methods)]
    if phrases:
        yield f"The methods build on {'; '.join(phrases)}."


def _tuning(facts: _Facts) -> Iterator[str]:
    """Yield the settings of searches and, where the records have them, the results."""
    yield from searches_text(facts.plan, facts.records)
    failed = [f"{row.label} ({row.outcome})" for row in facts.rows if row.top1 is None]
    if failed:
        yield f"Without a result: {', '.join(failed)}."


def _validating(facts: _Facts) -> Iterator[str]:
    if facts.validated:
        yield (
            "Accuracies come from one pass of each saved model over all validation images in a fresh "
            "process; validation time is the wall clock of that pass, data and metric included."
        )


def _timing(facts: _Facts) -> Iterator[str]:
    protocol, size = facts.protocol, facts.plan.workload.batch_size
    if not protocol.rounds:
        if facts.validated:
            yield (
                "Inference was timed in that same pass, without warm-up, as in the tutorial "
                f"(protocol {protocol.name})."
            )
        return
    counts = sorted({row.rounds for row in facts.rows if row.rounds})
    parts = [
        part
        for timing in facts.rounds
        if timing.outcome.kind == OK
        for part in timing.timed
        if part.batch_size == size
    ]
    if not counts or not parts:
        yield f"Inference was not timed yet in the rounds of protocol {protocol.name}."
        return
    of = "" if counts == [protocol.rounds] else f" of the {protocol.rounds} planned"
    batches = sorted({len(part.forward_s) for part in parts})
    unsettled = sum(not part.settled for part in parts)
    unsteady = (
        f", by whose end the times of {unsettled} of {len(parts)} timings had not settled"
        if unsettled
        else ""
    )
    disturbed = disturbed_timings(facts.rounds)
    repeated = (
        f" and repeated up to {protocol.reruns} times"
        if any(timing.attempt > 1 for timing in facts.rounds)
        else ""
    )
    again = f"; {disturbed} were disturbed{repeated}" if disturbed else ""
    yield (
        f"Inference was timed in {_range(counts)}{of} {_plural(counts, 'round')} of {_range(batches)} "
        f"{_plural(batches, 'batch')} of {size} images (protocol {protocol.name}): in each round "
        f"every method ran in a fresh process, in shuffled order (seed {protocol.seed}), after a "
        f"warm-up of at most {protocol.warmup_s:g} s{unsteady}{again}."
    )


def _splitting(facts: _Facts) -> Iterator[str]:
    if facts.splits:
        instances = sorted({row.split.instances for row in facts.splits})
        rounds = sorted({row.rounds for row in facts.splits})
        yield (
            f"Splits of the machine into {_range(instances)} {_plural(instances, 'instance')} were "
            f"timed in {_range(rounds)} {_plural(rounds, 'round')}: as many processes ran a row's model "
            "at the same time, each bound to its own cores, and their images/s are those of all "
            "together while all ran."
        )


def _serving(facts: _Facts) -> Iterator[str]:
    server = facts.protocol.server
    if server is not None and facts.served:
        methods = len({row.method for row in facts.served})
        yield (
            f"For {methods} {'method' if methods == 1 else 'methods'} the highest rate of queries of one "
            "image was searched, which arrived at random (a Poisson process, seed "
            f"{server.seed}): that at which the 99th percentile of the time to an answer was at most "
            f"{server.latency_ms:g} ms."
        )


def _range(counts: Sequence[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _plural(counts: Sequence[int], unit: str) -> str:
    return unit if counts == [1] else f"{unit}es" if unit.endswith("ch") else f"{unit}s"


def _statistics(facts: _Facts) -> Iterator[str]:
    kinds = {
        (name in LOSSES, name == SPEEDUP.name, interval.between_rounds)
        for row in facts.rows
        for name, interval in row.intervals.items()
    }
    if not kinds:
        return
    over_rounds = any(not loss and between for loss, _, between in kinds)
    of_pass = any(not loss and not between for loss, _, between in kinds)
    of_speedup_alone = over_rounds and all(
        is_speedup for loss, is_speedup, between in kinds if not loss and not between
    )
    one_pass = "a circular block bootstrap of the one {}'s batches and do not cover other processes"
    said = []
    if over_rounds:
        said.append(
            "those of times are Wilcoxon's signed-rank test over rounds on the log scale, ratios paired "
            f"by round{_adjusted(facts.rows)}"
        )
    if of_pass and of_speedup_alone:
        said.append(
            f"that of {SPEEDUP.title} is {one_pass.format('pass').replace(' do ', ' does ')}"
        )
    elif of_pass:
        whose = "those of methods with one round" if over_rounds else "those of times"
        source = "round" if facts.protocol.rounds else "pass"
        said.append(f"{whose} are {one_pass.format(source)}")
    if any(loss for loss, _, _ in kinds):
        said.append(
            "those of relative losses are score intervals for ratios of paired proportions (Tang, Tang "
            "and Chan, 2003)"
        )
    yield f"Intervals are at 95 %: {'; '.join(said)}."
    tested = [row for row in facts.rows if row.mcnemar_p is not None]
    if tested:
        yield (
            "Top-1 was compared with the baseline's on the same images by McNemar's mid-p test "
            f"(Fagerland, Lydersen and Laake, 2013) with Holm's adjustment for {len(tested)} methods."
        )


def _adjusted(rows: Sequence[Row]) -> str:
    """Return what is done to intervals over as many rounds as these rows have."""
    counts = [row.rounds for row in rows if row.rounds and row.rounds > 1]
    said = ""
    if not all(reaches(count) for count in counts):
        said += ", stretched by Student's quantiles where so few rounds do not reach the level"
    if any(count >= ENOUGH for count in counts):
        said += f", widened from {ENOUGH} rounds on where successive rounds resemble each other"
    return said
