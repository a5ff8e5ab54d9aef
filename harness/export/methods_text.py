"""The paragraph on methods that an author can paste, from what the plan and the records say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.derive.table import Row
from harness.plan import RunPlan
from harness.record import MethodRecord

COUNTED = {"sockets": "socket", "cores": "core", "threads_per_core": "hardware thread per core"}


def methods_text(plan: RunPlan, records: Sequence[MethodRecord], rows: Sequence[Row]) -> str:
    """Return the paragraph as plain text on one line."""
    parts = [_machine, _software, _workload, _optimising, _validating, _timing, _statistics]
    return " ".join(
        sentence for part in parts for sentence in part(_Facts(plan, records, rows)) if sentence
    )


class _Facts:
    """What the sentences are made from."""

    def __init__(self, plan: RunPlan, records: Sequence[MethodRecord], rows: Sequence[Row]) -> None:
        self.plan, self.records, self.rows = plan, records, rows
        self.config: dict[str, Any] = plan.config
        self.protocol: dict[str, Any] = plan.config["protocol"]
        named = [name for name, row in plan.methods.items() if isinstance(row.get("strategy"), str)]
        self.tuned = [options for options in map(plan.search_options, named) if options is not None]


def _machine(facts: _Facts) -> Iterator[str]:
    machine, threads = facts.plan.machine, facts.plan.threads
    isa = machine.get("isa") or []
    memory = machine.get("memory_total_bytes")
    details = [
        *(_count(machine[key], unit) for key, unit in COUNTED.items() if machine.get(key)),
        f"microcode {machine['microcode']}" if machine.get("microcode") else "",
        f"instruction sets {', '.join(isa)}" if isa else "",
        f"{memory / 1e9:.0f} GB of memory" if memory else "",
    ]
    instance = machine.get("ec2") or {}
    if instance.get("instance_type"):
        kind = f"an EC2 instance {instance['instance_type']} ({instance.get('region')}) with "
    elif machine.get("virtual"):
        kind = " ".join(filter(None, ["a", machine.get("hypervisor"), "virtual machine with "]))
    else:
        kind = ""
    yield (
        f"Measurements were taken on {kind}{machine['cpu_model']} "
        f"({', '.join(filter(None, details))}) under {machine['os']}, kernel {machine['kernel']}."
    )
    settings = ", ".join(f"{k}={v}" for k, v in sorted(threads["environment"].items()))
    runtime = next(
        (r.validate["openmp"]["runtime"] for r in facts.records if r.validate and "openmp" in r.validate),
        "OpenMP",
    )  # fmt: skip
    count = threads.get("count")
    yield (
        f"MXNet ran {f'{count} threads' if count else 'its threads'} of {runtime} under the policy "
        f"{threads['policy']}" + (f" ({settings})." if settings else ".")
    )


def _count(number: int, unit: str) -> str:
    head, _, tail = unit.partition(" per ")
    plural = head if number == 1 else f"{head}s"
    return f"{number} {plural} per {tail}" if tail else f"{number} {plural}"


def _software(facts: _Facts) -> Iterator[str]:
    versions = facts.plan.versions
    names = (("numpy", "NumPy"), ("scipy", "SciPy"))
    others = [f"{title} {versions[key]}" for key, title in names if key in versions]
    said = ", ".join(
        [
            f"Apache MXNet {versions['mxnet']} (commit {versions['mxnet_commit']})",
            f"Intel Neural Compressor {versions['neural-compressor']}",
            *others,
        ]
    )
    yield f"The software was {said}, driven by inc-bench {facts.plan.harness}."
    if facts.config["max_cpu_isa"]:
        yield f"oneDNN was limited to {facts.config['max_cpu_isa']}."


def _workload(facts: _Facts) -> Iterator[str]:
    plan, workload = facts.plan, facts.plan.workload
    transform = workload.get("transform")
    how = ""
    if transform:
        side = "the shorter side" if transform["keep_ratio"] else "both sides"
        how = (
            f", resized to {transform['resize']} pixels ({side}), cropped at the centre to "
            f"{transform['crop']} and normalised"
        )
    network = workload.get("model", {}).get("network")
    yield (
        f"The workload {workload['name']}{f' ({network})' if network else ''} has {plan.images} "
        f"validation images{how}, in batches of {workload['batch_size']}."
    )
    digests = [
        f"{role} {file['sha256']}" for role, file in sorted(plan.files.items()) if "sha256" in file
    ]
    if digests:
        yield f"SHA-256 of its files: {', '.join(digests)}."


def _optimising(facts: _Facts) -> Iterator[str]:
    plan = facts.plan
    which = ", the first of the validated ones" if plan.tuning_overlap else ""
    yield (
        f"{len(facts.rows)} methods were optimised, each in a process of its own, on "
        f"{plan.tuning_images} images{which}; cost is the wall clock of optimising alone."
    )
    if facts.tuned:
        tuning = facts.config["tuning"]
        allowed = (
            f"{100 * tuning['tolerance']:g} % relative"
            if tuning["criterion"] == "relative"
            else f"{tuning['tolerance']:g} absolute"
        )
        trials = sorted({int(each["max_trials"]) for each in facts.tuned})
        limit = " or ".join(map(str, trials))
        yield (
            f"Intel Neural Compressor's strategies accepted a loss of top-1 of {allowed} on these "
            f"images, calibrated on {tuning['sampling_size']} of them (objective "
            f"{tuning['objective']}, at most {limit} trials, seed {tuning['seed']})."
        )
    if facts.config["methods"]["shared_calibration"]:
        yield "They shared one calibration cache, as in the tutorial."
    failed = [f"{row.label} ({row.outcome})" for row in facts.rows if row.top1 is None]
    if failed:
        yield f"Without a result: {', '.join(failed)}."


def _validating(facts: _Facts) -> Iterator[str]:
    yield (
        "Accuracies come from one pass of each saved model over all validation images in a fresh "
        "process; validation time is the wall clock of that pass, data and metric included."
    )


def _timing(facts: _Facts) -> Iterator[str]:
    protocol, size = facts.protocol, facts.plan.workload["batch_size"]
    if not protocol["rounds"]:
        yield (
            "Inference was timed in that same pass, without warm-up, as in the tutorial "
            f"(protocol {protocol['name']})."
        )
        return
    again = (
        f"; a round that something disturbed was repeated up to {protocol['reruns']} times"
        if protocol["reruns"]
        else ""
    )
    yield (
        f"Inference was timed in {protocol['rounds']} rounds of {protocol['batches']} batches of "
        f"{size} images (protocol {protocol['name']}): in each round every method ran in a fresh "
        f"process, in shuffled order (seed {protocol['seed']}), after a warm-up of at most "
        f"{protocol['warmup_s']:g} s{again}."
    )


def _statistics(facts: _Facts) -> Iterator[str]:
    if not any(row.intervals for row in facts.rows):
        return
    times = (
        "Student's t over rounds on the log scale, ratios paired by round"
        if facts.protocol["rounds"]
        else "a circular block bootstrap of the one pass's batches and do not cover other processes"
    )
    yield (
        f"Intervals are at 95 %: those of times are {times}; those of relative losses are score "
        "intervals for ratios of paired proportions (Tang, Tang and Chan, 2003)."
    )
    tested = [row for row in facts.rows if row.mcnemar_p is not None]
    if tested:
        yield (
            "Top-1 was compared with the baseline's on the same images by McNemar's mid-p test "
            f"(Fagerland, Lydersen and Laake, 2013) with Holm's adjustment for {len(tested)} methods."
        )
